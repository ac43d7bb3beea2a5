"""The library under what users put around it in their own tests: mocks, clients of their own, a moved clock."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import anyio
import httpx
import niquests
import niquests_mock
import pytest
import requests
import responses
import respx
import urllib3
from freezegun import freeze_time
from responses import matchers, registries

from oauth_auth import OAuthProviderError, OAuthProviderException, OAuthToken, TokenError, TokenTransportError
from oauth_auth.testing import LocalProvider
from tests.support import modes
from tests.support.modes import Client, Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, client_credentials

ALSO_SHARING = True

TOKEN_URL = "https://auth.example.com/token"
API_URL = "https://api.example.com/things"
BASIC = "Basic Y2xpZW50OnNlY3JldA=="

OF_HTTPX = tuple(mode for mode in modes.ALL if mode.library is httpx)


def token_answer(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"access_token": f"token-{number}", "token_type": "Bearer", "expires_in": 3600, **fields}


def auth_of(mode: Mode, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(TOKEN_URL, "client", "secret", **options)


# -- responses, for requests ------------------------------------------------------------------------------------


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mocked:
        yield mocked


def test_responses_answers_token_calls(mocked: responses.RequestsMock) -> None:
    """`responses` sees the token call as it is sent, and its answer reaches the API."""
    form = matchers.urlencoded_params_matcher({"grant_type": "client_credentials", "scope": "read"})
    mocked.post(TOKEN_URL, json=token_answer(), match=[form, matchers.header_matcher({"Authorization": BASIC})])
    mocked.get(API_URL, json={}, match=[matchers.header_matcher({"Authorization": "Bearer token-1"})])
    auth = auth_of(modes.REQUESTS, scope="read")
    with requests.Session() as session:
        assert 200 == session.get(API_URL, auth=auth).status_code
        assert 200 == session.get(API_URL, auth=auth).status_code
    assert ["POST", "GET", "GET"] == [call.request.method for call in mocked.calls]


def test_responses_rejects_and_takes_the_replay() -> None:
    """A mocked 401 is followed by a mocked token call and a replay with the same body."""
    with responses.RequestsMock(registry=registries.OrderedRegistry) as mocked:
        mocked.post(TOKEN_URL, json=token_answer(1))
        mocked.put(API_URL, status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        mocked.post(TOKEN_URL, json=token_answer(2))
        mocked.put(API_URL, json={"done": True})
        answer = requests.put(API_URL, json={"a": 1}, auth=auth_of(modes.REQUESTS), timeout=10)
        assert {"done": True} == answer.json()
        assert [401] == [before.status_code for before in answer.history]
        sent = [call.request for call in mocked.calls if call.request.url == API_URL]
    assert ["Bearer token-1", "Bearer token-2"] == [
        one.headers["Authorization"] for one in (answer.history[0].request, answer.request)
    ]
    assert 2 * [b'{"a": 1}'] == [one.body for one in sent]


def test_responses_can_be_told_to_take_the_requests_of_niquests() -> None:
    """`responses` takes niquests' sync adapter as its `target`: token calls, rejections and replays go through it."""
    target = "niquests.adapters.HTTPAdapter.send"
    with responses.RequestsMock(target=target, registry=registries.OrderedRegistry) as mocked:
        mocked.post(TOKEN_URL, json=token_answer(1))
        mocked.put(API_URL, status=401)
        mocked.post(TOKEN_URL, json=token_answer(2))
        mocked.put(API_URL, json={"done": True})
        answer = niquests.put(API_URL, json={"a": 1}, auth=auth_of(modes.NIQUESTS))
        assert ({"done": True}, [401]) == (answer.json(), [before.status_code for before in answer.history])
    sent: Any = answer.request
    assert "Bearer token-2" == sent.headers["Authorization"]


