"""requests-toolbelt: its sessions, adapters and pools get tokens, renewals and replays; its streams no replays."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests_toolbelt import MultipartEncoder, MultipartEncoderMonitor, StreamingIterator, threaded
from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter
from requests_toolbelt.adapters.source import SourceAddressAdapter
from requests_toolbelt.sessions import BaseUrlSession

from tests.support import modes

from .service import Service, go_through


@pytest.fixture
def session(served: Service) -> Any:
    with requests.Session() as session:
        session.auth = served.auth(modes.REQUESTS.plugin)
        yield session


def encoder() -> MultipartEncoder:
    return MultipartEncoder({"name": "value", "file": ("file.txt", io.BytesIO(b"content" * 1000), "text/plain")}, "b")


BODIES: dict[str, Callable[[], Any]] = {
    "MultipartEncoder": encoder,
    "MultipartEncoderMonitor": lambda: MultipartEncoderMonitor(encoder(), lambda monitor: None),
    "StreamingIterator": lambda: StreamingIterator(6, iter([b"abc", b"def"])),
    "StreamingIterator of a file": lambda: StreamingIterator(6, io.BytesIO(b"abcdef")),
}


@pytest.mark.parametrize("make_body", BODIES.values(), ids=BODIES)
def test_streams(make_body: Callable[[], Any], served: Service, session: requests.Session) -> None:
    """A body that can be read once is sent once and whole: a call that meets a revocation gets its 401."""

    def send() -> int:
        body = make_body()
        headers = {"Content-Type": getattr(body, "content_type", "text/plain")}
        return session.post(served.api_url, body, headers=headers).status_code

    statuses = [send()]
    served.expire()
    statuses.append(send())
    served.revoke()
    statuses += [send(), send()]

    whole = make_body().read()
    assert [200, 200, 401, 200] == statuses
    assert ["token-1", "token-2", "token-2", "token-3"] == served.seen
    assert [whole] * 4 == served.bodies


def test_base_url_session(served: Service) -> None:
    """`BaseUrlSession` is a session like any other."""
    with BaseUrlSession(f"{served.origin}/") as session:
        session.auth = served.auth(modes.REQUESTS.plugin)
        go_through(served, lambda: session.post("things", b"body").status_code)


@pytest.mark.parametrize("adapter", [SourceAddressAdapter("127.0.0.1"), TCPKeepAliveAdapter()], ids=type)
def test_adapters(adapter: Any, served: Service, session: requests.Session) -> None:
    """Its adapters send requests and replays; token calls go through a session of their own."""
    session.mount("http://", adapter)
    go_through(served, lambda: session.post(served.api_url, b"body").status_code)


def test_threaded_pool(served: Service) -> None:
    """The pool's sessions, one for each thread, share the auth object and so its token."""
    auth = served.auth(modes.REQUESTS.plugin)

    def with_auth(session: requests.Session) -> requests.Session:
        session.auth = auth
        return session

    def send_many() -> list[int]:
        jobs = [{"method": "POST", "url": served.api_url, "data": b"body"}] * 20
        responses, errors = threaded.map(jobs, initializer=with_auth, num_processes=4)
        assert [] == list(errors)
        return [response.status_code for response in responses]

    assert [200] * 20 == send_many()
    assert 1 == served.token_calls
    served.expire()
    assert [200] * 20 == send_many()
    served.revoke()
    assert [200] * 20 == send_many()
    assert 3 == served.token_calls
