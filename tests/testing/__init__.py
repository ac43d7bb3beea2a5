"""What users test with: `oauth_auth.testing`."""
