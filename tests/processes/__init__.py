"""Programs of today with auth objects in them, really run: servers that fork and reload, functions that freeze."""
