"""The same with aiohttp."""

import asyncio

import aiohttp

from oauth_auth.aiohttp import ClientCredentialsAuth


async def main() -> None:
    auth = ClientCredentialsAuth("https://auth.example.com/token", "client-id", "client-secret")
    async with aiohttp.ClientSession(middlewares=[auth]) as session:
        response = await session.get("https://api.example.com/orders")
        print(await response.json())


asyncio.run(main())
