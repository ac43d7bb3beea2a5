"""OAuth 2 for `niquests`: set `session.auth` to one of these, sync or async, and never meet a token again.

An auth object isn't told whether it's used by a `Session` or an `AsyncSession`, and whether an event loop runs
doesn't tell either: sync sessions are used in notebooks. But hooks are called differently. So ours come in pairs, a
coroutine function and a plain one after it: an `AsyncSession` awaits the first, and the second is given its result;
a `Session` doesn't, and the second is given a coroutine that hasn't begun. It ends that one and does the work itself.
"""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import io
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

try:
    import niquests
    import niquests.adapters
except ImportError as error:  # pragma: no cover - held by a test that runs apart
    raise ImportError('oauth_auth.niquests needs niquests: pip install "oauth_auth[niquests]"') from error
from niquests.auth import AuthBase
from niquests.packages import urllib3

from . import errors
from ._plugins.auth import AsyncTokens
from ._plugins.classes import AuthorizationCode, Bearer, ClientCredentials, DeviceCode, Password, Provider, RefreshToken
from ._plugins.options import Settings
from ._plugins.requests_like import RequestsHooks, RequestsTokenTransport, can_replay, is_short, rejection_of
from ._renewal.store_entry import StoreEntry
from ._server import controller as _controller
from ._server.grants import Grant
from ._wire.token import Header, OAuthToken
from .errors import OAuthError, TokenError

__all__ = [
    "AuthorizationCodeAuth",
    "BearerAuth",
    "ClientCredentialsAuth",
    "DeviceCodeAuth",
    "OAuthAuthorizationController",
    "PasswordAuth",
    "RefreshTokenAuth",
    "TokenProviderAuth",
    "TokenTransportError",
]

PreparedRequest = niquests.PreparedRequest
Response = niquests.Response


class TokenTransportError(errors.TokenTransportError, niquests.RequestException):
    """The token endpoint could not be reached; also what niquests raises for trouble of its own."""


class _UnwatchedAdapter(niquests.adapters.HTTPAdapter):
    """Has no thread that watches idle connections: a token call leaves none, and at exit no thread can start."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, background_watch_delay=None)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, background_watch_delay=None)


class _TokenTransport(RequestsTokenTransport):
    __slots__ = ()

    _library: ClassVar[Any] = niquests
    _urllib3: ClassVar[Any] = urllib3
    _error_class: ClassVar[type[errors.TokenTransportError]] = TokenTransportError

    def _is_session(self, token_client: Any) -> bool:
        return isinstance(token_client, niquests.Session) and not isinstance(token_client, niquests.AsyncSession)

    def _new_session(self) -> niquests.Session:
        session = niquests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _UnwatchedAdapter(resolver=session.resolver))
        return session

    def _read(self, response: Any, deadline: float) -> bytes:
        _ = response.status_code  # a multiplexed session has only promised an answer; this awaits it
        return super()._read(response, deadline)


class OAuthAuthorizationController(_controller.OAuthAuthorizationController):
    __doc__ = _controller.OAuthAuthorizationController.__doc__

    _transport_class = _TokenTransport


class _Unsent(Header):
    """Stands in a request's header for a token that is fetched when the session sends the request.

    Whoever sends the request without a session, straight through an adapter, gets an error: it can't be encoded.
    """

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        raise TokenError("this request has no token yet, which is fetched by session.send(): send it through a session")


_unsent = _Unsent("")


def _end(given: Any, name: str) -> Any:
    """Return what a coroutine that a sync session left unawaited was called with; None if there's no such coroutine."""
    if not inspect.iscoroutine(given):
        return None
    argument = inspect.getcoroutinelocals(given)[name]
    given.close()
    return argument


