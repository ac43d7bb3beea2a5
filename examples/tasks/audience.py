"""A service whose server wants an audience, and the secret in the form."""

import requests

from oauth_auth import ClientSecretPost
from oauth_auth.requests import ClientCredentialsAuth

url = "https://auth.example.com/token"
auth = ClientCredentialsAuth(url, "client-id", "client-secret", audience="orders", client_auth=ClientSecretPost())
print(requests.get("https://api.example.com/orders", auth=auth).json())
