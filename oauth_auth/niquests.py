"""OAuth 2 for `niquests`: set `session.auth` to one of these, sync or async, and never meet a token again.

An auth object can't know whether a `Session` or an `AsyncSession` uses it, not even from a running event loop, since
sync sessions are used in notebooks. But the two call hooks differently. So ours come in pairs, a coroutine function and
a plain one after it. An `AsyncSession` awaits the first, and gives its result to the second. A `Session` doesn't await,
and gives the second a coroutine that hasn't begun; the second closes it and does the work itself.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

try:
    import niquests
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.niquests needs niquests: pip install "oauth_auth[niquests]"') from error
from niquests.auth import AuthBase
from niquests.packages import urllib3

from . import errors
from ._flight import run, run_async
from ._plugins.auth import AsyncTokens, auth_classes
from ._plugins.exchange import DRAIN_LIMIT, DRAIN_SECONDS, is_short, may_be_short, rewind_async
from ._plugins.origins import Proofs
from ._plugins.replacing import replacing
from ._plugins.requests_like import Hook, RequestsExchange, RequestsHooks, Sent, is_multiplexed, set_content
from ._plugins.requests_transport import RequestsTokenTransport
from ._plugins.token_transport import Body
from ._server import operations as _controller
from ._wire.messages import TokenResponse
from ._wire.token import Credential, Header
from .errors import TokenError

__all__ = [
    "AuthorizationCodeAuth",
    "BearerAuth",
    "ClientCredentialsAuth",
    "DeviceCodeAuth",
    "JwtBearerAuth",
    "OAuthAuthorizationController",
    "PasswordAuth",
    "RefreshTokenAuth",
    "ResourceAuth",
    "TokenExchangeAuth",
    "TokenProviderAuth",
    "TokenTransportError",
]

if TYPE_CHECKING:
    from ._plugins.authorization_code import AuthorizationCode
    from ._plugins.client_credentials import ClientCredentials
    from ._plugins.device import DeviceCode
    from ._plugins.given import Bearer, Provider
    from ._plugins.jwt_bearer import JwtBearer
    from ._plugins.password import Password
    from ._plugins.refresh_token import RefreshToken
    from ._plugins.resource_auth import Resource
    from ._plugins.token_exchange import TokenExchange

PreparedRequest = niquests.PreparedRequest
Response = niquests.Response


class TokenTransportError(errors.TokenTransportError, niquests.RequestException):
    """The token endpoint could not be reached; also what niquests raises for errors of its own."""


class _TokenTransport(RequestsTokenTransport):
    __slots__ = ()

    _library: ClassVar[Any] = niquests
    _urllib3: ClassVar[Any] = urllib3
    error_class: ClassVar[type[errors.TokenTransportError]] = TokenTransportError

    def _is_session(self, token_client: Any) -> bool:
        return isinstance(token_client, niquests.Session) and not isinstance(token_client, niquests.AsyncSession)

    def _read(self, response: Any, body: Body) -> TokenResponse:
        _ = response.status_code  # a multiplexed session returns a lazy answer, which this waits for
        return super()._read(response, body)


class OAuthAuthorizationController(_controller.OAuthAuthorizationController):
    __doc__ = _controller.OAuthAuthorizationController.__doc__

    _transport_class = _TokenTransport


class _Unsent(Header):
    """Stands in a request's header for a token that is fetched when the session sends the request.

    Sending the request through an adapter, without a session, raises an error, since this can't be encoded.
    """

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        raise TokenError("this request has no token yet, which is fetched by session.send(): send it through a session")


_unsent = _Unsent("")


def _set_token(headers: Any, credential: Credential | None) -> None:
    """Set the token in place of what stands for it; with None there's none."""
    if credential is None:
        del headers["Authorization"]
    else:
        headers["Authorization"] = credential.text


def _end(given: Any, name: str) -> Any:
    """Return what a coroutine that a sync session left unawaited was called with; None if there's no such coroutine."""
    if not inspect.iscoroutine(given):
        return None
    argument = inspect.getcoroutinelocals(given)[name]
    given.close()
    return argument


