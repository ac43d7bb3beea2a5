"""A token that's revoked: it's replaced, and the request is sent again. There's nothing to write for that."""

import requests

from oauth_auth.requests import ClientCredentialsAuth

session = requests.Session()
session.auth = ClientCredentialsAuth("https://auth.example.com/token", "client-id", "client-secret")
print(*(session.post("https://api.example.com/orders", json={"number": n}).status_code for n in range(10)))
