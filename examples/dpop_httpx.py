"""Tokens that are worth nothing to a thief: 50 tasks with DPoP, at an API that has new nonces all the time.

Run it: python examples/dpop_httpx.py
"""

import asyncio

import httpx

from oauth_auth.httpx import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


async def main() -> None:
    with LocalProvider() as provider:
        provider.require_dpop = provider.dpop_nonces = True
        client = provider.client_id, provider.client_secret
        auth = ClientCredentialsAuth.from_issuer(provider.issuer, *client, dpop=True)
        async with httpx.AsyncClient(auth=auth) as session:
            for _ in range(5):
                provider.turn_dpop_nonces()
                answers = await asyncio.gather(*(session.post(provider.api_url, content=b"order") for _ in range(10)))
                print("answered:", {answer.status_code for answer in answers})
        stolen = provider.api_requests[-1].headers["Authorization"]
        async with httpx.AsyncClient() as thief:
            answer = await thief.get(provider.api_url, headers={"Authorization": stolen})
        print("with a stolen token:", answer.status_code)
        print("token calls:", len(provider.token_requests))


if __name__ == "__main__":
    asyncio.run(main())