class NiquestsAuth(RequestsHooks, AsyncTokens, AuthBase):
    """The base for niquests; one object serves `Session` and `AsyncSession`."""

    _library: ClassVar[Any] = niquests
    _controller_class = OAuthAuthorizationController

    def _prepare(self) -> None:
        super()._prepare()
        self._places = {}
        self._latest = ("\0", 1, ())

    def __call__(self, request: Any) -> Any:
        """Add the token to a request, or have its session add it if there's none yet.

        Raises `InsecureTransportError` for plain http; the session then raises `TokenError`.
        """
        try:
            beginning, end, hooks = self._latest
            if request.__class__ is not PreparedRequest or request.url[:end] != beginning:  # type: ignore[index]
                hooks = self._hook_for(request)
                if hooks is None:
                    return request
        except AttributeError:
            raise self._wrong_library(request) from None
        current = self._source.current
        if current is None or time.time() >= current.refresh_at:
            request.headers["Authorization"] = _unsent
            request.hooks["pre_request"].extend((Hook(self._fetch_async), Hook(self._fetch)))
        else:
            request.headers["Authorization"] = current.text
        if self._proofs is not None:
            request.hooks["pre_request"].append(Hook(self._prove))
        request.hooks["response"].extend(hooks)
        return request

    async def _fetch_async(self, request: Any) -> Any:
        """Add the token where it's still missing. Redirects call this again, with a header of their own."""
        if isinstance(request.headers.get("Authorization"), _Unsent):
            _set_token(request.headers, await run_async(self._obtain(request)))
        return request

    def _fetch(self, given: Any) -> Any:
        """Add the token where it's still missing, unless the hook before has done it."""
        request = _end(given, "request") or given
        if isinstance(request.headers.get("Authorization"), _Unsent):
            _set_token(request.headers, run(self._obtain(request)))
        return request

    def _prove(self, request: Any) -> Any:
        """Add a proof to a request that is about to be sent; redirects have one of their own, but no other origin."""
        parts, sent = self._parts, request.headers.get("Authorization")
        current = parts.source.current
        if not isinstance(sent, str) or not sent.startswith("DPoP "):
            request.headers.pop("DPoP", None)
        elif parts.proofs is not None and current is not None:
            parts.proofs.authorize(request.headers, current, request.method, request.url or "")
        return request

    def _mind_proofs(self, proofs: Proofs, response: Any) -> None:
        """Take in an answer's nonce; `_prove` sees the requests that redirects lead to."""
        if "DPoP" in response.request.headers:
            proofs.note_nonce(response.request.url or "", response.headers.get("DPoP-Nonce"))

    def _make_hook(self, origin: str) -> tuple[Hook, ...]:
        return Hook(self._on_response_async, origin, None), Hook(self._on_response, origin, None)

    def _on_response(self, origin: str, led_to: str | None, given: Any, **kwargs: Any) -> Any:
        """Replay what was rejected, unless the hook before has done it."""
        response = _end(given, "response")
        if response is None:
            return given
        begun = self._begin_exchange(_Exchange, origin, led_to, response, kwargs)
        if begun is None:
            return response
        header, exchange = begun
        run(replacing(self._parts, origin, header, exchange))
        return _hand_over(response, exchange.response, kwargs)

    async def _on_response_async(self, origin: str, led_to: str | None, response: Any, **kwargs: Any) -> Any:
        """Replay what was rejected in an async session."""
        begun = self._begin_exchange(_AsyncExchange, origin, led_to, response, kwargs)
        if begun is None:
            return response
        header, exchange = begun
        await run_async(replacing(self._parts, origin, header, exchange))
        return _hand_over(response, exchange.response, kwargs)


def _hand_over(response: Any, answer: Any, kwargs: dict[str, Any]) -> Any:
    """Return the new answer, with the old one in its history.

    A caller of a multiplexed session holds the lazy response already, so that very object becomes the new answer.
    """
    if not kwargs.get("multiplexed") or answer is response:
        return answer
    answer.history[:0] = response.history
    response.__dict__.clear()
    response.__dict__.update(answer.__dict__)
    return response


class _Exchange(RequestsExchange):
    """An exchange whose response, if it can't be read any more, is empty.

    A replay isn't multiplexed, since some adapters don't know that option.
    """

    def __init__(self, sent: Sent, response: Any) -> None:
        super().__init__(sent, response)
        self._is_in_place = bool(sent.options.get("multiplexed"))
        if self._is_in_place:
            self.options["multiplexed"] = False

    def discard(self) -> Any:
        response = self.response
        if self.sent.shows_certificate and is_multiplexed(response) and may_be_short(response.headers):
            left = DRAIN_LIMIT  # the connection is idle then, unless others use it
            with suppress(Exception):
                while left > 0 and (chunk := response.raw.read(left, decode_content=False)):
                    left -= len(chunk)
        super().discard()

    def close_idle(self, pool: Any) -> None:
        for connection in pool.iter_idle():
            connection.close()

    def as_past(self, response: Any) -> Any:
        """Return it, or where that very object becomes the new answer, a copy of it."""
        if not self._is_in_place:
            return response
        past = object.__new__(type(response))
        past.__dict__.update(response.__dict__)
        return past

    def close(self) -> Any:
        response = self.response
        if not response._content_consumed:  # noqa: SLF001
            if not is_multiplexed(response):
                response.close()
            elif is_short(response.headers):  # else the session can't close the connection
                with suppress(Exception):
                    response.raw.read(decode_content=False)
            response._content, response._content_consumed = b"", True  # noqa: SLF001


