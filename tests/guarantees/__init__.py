"""What holds for every plug-in: each module is written once and runs in all modes that it applies to."""
