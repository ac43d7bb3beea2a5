"""The command `oauth-auth`."""
