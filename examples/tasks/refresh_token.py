"""Several processes that share a refresh token, which came from elsewhere and is rotated at each use."""

import os

import requests

from oauth_auth import FileTokenStore
from oauth_auth.requests import RefreshTokenAuth

auth = RefreshTokenAuth(
    "https://auth.example.com/token", "client-id", refresh_token=os.environ["TOKEN"], store=FileTokenStore("~/.my-tool")
)
print(requests.get("https://api.example.com/orders", auth=auth).json())
