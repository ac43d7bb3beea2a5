"""A requests session that stays authorized: token fetched, attached, renewed, and a rejected one replaced.

Run it: python examples/requests_session.py
"""

import requests

from oauth_auth.requests import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


def main() -> None:
    # Stands in for your authorization server and API.
    with LocalProvider() as provider:
        session = requests.Session()
        session.auth = ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)

        print("first request:", session.get(provider.api_url).status_code)

        provider.revoke_access_tokens()
        answer = session.post(provider.api_url, json={"order": 7})
        print("after a revocation:", answer.status_code, "with a body of", answer.json()["length"], "bytes")
        print("token calls:", len(provider.token_requests))


if __name__ == "__main__":
    main()
