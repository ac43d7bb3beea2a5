"""What answers in place of servers: token calls are mocked as any other request is, and rejections are replayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import requests_mock
import responses
import respx
from aiointercept import CallbackResult, aiointercept
from aioresponses import aioresponses

from oauth_auth import TokenError
from tests.support import modes
from tests.support.modes import Mode
from tests.support.waiting import await_silence

from .service import Service, go_through, sender

OF_HTTPX = tuple(mode for mode in modes.ALL if mode.library is httpx)
OF_HTTPX2 = tuple(mode for mode in modes.ALL if mode.library is httpx2)


def go_through_with(mode: Mode, service: Service) -> None:
    with mode.client(service.auth(mode.plugin)) as client:
        go_through(service, sender(service, client))


@pytest.mark.parametrize(
    ("mode", "options"),
    [(modes.REQUESTS, {}), (modes.NIQUESTS, {"target": "niquests.adapters.HTTPAdapter.send"})],
    ids=str,
)
def test_responses(mode: Mode, options: dict[str, Any], service: Service) -> None:
    """`responses` answers token calls, renewals and replays; niquests' too if it's told where to stand."""

    def answer(request: Any) -> Any:
        reply = service.reply(request.url, request.headers, request.body)
        return reply.status, reply.headers, reply.body

    with responses.RequestsMock(**options) as mocked:
        mocked.add_callback("POST", service.token_url, answer)
        mocked.add_callback("POST", service.api_url, answer)
        go_through_with(mode, service)


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
def test_respx(mode: Mode, service: Service) -> None:
    """`respx` answers token calls, renewals and replays of httpx."""

    def answer(request: httpx.Request) -> httpx.Response:
        reply = service.reply(request.url, request.headers, request.read())
        return httpx.Response(reply.status, headers=reply.headers, json=reply.document)

    with respx.mock() as router:
        router.post(service.token_url).mock(side_effect=answer)
        router.post(service.api_url).mock(side_effect=answer)
        go_through_with(mode, service)


@pytest.mark.parametrize("mode", [*OF_HTTPX, *OF_HTTPX2], ids=str)
def test_pytest_httpx(mode: Mode, service: Service, request: pytest.FixtureRequest) -> None:
    """`pytest-httpx` answers token calls, renewals and replays of httpx, and `httpx2-pytest` those of httpx2."""
    mock: Any = request.getfixturevalue(f"{mode.library.__name__}_mock")

    def answer(request: Any) -> Any:
        reply = service.reply(request.url, request.headers, request.read())
        return mode.library.Response(reply.status, headers=reply.headers, json=reply.document)

    mock.add_callback(answer, url=service.token_url, is_reusable=True)
    mock.add_callback(answer, url=service.api_url, is_reusable=True)
    go_through_with(mode, service)


# -- requests-mock ----------------------------------------------------------------------------------------------


def answering(service: Service) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: Any) -> Any:
        reply = service.reply(request.url, request.headers, request.body)
        context.status_code = reply.status
        context.headers.update(reply.headers)
        return reply.document

    return answer


def test_requests_mock_s_adapter(service: Service) -> None:
    """`requests_mock.Adapter` on a session that is the `token_client`, too, answers all."""
    adapter = requests_mock.Adapter()
    adapter.register_uri("POST", requests_mock.ANY, json=answering(service))
    with requests.Session() as session:
        session.mount("https://", adapter)
        session.auth = service.auth(modes.REQUESTS.plugin, token_client=session)
        go_through(service, lambda: session.post(service.api_url, b"body").status_code)


def test_requests_mock_s_mocker_of_a_session(service: Service) -> None:
    """`Mocker(session=…)` answers that session's requests; the `token_client` then has the adapter."""
    adapter = requests_mock.Adapter()
    adapter.register_uri("POST", service.token_url, json=answering(service))
    with requests.Session() as token_client, requests.Session() as session:
        token_client.mount("https://", adapter)
        session.auth = service.auth(modes.REQUESTS.plugin, token_client=token_client)
        with requests_mock.Mocker(session=session) as mocked:
            mocked.post(service.api_url, json=answering(service))
            go_through(service, lambda: session.post(service.api_url, b"body").status_code)


def test_requests_mock_s_mocker(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`Mocker()` answers token calls, but for the one after a 401: it allows one `Session.send` at a time."""
    mocker: Any = requests_mock.mocker
    lock = mocker.threading_rlock
    monkeypatch.setattr(mocker, "threading_rlock", lambda timeout: lock(timeout / 100))  # not ten seconds
    with requests_mock.Mocker() as mocked, requests.Session() as session:
        mocked.post(requests_mock.ANY, json=answering(service))
        session.auth = service.auth(modes.REQUESTS.plugin)
        assert 200 == session.post(service.api_url).status_code
        service.expire()
        assert 200 == session.post(service.api_url).status_code
        service.revoke()
        with pytest.raises(TokenError, match="was answered with 401"):
            session.post(service.api_url)
    await_silence()
    assert "Could not acquire threading lock" in caplog.text
    assert 2 == service.token_calls


# -- aiohttp ----------------------------------------------------------------------------------------------------


def test_aiointercept(service: Service) -> None:
    """`aiointercept` answers token calls, renewals and replays of aiohttp."""

    def answer(url: Any, **kwargs: Any) -> CallbackResult:
        reply = service.reply(url, kwargs["headers"], kwargs["data"])
        return CallbackResult(status=reply.status, headers=reply.headers, body=json.dumps(reply.document))

    async def main() -> None:
        async with aiointercept(mock_external_urls=True) as mocked:
            mocked.post(service.token_url, callback=answer, repeat=True)
            mocked.post(service.api_url, callback=answer, repeat=True)
            await asyncio.to_thread(go_through_with, modes.AIOHTTP, service)

    asyncio.run(main())


def test_aioresponses_calls_no_middleware(service: Service) -> None:
    """`aioresponses` stands in for the session itself, so no middleware is called and no token is fetched."""
    with aioresponses() as mocked, modes.AIOHTTP.client(service.auth(modes.AIOHTTP.plugin)) as client:
        mocked.post(service.token_url, payload={"access_token": "token-1"})
        mocked.post(service.api_url, exception=aiohttp.ClientPayloadError("mocked"))
        with pytest.raises(aiohttp.ClientPayloadError, match="mocked"):
            client.send("POST", service.api_url, body=b"body")
        [[call]] = mocked.requests.values()
    assert "Authorization" not in (call.kwargs.get("headers") or {})
