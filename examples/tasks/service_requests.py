"""A service that calls an API with requests."""

import requests

from oauth_auth.requests import ClientCredentialsAuth

session = requests.Session()
session.auth = ClientCredentialsAuth("https://auth.example.com/token", "client-id", "client-secret")
print(session.get("https://api.example.com/orders").json())