@pytest.mark.parametrize("mode", [modes.NIQUESTS, modes.NIQUESTS_ASYNCIO], ids=str)
def test_niquests_mock_takes_token_calls_and_requests(mode: Mode) -> None:
    """`niquests-mock` stands in for token endpoint and API. Its 401 can't be replayed; the next request succeeds."""
    numbers = itertools.count(1)

    def issue(request: Any) -> Any:
        return niquests_mock.build_response(request, json=token_answer(next(numbers)))

    def answer(request: Any) -> Any:
        status = 200 if request.headers["Authorization"] == "Bearer token-2" else 401
        return niquests_mock.build_response(request, status_code=status, content=request.body)

    def send(auth: Any) -> list[int | None]:
        with niquests.Session(auth=auth) as session:
            return [session.post(API_URL, data=b"body").status_code for _ in range(2)]

    async def send_async(auth: Any) -> list[int | None]:
        async with niquests.AsyncSession(auth=auth) as session:
            return [(await session.post(API_URL, data=b"body")).status_code for _ in range(2)]

    # It holds in the context where it's begun, and so for the flights that begin there.
    with niquests_mock.mock() as mocked:
        mocked.post(TOKEN_URL).mock(side_effect=issue)
        mocked.post(API_URL).mock(side_effect=answer)
        auth = auth_of(mode)
        assert [401, 200] == (send(auth) if mode.backend is None else anyio.run(send_async, auth))


def test_responses_refuses_a_token(mocked: responses.RequestsMock) -> None:
    """A mocked error answer raises what a real one does."""
    mocked.post(TOKEN_URL, json={"error": "invalid_client"}, status=401)
    with pytest.raises(OAuthProviderException) as caught:
        requests.get(API_URL, auth=auth_of(modes.REQUESTS), timeout=10)
    assert (OAuthProviderError.INVALID_CLIENT, 401) == (caught.value.error, caught.value.status_code)


@pytest.mark.parametrize("error", [requests.ConnectionError, requests.ReadTimeout, urllib3.exceptions.ProtocolError])
def test_responses_raises_for_token_calls(mocked: responses.RequestsMock, error: type[Exception]) -> None:
    """A mocked connection error is retried, and then is an error of ours and of requests, caused by the mock's."""
    mocked.post(TOKEN_URL, body=error("mocked trouble"))
    with pytest.raises(requests.RequestException, match="could not be reached") as caught:
        requests.get(API_URL, auth=auth_of(modes.REQUESTS, token_timeout=0.4), timeout=10)
    assert isinstance(caught.value, TokenTransportError)
    assert "mocked trouble" in str(caught.value.__cause__)


def test_responses_names_a_token_call_that_was_not_mocked(mocked: responses.RequestsMock) -> None:
    """Who forgets to mock the token endpoint reads so in the error, and no call leaves the machine."""
    with pytest.raises(TokenTransportError, match=r"auth\.example\.com/token could .* refused by Responses"):
        requests.get(API_URL, auth=auth_of(modes.REQUESTS, token_timeout=0.1), timeout=10)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_responses_answers_with_any_body(mocked: responses.RequestsMock, encoding: str) -> None:
    """A mocked body may come compressed, from a callback, or without a declared length."""
    body = json.dumps(token_answer()).encode()
    body = gzip.compress(body) if encoding == "gzip" else body
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    mocked.add_callback("POST", TOKEN_URL, lambda _: (200, headers, body))
    assert "token-1" == auth_of(modes.REQUESTS).get_token().access_token


def test_responses_lets_the_token_endpoint_through(provider: LocalProvider) -> None:
    """The API mocked, the token from a real provider: `responses` passes the token call on."""
    auth = modes.REQUESTS.plugin.ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
    with responses.RequestsMock() as mocked:
        mocked.add_passthru(provider.token_url)
        mocked.get(API_URL, status=401)
        mocked.get(API_URL, json={})
        assert 200 == requests.get(API_URL, auth=auth, timeout=10).status_code
        sent = [call.request.headers["Authorization"] for call in mocked.calls]
    assert 2 == len(provider.token_requests)
    assert f"Bearer {auth.token.access_token}" == sent[-1]