class NiquestsAuth(RequestsHooks, AsyncTokens, AuthBase):
    """The mechanics of niquests; one object serves `Session` and `AsyncSession`."""

    _library: ClassVar[Any] = niquests
    _controller_class = OAuthAuthorizationController

    def _begin(
        self, settings: Settings, grant: Grant, *, token: OAuthToken | None, shelf: StoreEntry | None = None
    ) -> None:
        super()._begin(settings, grant, token=token, shelf=shelf)
        self._hooks: dict[str, tuple[Callable[..., Any], ...]] = {}
        self._latest: tuple[str, tuple[Callable[..., Any], ...]] = ("\0", ())

    def __call__(self, request: Any) -> Any:
        """Add the token to a request, or have its session add it if there's none yet.

        Raises `InsecureTransportError` for plain http; the session then raises `TokenError`.
        """
        try:
            beginning, hooks = self._latest
            if request.__class__ is not PreparedRequest or not request.url.startswith(beginning):  # type: ignore[union-attr]
                hooks = self._hook_for(request)
                if hooks is None:
                    return request
        except AttributeError:
            raise self._wrong_library(request) from None
        current = self._source.current
        if current is None or time.time() >= current.refresh_at:
            request.headers["Authorization"] = _unsent
            request.hooks["pre_request"].extend((self._fetch_async, self._fetch))
        else:
            request.headers["Authorization"] = current.header
        request.hooks["response"].extend(hooks)
        return request

    async def _fetch_async(self, request: Any) -> Any:
        """Add the token that there wasn't yet. Redirects call this again, with a header that is no matter of ours."""
        if isinstance(request.headers.get("Authorization"), _Unsent):
            request.headers["Authorization"] = (await self._source.aobtain()).header
        return request

    def _fetch(self, given: Any) -> Any:
        """Do the same, unless the hook before has seen to it."""
        request = _end(given, "request") or given
        if isinstance(request.headers.get("Authorization"), _Unsent):
            request.headers["Authorization"] = self._source.obtain().header
        return request

    def _make_hook(self, origin: str, replayed: PreparedRequest | None) -> tuple[Callable[..., Any], ...]:
        ways = (self._on_response_async, self._on_response)
        return tuple(functools.partial(way, origin, replayed) for way in ways)

    def _after_replay(self, hook: Any, origin: str, request: PreparedRequest) -> Any:
        ways: tuple[Any, ...] = (self._on_response_async, self._on_response)
        is_ours = isinstance(hook, functools.partial) and hook.func in ways
        return functools.partial(hook.func, origin, request) if is_ours else hook

    def _on_response(self, origin: str, replayed: PreparedRequest | None, given: Any, **kwargs: Any) -> Any:
        """Replay what was rejected, unless the hook before has seen to it."""
        response = _end(given, "response")
        if response is None:
            return given
        header = self._rejected_header(origin, replayed, response)
        if header is None:
            return response
        answered = rejection_of(response)
        is_repeatable = can_replay(response)
        answered.emit_rejection(can_replay=is_repeatable)
        if not is_repeatable:
            with suppress(OAuthError):  # it's logged, and the answer that the caller gets says what is wrong
                self._source.replace(header, origin, answered.about)
            return response
        _drain(response)
        try:
            credential = self._source.replace(header, origin, answered.about)
        except BaseException:  # interrupted, too
            _close(response)
            raise
        if credential is None:
            return response
        answered.emit_replay()
        request = self._prepare_replay(origin, response, credential.header)
        _close(response)  # if it's too long to be read for its connection's sake
        begun = time.perf_counter()
        answer = response.connection.send(request, **_at_once(kwargs))
        answer.elapsed = dt.timedelta(seconds=time.perf_counter() - begun)
        return self._hand_over(origin, credential.header, response, answer, in_place=kwargs.get("multiplexed"))

    async def _on_response_async(
        self, origin: str, replayed: PreparedRequest | None, response: Any, **kwargs: Any
    ) -> Any:
        """Do the same in an async session."""
        header = self._rejected_header(origin, replayed, response)
        if header is None:
            return response
        answered = rejection_of(response)
        is_repeatable = await _can_replay_async(response)
        answered.emit_rejection(can_replay=is_repeatable)
        if not is_repeatable:
            with suppress(OAuthError):  # it's logged, and the answer that the caller gets says what is wrong
                await self._source.areplace(header, origin, answered.about)
            return response
        await _drain_async(response)
        try:
            credential = await self._source.areplace(header, origin, answered.about)
        except BaseException:  # cancelled, too
            await _close_async(response)
            raise
        if credential is None:
            return response
        answered.emit_replay()
        request = self._prepare_replay(origin, response, credential.header)
        await _close_async(response)
        begun = time.perf_counter()
        answer = await response.connection.send(request, **_at_once(kwargs))
        answer.elapsed = dt.timedelta(seconds=time.perf_counter() - begun)
        return self._hand_over(origin, credential.header, response, answer, in_place=kwargs.get("multiplexed"))

    def _hand_over(self, origin: str, header: str, response: Any, answer: Any, *, in_place: bool | None) -> Any:
        """Return the new answer, with the old one in its history.

        A caller of a multiplexed session holds a response already, which was only promised, so that very object
        becomes the new answer.
        """
        if not in_place:
            self._conclude_replay(origin, header, _as_past(response), answer)
            return answer
        past = object.__new__(type(response))
        past.__dict__.update(response.__dict__)
        answer.history.extend(past.history)
        self._conclude_replay(origin, header, _as_past(past), answer)
        response.__dict__.clear()
        response.__dict__.update(answer.__dict__)
        return response


