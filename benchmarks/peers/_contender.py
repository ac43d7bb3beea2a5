"""What each library has to offer to be measured: three ways to open a client, as its own documentation says.

A client is what the library's users call `get` on: a session with an auth plug-in, or a session class of its own.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

SCENARIOS = ("hot_path", "stampede", "expiry", "revocation", "outage", "rotation", "processes", "proofs")


class Contender(ABC):
    """One library on one HTTP library, used by threads or by tasks."""

    name: ClassVar[str]
    http: ClassVar[str]
    tasks: ClassVar[bool] = False
    early: ClassVar[float] = 0
    """By default a token counts as expired this many seconds before it is."""
    logs_in: ClassVar[bool] = False
    """It can't be given a login that somebody kept: it makes one of its own."""
    cannot: ClassVar[Mapping[str, str]] = {}
    """By scenario, why it isn't run."""
    remarks: ClassVar[Mapping[str, str]] = {}
    scenarios: ClassVar[tuple[str, ...]] = SCENARIOS

    @abstractmethod
    def service(self, provider: Any, early: float | None = None) -> Any:
        """Return a client for a program of its own, which has no usable token yet.

        `early` replaces the default, in libraries that let their users do that.
        """

    def service_due_in(self, provider: Any, seconds: int) -> Any:
        """Return the same client, its next token one that it will want to renew after so many seconds."""
        provider.do(set={"token_lifetime": int(self.early) + seconds})
        return self.service(provider)

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        """Return a client for a person whose login was kept: the access token has expired."""
        raise NotImplementedError

    def bound(self, provider: Any, early: float | None = None) -> Any:
        """Return a client as `service` does, whose tokens are bound to a key (RFC 9449)."""
        raise NotImplementedError

    def save_login(self, provider: Any, kept: dict[str, Any], folder: Path) -> None:
        """Put a person's login where the processes will look for it."""
        write_json(folder / "token.json", kept)

    def sharing(self, provider: Any, folder: Path) -> Any:
        """Return a client of one of the processes that share the login."""
        raise NotImplementedError


def expired(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a token answer as it looks when kept, and no longer fresh."""
    return {**answer, "expires_in": -60, "expires_at": int(time.time()) - 60}


def fresh(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a token answer as it looks when kept at once."""
    return {**answer, "expires_at": int(time.time()) + answer["expires_in"]}


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all, so that no other process reads half of it."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(value))
    unfinished.replace(path)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def requests_session(session: Any) -> Any:
    """Return a session with enough connections for the load, and nothing read from the environment."""
    from requests.adapters import HTTPAdapter

    session.mount("http://", HTTPAdapter(pool_maxsize=64))
    session.trust_env = False
    return session


def plain_session(auth: Any) -> Any:
    """Return a requests session with an auth plug-in."""
    import requests

    session = requests_session(requests.Session())
    session.auth = auth
    return session


def httpx_options(library: Any) -> dict[str, Any]:
    """Return the options that mean the same for httpx and httpx2."""
    return {"trust_env": False, "timeout": 30, "limits": library.Limits(max_connections=64)}


class Rereading:
    """Give a session the token that the file holds, before each request: so web applications do."""

    def __init__(self, session: Any, path: Path) -> None:
        self._session, self._path = session, path

    def get(self, url: str) -> Any:
        self._session.token = read_json(self._path)
        return self._session.get(url)

    def close(self) -> None:
        self._session.close()


class AsyncRereading(Rereading):
    async def get(self, url: str) -> Any:
        self._session.token = read_json(self._path)
        return await self._session.get(url)

    async def aclose(self) -> None:
        await self._session.aclose()


NO_401 = "can't: does nothing about a 401"
NO_DPOP = "can't: has no DPoP"
