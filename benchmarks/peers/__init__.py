"""The same work through oauth_auth and its peers: `make bench`, or python -m benchmarks.peers in their environment."""
