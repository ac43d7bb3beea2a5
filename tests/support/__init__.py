"""What tests use: modes, scripted servers, clocks, sibling processes."""
