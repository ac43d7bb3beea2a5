"""An httpx client with a user's password and a refresh token, and with a hook that keeps rotated tokens.

Run it: python examples/httpx_client.py
"""

import httpx

from oauth_auth import OAuthToken
from oauth_auth.httpx import PasswordAuth
from oauth_auth.testing import LocalProvider


def main() -> None:
    kept: list[OAuthToken] = []
    with LocalProvider() as provider:
        auth = PasswordAuth(
            provider.token_url,
            provider.client_id,
            provider.client_secret,
            username=provider.username,
            password=provider.password,
            on_token_update=kept.append,
        )
        with httpx.Client(auth=auth) as client:
            print("first request:", client.get(provider.api_url).status_code)
            provider.revoke_access_tokens()
            print("after a revocation:", client.get(provider.api_url).status_code)
        grants = [request.form["grant_type"][0] for request in provider.token_requests]
        print("token calls:", " then ".join(grants))
        print("refresh token was rotated:", kept[0].refresh_token != kept[1].refresh_token)


if __name__ == "__main__":
    main()
