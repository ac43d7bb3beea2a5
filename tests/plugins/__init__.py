"""What one plug-in does and the others do not."""