def _at_once(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a request so that its answer isn't just promised; some adapters don't know that option."""
    return {**kwargs, "multiplexed": False} if kwargs.get("multiplexed") else kwargs


def _as_past(response: Any) -> Any:
    """Return a response as an async session puts those that led to redirects into a history: with its content read."""
    if isinstance(response, niquests.AsyncResponse):
        response.__class__ = Response  # type: ignore[assignment]
    return response


def _drain(response: Any) -> None:
    """Read what's left, so that the connection is free for the next request while this one waits."""
    try:
        if is_short(response):
            _ = response.content
    except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
        _close(response)


async def _drain_async(response: Any) -> None:
    """Do the same in an async session, where mocks may bring a response that isn't async."""
    if not isinstance(response, niquests.AsyncResponse):
        _drain(response)
        return
    try:
        if is_short(response):
            content, raw = await response.content, response.raw
            # If there will be no other answer, the caller must still be able to stream this one.
            raw.read = _reading(content)  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
        await _close_async(response)


def _close(response: Any) -> None:
    """Close a response, unless it was read; one that can't be read any more is empty."""
    if not response._content_consumed:  # noqa: SLF001
        response.close()
        response._content, response._content_consumed = b"", True  # noqa: SLF001


async def _close_async(response: Any) -> None:
    if not isinstance(response, niquests.AsyncResponse):
        _close(response)
    elif not response._content_consumed:  # noqa: SLF001
        await response.close()
        response._content, response._content_consumed = b"", True  # noqa: SLF001


def _reading(content: bytes | None) -> Callable[..., Awaitable[bytes]]:
    """Return a function that reads a content that was read before, in place of that of a connection's end."""
    file = io.BytesIO(content or b"")

    async def read(amt: int | None = None, *_: object, **__: object) -> bytes:
        return file.read(amt)

    return read


async def _can_replay_async(response: Any) -> bool:
    """Do what `can_replay` does, also for files that are read asynchronously."""
    body = response.request.body
    if not inspect.iscoroutinefunction(getattr(body, "seek", None)):
        return can_replay(response)
    position = getattr(response.request, "_body_position", None)
    if isinstance(position, bool) or not isinstance(position, int):
        return False
    try:
        await body.seek(position)
        return bool(await body.tell() == position)
    except Exception:  # noqa: BLE001 - closed, or not seekable
        return False


class ClientCredentialsAuth(ClientCredentials, NiquestsAuth):
    __doc__ = ClientCredentials.__doc__


class AuthorizationCodeAuth(AuthorizationCode, NiquestsAuth):
    __doc__ = AuthorizationCode.__doc__


class DeviceCodeAuth(DeviceCode, NiquestsAuth):
    __doc__ = DeviceCode.__doc__


class PasswordAuth(Password, NiquestsAuth):
    __doc__ = Password.__doc__


class RefreshTokenAuth(RefreshToken, NiquestsAuth):
    __doc__ = RefreshToken.__doc__


class TokenProviderAuth(Provider, NiquestsAuth):
    __doc__ = Provider.__doc__


class BearerAuth(Bearer, NiquestsAuth):
    __doc__ = Bearer.__doc__
