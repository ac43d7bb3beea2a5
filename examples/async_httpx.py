"""A hundred tasks on one cold auth object make one token call.

Run it: python examples/async_httpx.py
"""

import asyncio

import httpx

from oauth_auth.httpx import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


async def main() -> None:
    with LocalProvider(token_delay=0.1) as provider:
        auth = ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        async with httpx.AsyncClient(auth=auth) as client:
            answers = await asyncio.gather(*(client.get(provider.api_url) for _ in range(100)))
        print("requests answered with 200:", sum(answer.status_code == 200 for answer in answers))
        print("token calls:", len(provider.token_requests))


if __name__ == "__main__":
    asyncio.run(main())
