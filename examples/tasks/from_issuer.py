"""A service that knows its issuer, and takes the URLs from the issuer's metadata."""

import requests

from oauth_auth.requests import ClientCredentialsAuth

session = requests.Session()
session.auth = ClientCredentialsAuth.from_issuer("https://auth.example.com", "client-id", "client-secret")
print(session.get("https://api.example.com/orders").json())
