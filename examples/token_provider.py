"""Tokens that come from elsewhere, such as a sidecar or a cloud's metadata service, by a function of yours.

Run it: python examples/token_provider.py
"""

import requests

from oauth_auth import OAuthToken
from oauth_auth.requests import TokenProviderAuth
from oauth_auth.testing import LocalProvider


def main() -> None:
    with LocalProvider() as provider:

        def from_the_sidecar(last: OAuthToken | None) -> OAuthToken:
            print("asked for a token,", "the first" if last is None else "since the last one was rejected")
            form = {"grant_type": "client_credentials"}
            answer = requests.post(
                provider.token_url, data=form, auth=(provider.client_id, provider.client_secret), timeout=5
            )
            answer.raise_for_status()
            return OAuthToken.from_dict(answer.json())

        session = requests.Session()
        session.auth = TokenProviderAuth(from_the_sidecar)
        print(session.get(provider.api_url).status_code)
        provider.revoke_access_tokens()
        print(session.get(provider.api_url).status_code)


if __name__ == "__main__":
    main()
