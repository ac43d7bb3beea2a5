"""A script that lets a user log in with this machine's browser, once: the token is kept in a file for the next run.

Run it: python examples/browser_login.py

Without the variables ISSUER, CLIENT_ID, CLIENT_SECRET and API_URL it brings its own server, which lets anybody in.
The client's redirect URI is http://127.0.0.1/callback, with any port (RFC 8252).
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import requests

from oauth_auth import BrowserLogin, FileTokenStore
from oauth_auth.requests import AuthorizationCodeAuth
from oauth_auth.testing import LocalProvider


def use(auth: AuthorizationCodeAuth, api_url: str) -> None:
    print("A browser opens, unless you are logged in already.")
    # Nothing else is to be done: whichever request needs a token first waits for the user.
    answer = requests.get(api_url, auth=auth, timeout=5)
    print("the API answers:", answer.status_code)


def main() -> None:
    options: dict[str, Any] = {
        "login": BrowserLogin(timeout=120),
        # Most servers give a refresh token, which saves users the next login, only to those who ask for it.
        "scope": "openid",
        "offline_access": True,
    }
    if issuer := os.environ.get("ISSUER"):
        client = os.environ["CLIENT_ID"], os.environ.get("CLIENT_SECRET")
        store = FileTokenStore(Path(os.environ.get("TOKENS", "~/.my-tool/tokens")).expanduser())
        auth = AuthorizationCodeAuth.from_issuer(issuer, *client, store=store, **options)
        use(auth, os.environ["API_URL"])
        return
    with LocalProvider() as provider, tempfile.TemporaryDirectory() as folder:
        auth = AuthorizationCodeAuth(
            provider.token_url,
            provider.client_id,
            provider.client_secret,
            authorization_url=provider.authorization_url,
            store=FileTokenStore(folder),
            **options,
        )
        use(auth, provider.api_url)


if __name__ == "__main__":
    main()