class _AsyncExchange(_Exchange):
    """An exchange of an async session, where mocks may bring a response that isn't async."""

    def can_replay(self) -> Any:
        seek = getattr(self.response.request.body, "seek", None)
        return rewind_async(self.response.request) if inspect.iscoroutinefunction(seek) else super().can_replay()

    async def drain(self) -> None:
        if not isinstance(self.response, niquests.AsyncResponse):
            super().drain()
        elif not self.sent.shows_certificate and is_short(self.response.headers):
            await self._read_async()

    async def discard(self) -> None:
        if not isinstance(self.response, niquests.AsyncResponse):
            super().discard()
            return
        if not self.sent.shows_certificate:
            await self._read_async()
            return
        raw: Any = self.response.raw
        if is_multiplexed(self.response) and may_be_short(self.response.headers):
            left = DRAIN_LIMIT  # as above
            with suppress(Exception):
                while left > 0 and (chunk := await raw.read(left, decode_content=False)):
                    left -= len(chunk)
        await self.close()
        with suppress(Exception):  # nothing public says where they are
            async for connection in raw._pool.pool.iter_idle():  # noqa: SLF001
                await connection.close()

    async def close(self) -> None:
        response: Any = self.response
        if not isinstance(response, niquests.AsyncResponse):
            super().close()
        elif not response._content_consumed:  # noqa: SLF001
            if not is_multiplexed(response):
                await response.close()
            elif is_short(response.headers):  # as above
                with suppress(Exception):
                    await response.raw.read(decode_content=False)  # type: ignore[union-attr]
            response._content, response._content_consumed = b"", True  # noqa: SLF001

    async def _read_async(self) -> None:
        """Read what's left to its end, within limits, else close the response."""
        response: Any = self.response
        if response._content_consumed or is_multiplexed(response):  # noqa: SLF001
            return
        content = bytearray()
        is_whole = not self.sent.shows_certificate and may_be_short(response.headers)
        try:
            if is_whole:
                async with asyncio.timeout(DRAIN_SECONDS):
                    while len(content) <= DRAIN_LIMIT and (
                        chunk := await response.raw.read1(DRAIN_LIMIT, decode_content=False)
                    ):
                        content += chunk
                is_whole = len(content) <= DRAIN_LIMIT
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            is_whole = False
        if not is_whole:
            await self.close()
            return
        set_content(response, bytes(content))
        # If there will be no other answer, the caller must still be able to stream this one.
        response.raw.read = _reading(response._content)  # noqa: SLF001

    async def send_again(self, credential: Credential, proof: str | None) -> None:
        connection, request = self.response.connection, self.prepare(credential, proof)
        begun = time.perf_counter()
        self.take(await connection.send(request, **self.options), request, begun)

    def as_past(self, response: Any) -> Any:
        """Return it as an async session puts redirects into a history: with its content read, if it was."""
        past = super().as_past(response)
        if isinstance(past, niquests.AsyncResponse) and past._content_consumed:  # noqa: SLF001
            past.__class__ = Response  # type: ignore[assignment]
        return past


def _reading(content: bytes | None) -> Callable[..., Awaitable[bytes]]:
    """Return a function that reads from content that is in memory already."""
    file = io.BytesIO(content or b"")

    async def read(amt: int | None = None, *_: object, **__: object) -> bytes:
        return file.read(amt)

    return read


if TYPE_CHECKING:

    class AuthorizationCodeAuth(AuthorizationCode[niquests.Session], NiquestsAuth): ...

    class BearerAuth(Bearer, NiquestsAuth): ...

    class ClientCredentialsAuth(ClientCredentials[niquests.Session], NiquestsAuth): ...

    class DeviceCodeAuth(DeviceCode[niquests.Session], NiquestsAuth): ...

    class JwtBearerAuth(JwtBearer[niquests.Session], NiquestsAuth): ...

    class PasswordAuth(Password[niquests.Session], NiquestsAuth): ...

    class RefreshTokenAuth(RefreshToken[niquests.Session], NiquestsAuth): ...

    class ResourceAuth(Resource[niquests.Session], NiquestsAuth): ...

    class TokenExchangeAuth(TokenExchange[niquests.Session], NiquestsAuth): ...

    class TokenProviderAuth(Provider, NiquestsAuth): ...

else:
    __getattr__, __dir__ = auth_classes(__name__, NiquestsAuth)
