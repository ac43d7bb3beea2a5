"""A whole FAPI 2.0 flow: a login by a pushed request, calls with proofs, a renewal, and the end of it.

Run it: ISSUER=https://… CLIENT_ID=… KEY_FILE=key.pem API_URL=https://… python examples/fapi.py

The client's private key is in KEY_FILE, as PEM or a JWK; SCOPE is what to ask for. The client's redirect URI is
http://127.0.0.1/callback, with any port (RFC 8252). There's no secret, no bearer token, and nothing to write on nonces.
"""

import os
from pathlib import Path

import httpx

from oauth_auth import BrowserLogin, PrivateKeyJwt
from oauth_auth.httpx import AuthorizationCodeAuth

auth = AuthorizationCodeAuth.from_issuer(
    os.environ["ISSUER"],
    os.environ["CLIENT_ID"],
    client_auth=PrivateKeyJwt(Path(os.environ["KEY_FILE"])),
    dpop=True,
    par=True,
    scope=os.environ.get("SCOPE"),
    login=BrowserLogin(timeout=120),
)
with httpx.Client(auth=auth) as client:
    print("after the login:", client.get(os.environ["API_URL"]).status_code)
    print("renewed: a token of the type", auth.refresh().token_type)
    print("with the new token:", client.get(os.environ["API_URL"]).status_code)
auth.revoke()
