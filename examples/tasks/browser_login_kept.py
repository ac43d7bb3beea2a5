"""A script that logs its user in with the browser, once: the token is kept on disk."""

import requests

from oauth_auth import BrowserLogin, FileTokenStore
from oauth_auth.requests import AuthorizationCodeAuth

auth = AuthorizationCodeAuth.from_issuer(
    "https://auth.example.com", "client-id", login=BrowserLogin(), store=FileTokenStore("~/.my-tool")
)
print(requests.get("https://api.example.com/orders", auth=auth).json())
