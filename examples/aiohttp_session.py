"""One auth object for all sessions of aiohttp, whatever event loop they belong to.

Run it: python examples/aiohttp_session.py
"""

import asyncio

import aiohttp

from oauth_auth.aiohttp import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


async def get_status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        return answer.status


async def work(url: str, auth: ClientCredentialsAuth) -> set[int]:
    async with aiohttp.ClientSession(middlewares=[auth]) as session:
        return set(await asyncio.gather(*(get_status(session, url) for _ in range(20))))


def main() -> None:
    # Stands in for your authorization server and API.
    with LocalProvider() as provider:
        auth = ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        print("20 at once:", asyncio.run(work(provider.api_url, auth)))
        provider.revoke_access_tokens()
        print("in another event loop, after a revocation:", asyncio.run(work(provider.api_url, auth)))
        print("token calls:", len(provider.token_requests))


if __name__ == "__main__":
    main()
