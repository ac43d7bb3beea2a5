"""What another Python, or another version of an HTTP library, may do in another way, once through for each plug-in.

An import without a warning, a pickle, a request whose token is revoked, awaited where that's possible, and the end of a
program in the middle of a token call. What is printed are the signatures, which must be the same everywhere. It's run
where the wheel is installed, by its path, and imports nothing of the tests: see tests/project/wheel.py.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import pickle
import subprocess
import sys
from typing import Any

from oauth_auth.testing import LocalProvider

PLUGINS = ("requests", "niquests", "httpx", "httpx2", "aiohttp")
LEAVE = """
import sys, threading
from oauth_auth.{name} import ClientCredentialsAuth

called = threading.Event()
def prepare(request):
    called.set()
    return request
auth = ClientCredentialsAuth(
    *sys.argv[1:], token_request_hook=prepare, on_token_update=lambda token: print("kept", flush=True)
)
threading.Thread(target=auth.get_token, daemon=True).start()
assert called.wait(30)
"""


def main() -> None:
    with LocalProvider() as provider:
        for name in PLUGINS:
            plugin = importlib.import_module(f"oauth_auth.{name}")
            auth = plugin.ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
            for use in (auth, pickle.loads(pickle.dumps(auth))):
                for send in ways_to_send(name):
                    assert 200 == send(provider.api_url, use), name
                    provider.revoke_access_tokens()
                    assert 200 == send(provider.api_url, use), name
            use.close()
            auth.close()
            leave(name, provider)
    print(json.dumps(signatures()))


def ways_to_send(name: str) -> list[Any]:
    """Return functions that get a URL with an auth object, and return the answer's status."""
    library = importlib.import_module(name)

    def block(url: str, auth: Any) -> int:
        return int(library.get(url, auth=auth).status_code)

    async def send(url: str, auth: Any) -> int:
        if name == "aiohttp":
            async with library.ClientSession(middlewares=[auth]) as session, session.get(url) as response:
                return int(response.status)
        client = library.AsyncSession if name == "niquests" else library.AsyncClient
        async with client() as session:
            return int((await session.get(url, auth=auth)).status_code)

    def run(url: str, auth: Any) -> int:
        return asyncio.run(send(url, auth))

    return {"requests": [block], "aiohttp": [run]}.get(name, [block, run])


def leave(name: str, provider: LocalProvider) -> None:
    """Have a program end while its token call is under way: the token isn't lost, and nothing is said."""
    provider.token_delay = 0.2
    arguments = (provider.token_url, provider.client_id, provider.client_secret)
    program = [sys.executable, "-W", "error", "-c", LEAVE.format(name=name), *arguments]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    provider.token_delay = 0
    assert ("kept\n", "", 0) == (ended.stdout, ended.stderr, ended.returncode), (name, ended)


def signatures() -> dict[str, list[str]]:
    """Return the parameters of each class that plug-ins export, with their kinds, and whether they have a default."""
    exported = {}
    for name in PLUGINS:
        plugin = importlib.import_module(f"oauth_auth.{name}")
        for export in sorted(plugin.__all__):
            if inspect.isclass(getattr(plugin, export)):
                parameters = inspect.signature(getattr(plugin, export)).parameters.values()
                shown = [f"{one.kind.name} {one.name}{'' if one.default is one.empty else '='}" for one in parameters]
                exported[f"{name}.{export}"] = shown
    return exported


if __name__ == "__main__":
    main()
