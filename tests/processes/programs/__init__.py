"""The programs: they are started as processes of their own, and get what they need as JSON in `SETTINGS`."""
