"""Pure modules and single classes: no server, no thread."""