# -- respx, for httpx -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
@pytest.mark.parametrize("using", ["httpcore", "httpx"])
def test_respx_answers_token_calls(mode: Mode, using: str) -> None:
    """`respx` sees the token call as it is sent, whatever client asks for it, and its answer reaches the API."""
    with respx.mock(using=using) as router:
        token = router.post(TOKEN_URL, headers={"Authorization": BASIC}, data={"grant_type": "client_credentials"})
        token.respond(json=token_answer())
        api = router.get(API_URL, headers={"Authorization": "Bearer token-1"}).respond(json={})
        with mode.client(auth_of(mode)) as client:
            assert 200 == client.get(API_URL).status_code
            assert 200 == client.get(API_URL).status_code
        assert (1, 2) == (token.call_count, api.call_count)


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
def test_respx_rejects_and_takes_the_replay(mode: Mode) -> None:
    """A mocked 401 is followed by a mocked token call and a replay with the same body."""
    with respx.mock() as router:
        token = router.post(TOKEN_URL)
        token.side_effect = [httpx.Response(200, json=token_answer(number)) for number in (1, 2)]
        api = router.put(API_URL)
        api.side_effect = [httpx.Response(401), httpx.Response(200, json={"done": True})]
        with mode.client(auth_of(mode)) as client:
            answer = client.send("PUT", API_URL, body=b"body")
        assert {"done": True} == answer.json()
        assert [401] == [before.status_code for before in answer.history]
        sent = [call.request for call in api.calls]
        assert ["Bearer token-1", "Bearer token-2"] == [one.headers["Authorization"] for one in sent]
        assert 2 * [b"body"] == [one.content for one in sent]


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
def test_respx_raises_for_token_calls(mode: Mode) -> None:
    """A mocked connection error is retried, and then is an error of ours and of httpx at once."""
    with respx.mock() as router, mode.client(auth_of(mode, token_timeout=0.4)) as client:
        router.post(TOKEN_URL).side_effect = httpx.ConnectError("mocked trouble")
        with pytest.raises(httpx.TransportError, match="mocked trouble") as caught:
            client.get(API_URL)
    assert isinstance(caught.value, TokenTransportError)


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
def test_respx_names_a_token_call_that_was_not_mocked(mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    """Who forgets to mock the token endpoint gets an error that says why, and the log says which call it was."""
    with respx.mock() as router, mode.client(auth_of(mode)) as client:
        router.get(API_URL)
        with pytest.raises(TokenError, match="AllMockedAssertionError"):
            client.get(API_URL)
        router.reset()
        router.clear()
    assert f"'{TOKEN_URL}')> not mocked!" in caplog.text


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
def test_respx_lets_the_token_endpoint_through(mode: Mode, provider: LocalProvider) -> None:
    """The API mocked, the token from a real provider: `respx` passes the token call on."""
    auth = mode.plugin.ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
    with respx.mock() as router, mode.client(auth) as client:
        router.post(provider.token_url).pass_through()
        api = router.get(API_URL)
        api.side_effect = [httpx.Response(401), httpx.Response(200)]
        assert 200 == client.get(API_URL).status_code
        assert f"Bearer {auth.token.access_token}" == api.calls.last.request.headers["Authorization"]
    assert 2 == len(provider.token_requests)


# -- A client of the user's own ---------------------------------------------------------------------------------


def both(library: Any, log: list[Any]) -> Callable[[Any], Any]:
    """Return a handler for `MockTransport` that is a token endpoint and an API which takes each token once."""

    def handler(request: Any) -> Any:
        log.append(request)
        if str(request.url) == TOKEN_URL:
            return library.Response(200, json=token_answer(len(log)))
        used = [one for one in log[:-1] if one.headers["Authorization"] == request.headers["Authorization"]]
        return library.Response(401 if used else 200, content=request.read())

    return handler


@pytest.mark.parametrize("mode", modes.OF_HTTPX, ids=str)
@pytest.mark.parametrize("place", ["transport", "mounts"])
def test_a_mock_transport_takes_the_token_calls(mode: Mode, place: str) -> None:
    """A client on a `MockTransport` is a `token_client`; one handler can serve it and the API's client."""
    log: list[Any] = []
    transport = mode.library.MockTransport(both(mode.library, log))
    options = {"transport": transport} if place == "transport" else {"mounts": {"all://": transport}}
    with mode.library.Client(**options) as token_client:
        auth = auth_of(mode, token_client=token_client)
        with mode.client(auth, **options) as client:
            assert 200 == client.send("POST", API_URL, body=b"body").status_code
            replayed = client.send("POST", API_URL, body=b"body")
        assert (200, b"body", [401]) == (
            replayed.status_code,
            replayed.content,
            [before.status_code for before in replayed.history],
        )
        assert ["/token", "/things", "/things", "/token", "/things"] == [request.url.path for request in log]
        auth.close()
        assert 200 == token_client.get(API_URL, headers={"Authorization": "Bearer x"}).status_code


@pytest.mark.parametrize("mode", modes.OF_HTTPX[::3], ids=str)
def test_a_wsgi_application_takes_the_token_calls(mode: Mode) -> None:
    """An application in the same process can be the authorization server."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        form = environ["wsgi.input"].read()
        return [json.dumps(token_answer(form=form.decode())).encode()]

    with mode.library.Client(transport=mode.library.WSGITransport(application)) as token_client:
        token = mode.get_token(auth_of(mode, token_client=token_client))
    assert ("token-1", {"form": "grant_type=client_credentials"}) == (token.access_token, token.extra)


class Adapter(requests.adapters.BaseAdapter):
    """A stand-in for a server, as mocks of `requests` are made: it answers token calls, and the API as told."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.statuses = [200]
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent.append(request)
        is_token_call = request.url == TOKEN_URL
        status = 200 if is_token_call or not self.statuses else self.statuses.pop(0)
        body = json.dumps(token_answer(len(self.sent)) if is_token_call else {}).encode()
        headers = {"Content-Type": "application/json"}
        response = requests.Response()
        if self.kind == "urllib3":
            raw = urllib3.HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
            response = requests.adapters.HTTPAdapter().build_response(request, raw)
            response.connection = self  # type: ignore[assignment]
        elif self.kind == "file":
            response.raw = io.BytesIO(body)
        else:
            response._content = body
        response.status_code = status
        response.headers.update(headers)
        response.url, response.request = request.url or "", request
        return response

    def close(self) -> None:
        pass


ADAPTERS = ["urllib3", "file", "content"]


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_mounted_adapter_takes_the_token_calls(kind: str) -> None:
    """A mocking adapter on the `token_client` serves the token calls, whatever its answers are made of."""
    adapter = Adapter(kind)
    with requests.Session() as token_client:
        token_client.mount("https://", adapter)
        auth = auth_of(modes.REQUESTS, token_client=token_client)
        assert "token-1" == auth.get_token().access_token
        assert "token-2" == auth.refresh().access_token
    assert 2 * ["grant_type=client_credentials"] == [request.body for request in adapter.sent]


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_mounted_adapter_takes_the_requests(kind: str) -> None:
    """The API may be a mocking adapter, too. One that can't send again gets no replay, but the next request a token."""
    adapter = Adapter(kind)
    adapter.statuses = [200, 401]
    with requests.Session() as session:
        session.mount("https://", adapter)
        session.auth = auth_of(modes.REQUESTS, token_client=session)
        assert 200 == session.get(API_URL).status_code
        assert (200 if kind == "urllib3" else 401) == session.get(API_URL).status_code
        assert 200 == session.get(API_URL).status_code
    tokens = [request.headers["Authorization"] for request in adapter.sent if request.url == API_URL]
    assert 2 == len(set(tokens))


@pytest.mark.parametrize("mode", modes.SYNC, ids=str)
def test_a_hook_that_raises_does_not_hide_the_error(mode: Mode, serve: Callable[..., ScriptedServer]) -> None:
    """A `token_client` whose hook raises for a status, having read the answer, leaves the server's error readable."""
    server = serve(lambda _: Answer(400, {"error": "invalid_scope"}))

    with mode.token_client(hook=lambda response: response.raise_for_status(), reads=True) as token_client:
        auth = mode.plugin.ClientCredentialsAuth(server.url, "client", "secret", token_client=token_client)
        with pytest.raises(OAuthProviderException, match="invalid_scope"):
            auth.get_token()


# -- A moved clock ----------------------------------------------------------------------------------------------


@pytest.fixture
def echo(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    """An API that takes every token and says which it was."""
    return serve(lambda request: Answer(200, (request.authorization or "").encode()))


class TokenEndpoint:
    """Holds back the answers of the token endpoint while it is shut."""

    def __init__(self, tokens: Tokens) -> None:
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()
        self._next: Callable[[Received], Answer | None] = lambda _: None
        tokens.answer = self._answer

    def _answer(self, request: Received) -> Answer | None:
        self.reached.set()
        assert self._open.wait(30)
        return self._next(request)

    def fail(self, status: int = 503, **headers: str) -> None:
        self._next = lambda _: Answer(status, {"error": "mocked_failure"}, tuple(headers.items()))

    def mend(self) -> None:
        self._next = lambda _: None

    @contextmanager
    def shut(self) -> Iterator[None]:
        self.reached.clear()
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()


@pytest.fixture
def endpoint(tokens: Tokens) -> TokenEndpoint:
    return TokenEndpoint(tokens)


LONG_PAUSE = {"Retry-After": "60"}
"""What a failure asks for where no call may follow: on a clock that ticks, its own pause of a second just passes."""

Freeze = Callable[..., AbstractContextManager[tuple[Any, Client]]]


@pytest.fixture(
    params=[{"time_to_freeze": "2012-01-14"}, {"time_to_freeze": "2040-07-01", "tick": True}],
    ids=["still", "ticking"],
)
def freeze(request: pytest.FixtureRequest) -> Freeze:
    """Freeze the clock, in years that aren't this one, and open a client there."""

    @contextmanager
    def freeze(mode: Mode, auth: Any) -> Iterator[tuple[Any, Client]]:
        with freeze_time(**request.param) as clock, auth, mode.client(auth) as client:
            yield clock, client

    return freeze


def contents(answers: Iterable[Any]) -> list[str]:
    return [answer.content.decode() for answer in answers]


def test_a_frozen_clock_stops_nothing(mode: Mode, tokens: Tokens, echo: ScriptedServer, freeze: Freeze) -> None:
    """Under a clock that stands in another year, or ticks there, a token is had and used as ever."""
    auth = client_credentials(mode, tokens)
    with freeze(mode, auth) as (_, client):
        assert 5 * ["Bearer token-1"] == contents(client.get_many(echo.url, 5))
        assert time.time() + 3600 == pytest.approx(auth.token.expiry, abs=60)
    assert 1 == tokens.calls


def test_moved_short_of_the_refresh_window(
    plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, freeze: Freeze
) -> None:
    """Moved to just before the refresh window, a token is sent as it is."""
    with freeze(plugin_mode, client_credentials(plugin_mode, tokens)) as (clock, client):
        assert "Bearer token-1" == client.get(echo.url).text
        clock.tick(3600 - 10 - 300 - 60)
        assert "Bearer token-1" == client.get(echo.url).text
    assert 1 == tokens.calls


def test_moved_into_the_refresh_window(
    plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, endpoint: TokenEndpoint, freeze: Freeze
) -> None:
    """Moved into the refresh window, a token is still sent, and renewed meanwhile, by one call."""
    auth = client_credentials(plugin_mode, tokens, token_timeout=60)
    with freeze(plugin_mode, auth) as (clock, client):
        assert "Bearer token-1" == client.get(echo.url).text
        clock.tick(3600 - 10 - 100)
        with endpoint.shut():
            assert 3 * ["Bearer token-1"] == contents(client.get(echo.url) for _ in range(3))
            assert endpoint.reached.wait(30)
        auth.close()
        assert "Bearer token-2" == client.get(echo.url).text
    assert 2 == tokens.calls


def test_moved_into_the_leeway(
    plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, endpoint: TokenEndpoint, freeze: Freeze
) -> None:
    """Moved into the leeway, a token is replaced before the request; if that fails, it's sent all the same."""
    with freeze(plugin_mode, client_credentials(plugin_mode, tokens, leeway=120)) as (clock, client):
        assert "Bearer token-1" == client.get(echo.url).text
        clock.tick(3600 - 60)
        assert "Bearer token-2" == client.get(echo.url).text
        endpoint.fail(400, **LONG_PAUSE)
        clock.tick(3600 - 60)
        assert 3 * ["Bearer token-2"] == contents(client.get(echo.url) for _ in range(3))
    assert 3 == tokens.calls


def test_moved_past_the_expiry(
    plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, endpoint: TokenEndpoint, freeze: Freeze
) -> None:
    """Moved past its expiry, a token is replaced before the request, for all callers by one call, or not sent."""
    auth = client_credentials(plugin_mode, tokens)
    with freeze(plugin_mode, auth) as (clock, client):
        assert "Bearer token-1" == client.get(echo.url).text
        clock.tick(3600 + 1)
        assert auth.token.is_expired()
        assert 10 * ["Bearer token-2"] == contents(client.get_many(echo.url, 10))
        assert 2 == tokens.calls
        endpoint.fail(400, **LONG_PAUSE)
        clock.tick(dt.timedelta(days=365))
        errors = [*client.get_many(echo.url, 10), *client.get_many(echo.url, 10)]
        assert {OAuthProviderException} == {type(error) for error in errors}
        assert 3 == tokens.calls
        endpoint.mend()
        clock.tick(61)
        assert "Bearer token-3" == client.get(echo.url).text


def test_moved_through_many_lifetimes(plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, freeze: Freeze) -> None:
    """Each lifetime that passes costs one call."""
    with freeze(plugin_mode, client_credentials(plugin_mode, tokens)) as (clock, client):
        for number in range(1, 6):
            assert 4 * [f"Bearer token-{number}"] == contents(client.get_many(echo.url, 4))
            clock.tick(4000)
    assert 5 == tokens.calls


def test_moved_back(plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, freeze: Freeze) -> None:
    """Moved back, before the token was issued, the clock harms no request."""
    with freeze(plugin_mode, client_credentials(plugin_mode, tokens)) as (clock, client):
        assert "Bearer token-1" == client.get(echo.url).text
        clock.move_to("2001-01-01")
        assert "Bearer token-1" == client.get(echo.url).text
    assert 1 == tokens.calls


def test_a_provider_s_tokens_age_by_a_moved_clock(plugin_mode: Mode, echo: ScriptedServer, freeze: Freeze) -> None:
    """Tokens that a user's own function makes, with a lifetime, expire by the moved clock too."""
    made: list[str] = []

    def provide(last: OAuthToken | None) -> OAuthToken:
        made.append(f"made-{len(made)}")
        return OAuthToken(access_token=made[-1], expires_in=60)

    with freeze(plugin_mode, plugin_mode.plugin.TokenProviderAuth(provide)) as (clock, client):
        for number in range(3):
            assert 2 * [f"Bearer made-{number}"] == contents(client.get(echo.url) for _ in range(2))
            clock.tick(61)
    assert 3 == len(made)


def test_a_patched_clock_counts(
    mode: Mode, tokens: Tokens, echo: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever replaces `time.time` itself moves the library's clock, too."""
    moved = 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + moved)
    with client_credentials(mode, tokens) as auth, mode.client(auth) as client:
        assert "Bearer token-1" == client.get(echo.url).text
        moved = 3601.0
        assert "Bearer token-2" == client.get(echo.url).text


@pytest.mark.parametrize("mode", modes.ASYNC, ids=str)
def test_a_frozen_clock_leaves_the_event_loop_alone(mode: Mode, tokens: Tokens, echo: ScriptedServer) -> None:
    """With freezegun's `real_asyncio`, one loop is used before, in and after the frozen time."""

    async def use() -> list[str]:
        auth = client_credentials(mode, tokens)
        async with mode.async_client(auth=auth) as client:
            seen = [await client.get(echo.url)]
            with freeze_time("2012-01-14", tick=True, real_asyncio=True) as clock:
                seen.append(await client.get(echo.url))
                await auth.arefresh()
                seen.append(await client.get(echo.url))
                clock.tick(3601)
                seen.append(await client.get(echo.url))
            # Here the last token, which is of 2012, is expired.
            seen.append(await client.get(echo.url))
        return contents(seen)

    seen = anyio.run(use, backend=mode.backend or "")
    assert [f"Bearer token-{number}" for number in (1, 1, 2, 3, 4)] == seen


# -- What else depends on time ----------------------------------------------------------------------------------


def test_pauses_hold_and_end_by_a_moved_clock(
    plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, endpoint: TokenEndpoint, freeze: Freeze
) -> None:
    """After a failed renewal in the window, the next one waits for its pause, and comes when the clock is past it."""
    auth = client_credentials(plugin_mode, tokens)
    with freeze(plugin_mode, auth) as (clock, client):
        client.get(echo.url)
        endpoint.fail(503, **LONG_PAUSE)
        clock.tick(3600 - 10 - 100)
        for _ in range(5):
            assert "Bearer token-1" == client.get(echo.url).text
            auth.close()
        assert 2 == tokens.calls
        endpoint.mend()
        clock.tick(61)
        assert "Bearer token-1" == client.get(echo.url).text
        auth.close()
        assert "Bearer token-2" == client.get(echo.url).text
    assert 3 == tokens.calls


@pytest.mark.parametrize("how", ["moved back", "frozen again"])
def test_a_refusal_is_not_remembered_by_another_clock(
    plugin_mode: Mode, tokens: Tokens, echo: ScriptedServer, endpoint: TokenEndpoint, how: str
) -> None:
    """A refusal under a clock in the future isn't remembered for years once the clock is back."""
    endpoint.fail(400)
    with client_credentials(plugin_mode, tokens) as auth, plugin_mode.client(auth) as client:
        with freeze_time("2040-07-01") as clock:
            assert {OAuthProviderException} == {type(error) for error in client.get_many(echo.url, 5)}
            endpoint.mend()
            if how == "moved back":
                clock.move_to("2030-07-01")
                clock.tick(61)
                assert "Bearer token-1" == client.get(echo.url).text
        with freeze_time("2030-07-01") as clock:
            clock.tick(61)
            assert "Bearer token-1" == client.get(echo.url).text


def test_rejections_are_not_remembered_by_another_clock(
    plugin_mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer]
) -> None:
    """An API that rejected every token under a clock in the future gets new ones once the clock is back."""
    api = serve(lambda _: Answer(401))
    with client_credentials(plugin_mode, tokens) as auth, plugin_mode.client(auth) as client:
        with freeze_time("2040-07-01"):
            assert 10 * [401] == [client.get(api.url).status_code for _ in range(10)]
        with freeze_time("2030-07-01") as clock:
            clock.tick(61)
            before = tokens.calls
            assert 401 == client.get(api.url).status_code
            assert before + 1 == tokens.calls


def test_an_answer_that_has_arrived_is_used(
    mode: Mode, tokens: Tokens, echo: ScriptedServer, endpoint: TokenEndpoint
) -> None:
    """When the clock is moved while a token call is under way, its answer isn't thrown away: it may be a rotation."""
    with freeze_time() as clock, client_credentials(mode, tokens) as auth, mode.client(auth) as client:
        with endpoint.shut():
            answer = client.begin("GET", echo.url)
            assert endpoint.reached.wait(30)
            clock.tick(30)
        assert "Bearer token-1" == answer.result(30).text
    assert 1 == tokens.calls


def test_a_pause_that_takes_too_long(
    plugin_mode: Mode, tokens: Tokens, endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the pause before a second attempt outlasts the time there is, the caller gets the first one's error."""
    endpoint.fail(503)
    with freeze_time() as clock:
        monkeypatch.setattr(time, "sleep", lambda _: clock.tick(60))
        with pytest.raises(OAuthProviderException, match="mocked_failure"):
            client_credentials(plugin_mode, tokens).get_token()


# -- LocalProvider in a test suite of the user's own ------------------------------------------------------------


class Shop:
    """A user's client of some API, which knows nothing of tokens."""

    def __init__(self, url: str, auth: Any) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.auth = auth

    def order(self, article: str) -> int:
        answer = self.session.post(f"{self.url}/orders", json={"article": article}, timeout=10)
        answer.raise_for_status()
        return int(answer.json()["length"])


@pytest.fixture
def shop(provider: LocalProvider) -> Iterator[Shop]:
    auth = modes.REQUESTS.plugin.PasswordAuth(
        provider.token_url,
        provider.client_id,
        provider.client_secret,
        username=provider.username,
        password=provider.password,
    )
    shop = Shop(provider.api_url, auth)
    with shop.session:
        yield shop


def test_a_user_s_code_survives_revocations_and_outages(provider: LocalProvider, shop: Shop) -> None:
    """What users want to see of their own code: revoked tokens and a failing endpoint don't reach it."""
    length = shop.order("tea")
    provider.revoke_access_tokens()
    provider.fail_token_requests(503)
    assert length == shop.order("tea")
    provider.revoke_access_tokens()
    provider.revoke_refresh_tokens()
    assert length == shop.order("tea")
    grants = [request.form["grant_type"][0] for request in provider.token_requests]
    assert ["password", "refresh_token", "refresh_token", "refresh_token", "password"] == grants


def test_a_user_moves_the_clock(provider: LocalProvider, shop: Shop) -> None:
    """A user's frozen clock is the client's alone: it renews when due, and the provider's tokens don't age by it."""
    with freeze_time("2030-01-01") as clock:
        shop.order("tea")
        for calls in range(2, 5):
            clock.tick(provider.token_lifetime or 0)
            shop.order("tea")
            assert calls == len(provider.token_requests)


def test_a_user_sees_an_error_as_such(provider: LocalProvider, shop: Shop) -> None:
    """A refusal, on demand, is the error that the user's code must handle; afterwards all is well."""
    provider.fail_token_requests(400, error="invalid_scope")
    with freeze_time(tick=True) as clock:
        with pytest.raises(OAuthProviderException, match="invalid_scope"):
            shop.order("tea")
        clock.tick(61)
        shop.order("tea")


def test_a_user_begins_with_a_token(provider: LocalProvider) -> None:
    """A token made by hand, expired, is how a user has a renewal in a test; an unknown one is rejected and replaced."""
    options = {"username": provider.username, "password": provider.password}
    client = (provider.token_url, provider.client_id, provider.client_secret)
    first = modes.REQUESTS.plugin.PasswordAuth(*client, **options).get_token()
    for token in (
        OAuthToken(access_token="old", expiry=0, refresh_token=first.refresh_token),
        OAuthToken(access_token="unknown"),
    ):
        auth = modes.REQUESTS.plugin.PasswordAuth(*client, token=token, **options)
        assert 200 == requests.get(provider.api_url, auth=auth, timeout=10).status_code
    grants = [request.form["grant_type"][0] for request in provider.token_requests]
    assert ["password", "refresh_token", "password"] == grants
