"""Other people's client libraries go through expiry and revocation without a failed call."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.dropin.clients import CLIENTS, Client
from tests.dropin.protocols import GREETING, answer
from tests.support.clock import WallClock
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens

ROOT = Path(__file__).parents[2]

Event = Callable[[], None]


@pytest.mark.filterwarnings(r"ignore::DeprecationWarning:typesense\.")  # it uses what it has deprecated
@pytest.mark.parametrize("client", CLIENTS, ids=str)
def test_no_call_fails(
    client: Client, tokens: Tokens, serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six calls with a revocation before the third and an expiry before the fifth none fails; 3 token calls."""
    clock = WallClock(monkeypatch)
    refused = []

    def api(request: Received) -> Answer:
        if request.authorization in tokens.accepted:
            return answer(request)
        refused.append(request.authorization)
        return Answer(401, b"", (("WWW-Authenticate", 'Bearer error="invalid_token"'),))

    def expire() -> None:
        tokens.revoke()
        clock.ahead += 3600

    plugin = importlib.import_module(f"oauth_auth.{client.plugin}")
    auth = plugin.ClientCredentialsAuth(tokens.url, "client", "secret")
    begin = client.run(auth, serve(api).url + client.path)
    answers = send(client, begin, {2: tokens.revoke, 4: expire})

    assert [GREETING] * 6 == answers
    assert 3 == tokens.calls
    assert {"Bearer token-1"} == set(refused)  # the expired one was never sent


def send(client: Client, begin: Any, events: dict[int, Event]) -> list[str]:
    """Make six calls with a client, some of them after an event."""
    if client.is_async:
        return asyncio.run(send_async(begin, events))
    answers = []
    with contextlib.contextmanager(lambda: begin)() as call:
        for number in range(6):
            events.get(number, lambda: None)()
            answers.append(call())
    return answers


async def send_async(begin: Any, events: dict[int, Event]) -> list[str]:
    answers = []
    async with contextlib.asynccontextmanager(lambda: begin)() as call:
        for number in range(6):
            events.get(number, lambda: None)()
            answers.append(await call())
    return answers


class Row(NamedTuple):
    """A row of the documentation's table of client libraries."""

    name: str
    plugin: str
    code: str
    since: str
    note: str


def documented() -> list[Row]:
    """Return the rows of the table."""
    lines = (ROOT / "docs" / "dropin.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    plugins = {client.plugin for client in CLIENTS}
    return [Row(*row) for row in cells if len(row) == len(Row._fields) and row[1] in plugins]


def test_the_table_tells_what_is_tested() -> None:
    """The documentation's table has each client that's tested and no other; its code is what the tests do."""
    rows = documented()
    tested = {(client.name, client.plugin) for client in CLIENTS}

    assert sorted(tested) == sorted((row.name, row.plugin) for row in rows)
    for row in rows:
        sources = [inspect.getsource(client.run) for client in CLIENTS if (client.name, client.plugin) == row[:2]]
        code = [part for text in re.findall(r"`(.+?)`", row.code) for part in text.split("…")]
        assert [] == [part for part in code if not any(part in source for source in sources)], row


def test_the_table_tells_the_versions_of_the_dependencies() -> None:
    """The table says since the versions that the group `dropin` asks for."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    asked = {re.split(r"\[|>=", line)[0]: line.partition(">=")[2] for line in groups["dropin"]}

    assert asked == {row.name: row.since for row in documented()}
