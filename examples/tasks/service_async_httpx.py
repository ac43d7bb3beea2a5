"""The same with async httpx."""

import asyncio

import httpx

from oauth_auth.httpx import ClientCredentialsAuth


async def main() -> None:
    auth = ClientCredentialsAuth("https://auth.example.com/token", "client-id", "client-secret")
    async with httpx.AsyncClient(auth=auth) as client:
        response = await client.get("https://api.example.com/orders")
        print(response.json())


asyncio.run(main())
