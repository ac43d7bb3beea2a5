"""The ways to log in: with a browser, the listener that its answer comes to, and by device code."""
