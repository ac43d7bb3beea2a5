"""One auth object for sync and async sessions of niquests: both share its token.

Run it: python examples/niquests_session.py
"""

import asyncio

import niquests

from oauth_auth.niquests import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


async def get_many(url: str, auth: ClientCredentialsAuth) -> list[int | None]:
    async with niquests.AsyncSession(auth=auth) as session:
        answers = await asyncio.gather(*(session.get(url) for _ in range(20)))
    return [answer.status_code for answer in answers]


def main() -> None:
    # Stands in for your authorization server and API.
    with LocalProvider() as provider:
        auth = ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        with niquests.Session(auth=auth) as session:
            print("first request:", session.get(provider.api_url).status_code)

            provider.revoke_access_tokens()
            print("20 at once, after a revocation:", set(asyncio.run(get_many(provider.api_url, auth))))

            print("and again:", session.post(provider.api_url, json={"order": 7}).status_code)
        print("token calls:", len(provider.token_requests))


if __name__ == "__main__":
    main()
