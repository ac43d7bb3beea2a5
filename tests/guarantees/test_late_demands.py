"""Guarantee 9 of resources: an answer that comes late, to a token that was replaced meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.support.authority import Authority
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

pytestmark = pytest.mark.shared_core


def test_more_scope_is_there_already(mode: Mode, serve: Callable[..., ScriptedServer]) -> None:
    """A 403 that arrives after the login for the same scope has its request sent again; nobody logs in anew."""
    authority = Authority(serve)
    both_sent, is_late = threading.Barrier(2), threading.Event()

    def answer(request: Received) -> Answer:
        grant = authority.grant_of(request)
        if grant is None:
            return Answer(401, b"", (("WWW-Authenticate", "Bearer"),))
        if request.path == "/plain" or "write" in grant.parameters["scope"]:
            return Answer(200, request.path.encode())
        both_sent.wait(20)
        if request.path == "/late":
            assert is_late.wait(20)
        return Answer(403, b"", (("WWW-Authenticate", 'Bearer error="insufficient_scope", scope="read write"'),))

    api = serve(answer)
    auth = mode.plugin.ResourceAuth(
        api.url, login=authority.log_in, client_id="client", issuer=authority.issuer, scope="read"
    )
    with mode.client(auth) as client:
        assert 200 == client.get(f"{api.url}/plain").status_code
        late = client.begin("GET", f"{api.url}/late")
        assert 200 == client.get(f"{api.url}/early").status_code
        is_late.set()
        assert 200 == late.result(30).status_code
    assert 2 == len(authority.visited)
