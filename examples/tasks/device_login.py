"""A program without a browser, whose user logs in on another device, once."""

import requests

from oauth_auth import FileTokenStore
from oauth_auth.requests import DeviceCodeAuth

auth = DeviceCodeAuth.from_issuer("https://auth.example.com", "client-id", store=FileTokenStore("~/.my-tool"))
print(requests.get("https://api.example.com/orders", auth=auth).json())
