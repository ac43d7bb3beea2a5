"""A service that calls another one for its user: the user's token is exchanged for one that is good there.

Run it: python examples/token_exchange.py
"""

import requests

from oauth_auth import BrowserLogin
from oauth_auth.requests import AuthorizationCodeAuth, TokenExchangeAuth
from oauth_auth.testing import LocalProvider


def main() -> None:
    with LocalProvider() as provider:
        client = provider.client_id, provider.client_secret
        user = AuthorizationCodeAuth.from_issuer(
            provider.issuer,
            *client,
            login=BrowserLogin(open_browser=lambda url: requests.get(url, timeout=10).ok, quiet=True),
        )
        stock = TokenExchangeAuth.from_issuer(
            provider.issuer, *client, subject_token=user, resource="https://stock.example.com"
        )
        print("the stock's answer:", requests.get(provider.api_url, auth=stock, timeout=5).status_code)
        print("for:", stock.introspect()["username"])
        grants = [request.form["grant_type"][0].rpartition(":")[2] for request in provider.token_requests]
        print("token calls:", " then ".join(grants))


if __name__ == "__main__":
    main()
