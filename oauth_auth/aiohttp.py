"""OAuth 2 for `aiohttp`: `ClientSession(middlewares=[auth])`, and never meet a token again."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

try:
    import aiohttp
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.aiohttp needs aiohttp: pip install "oauth_auth[aiohttp]"') from error
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession, hdrs, payload

from . import errors
from ._flight import run_async
from ._plugins.aiohttp_transport import AiohttpTokenTransport
from ._plugins.answers import Answer
from ._plugins.auth import AsyncTokens, auth_classes
from ._plugins.exchange import DRAIN_LIMIT, DRAIN_SECONDS, is_short, may_be_short, rewind, with_new_cookies
from ._plugins.origins import Proofs, take_off
from ._plugins.replacing import note_answer, replacing
from ._server import operations as _controller
from ._wire.identifiers import covers
from ._wire.messages import MAX_BODY
from ._wire.token import NO_TOKEN, Credential
from ._wire.urls import MOST_ORIGINS, is_plain_loopback, leads_elsewhere, origin_of

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
    from yarl import URL

    from ._plugins.authorization_code import AuthorizationCode
    from ._plugins.client_credentials import ClientCredentials
    from ._plugins.device import DeviceCode
    from ._plugins.given import Bearer, Provider
    from ._plugins.jwt_bearer import JwtBearer
    from ._plugins.password import Password
    from ._plugins.refresh_token import RefreshToken
    from ._plugins.resource_auth import Resource
    from ._plugins.token_exchange import TokenExchange

_AUTHORIZATION = hdrs.AUTHORIZATION
_NO_TRACING = aiohttp.TraceConfig()
_NO_TRACING.freeze()
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FILES = {io.BytesIO, io.BufferedReader, io.BufferedRandom, io.FileIO}
"""Those whose reading and rewinding can't overlap: a read goes on in its thread after the sending was cut short."""


class TokenTransportError(errors.TokenTransportError, aiohttp.ClientConnectionError):
    """The token endpoint could not be reached; also what aiohttp raises for errors of its own."""


class _TokenTransport(AiohttpTokenTransport):
    __slots__ = ()

    _library: ClassVar[Any] = aiohttp
    error_class: ClassVar[type[errors.TokenTransportError]] = TokenTransportError


class OAuthAuthorizationController(_controller.OAuthAuthorizationController):
    __doc__ = _controller.OAuthAuthorizationController.__doc__

    _transport_class = _TokenTransport


class AiohttpAuth(AsyncTokens):
    """The base for aiohttp, a client middleware: sets the header, and replays rejected requests."""

    _controller_class = OAuthAuthorizationController
    _momentary: ClassVar[frozenset[str]] = frozenset(
        {"_origins", "_parts", "_proofs", "_replaying", "_telling", "_schemes", "_places"}
    )

    def _prepare(self) -> None:
        super()._prepare()
        self._schemes: dict[str, str] = self._origins.known  # of each host and port that the token may go to
        self._places: dict[URL, bool] = {}
        self._telling = _with_redirects(self._telling)

    def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> Awaitable[ClientResponse]:
        """Send a request with the token. Raises `TokenError`, and `InsecureTransportError` for plain http."""
        return self._send(request, handler)  # niquests would pass over an async function, and send without the token

    async def _send(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        url = request.url
        course = _Course.of(request) if request._traces else None  # noqa: SLF001 - see there
        if course is not None and course.leaves(origin_of(str(url))):
            return await handler(request)
        if self._schemes.get(url.raw_authority) != url.scheme and not self._may_address(request):
            return _Course.note(request, await handler(request))
        if request.proxy is not None and is_plain_loopback(str(url)):
            request.proxy = None  # it would carry the token over the network
        source, proofs = self._source, self._proofs
        current = source.current
        if current is None or time.time() >= current.refresh_at:
            current = await run_async(self._obtain(request))
        if current is None:
            header = NO_TOKEN
        else:
            header = request.headers[_AUTHORIZATION] = current.header
            if current.proof is not None:
                request.headers["DPoP"] = proofs.header(current.proof, request.method, str(url))  # type: ignore[union-attr]
        response = await handler(request)
        if proofs is not None and (nonce := response.headers.get("DPoP-Nonce")) is not None:
            proofs.note_nonce(str(url), nonce)
        if response.status not in self._telling and not source.rejecting_origins:
            return response
        return await self._judge(request, handler, header, response)

    async def _send_aside(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request without the token; one that another origin leads on gets none after that."""
        course = _Course.of(request)
        if course is not None:
            course.leaves(origin_of(str(request.url)))
        return _Course.note(request, await handler(request))

    def _may_address(self, request: Any) -> bool:
        """Return whether the token may go to the request's origin, and remember it if so."""
        if not isinstance(request, ClientRequest):
            raise self._wrong_library(request)
        url = request.url
        if not self._origins.admits(f"{url.scheme}://{url.raw_authority}"):
            return False
        self._origins.remember(url.raw_authority, url.scheme)
        return True

    def _is_repeatable(self, request: ClientRequest) -> bool:
        return request.body == b"" or _can_be_sent_again(request.body, was_sent=False)

    def _look_up(self, request: Any) -> bool:
        """Return whether a request goes to the resource that the token stays in; remember it."""
        if not isinstance(request, ClientRequest):
            raise self._wrong_library(request)
        url = request.url
        if len(self._places) >= MOST_ORIGINS:
            self._places.clear()
        is_within = self._places[url] = self._reach is None or covers(self._reach, str(url))
        return is_within

    async def _judge(
        self, request: ClientRequest, handler: ClientHandlerType, header: str, response: Any
    ) -> ClientResponse:
        """Return the answer, or if it rejects the token the one to the replay; a call is replayed once."""
        origin, exchange = request.url.origin(), _Exchange(request, handler, response, self._shows_certificate)
        parts, course = self._parts, _Course.of(request)
        was_replayed = exchange.was_replayed = course is not None and course.was_replayed
        if response.status not in self._replaying:
            note_answer(parts, origin, header, exchange, is_replay=was_replayed)
        else:
            await run_async(replacing(parts, origin, header, exchange))
        return _Course.note(request, exchange.response, was_replayed=exchange.was_replayed)


class _Course(aiohttp.tracing.Trace):
    """The course of a call that was redirected, kept among its traces, which its requests share (decision 18)."""

    def __init__(self, request: ClientRequest) -> None:
        super().__init__(request.session, _NO_TRACING, SimpleNamespace())
        self._origin = origin_of(str(request.url))
        """The origin that may have the token; None once the call has left it."""
        self.was_replayed = False

    @classmethod
    def of(cls, request: ClientRequest) -> _Course | None:
        """Return the course of a request's call, or None if it wasn't redirected."""
        return next((trace for trace in request._traces if isinstance(trace, cls)), None)  # noqa: SLF001

    @classmethod
    def note(cls, request: ClientRequest, response: ClientResponse, *, was_replayed: bool = False) -> ClientResponse:
        """Return the answer; note where the call was if that leads it on."""
        if response.status in _REDIRECTS:
            course = cls.of(request)
            if course is None:
                course = cls(request)
                request._traces.append(course)  # noqa: SLF001
            course.was_replayed |= was_replayed
        return response

    def leaves(self, origin: str | None) -> bool:
        """Return whether the call, now on its way to this origin, has left that which it was sent to; it stays so."""
        if origin != self._origin:
            self._origin = None
        return self._origin is None


def _target(request: ClientRequest) -> tuple[str | None, str]:
    return request.method, str(request.url)


class _Exchange:
    """A request of a session, and its latest answer."""

    def __init__(
        self,
        request: ClientRequest,
        handler: ClientHandlerType,
        response: Any,
        shows_certificate: bool,  # noqa: FBT001
    ) -> None:
        self._request = request
        self._handler = handler
        self._shows_certificate = shows_certificate
        self.response = response
        self.was_replayed = False

    def answer(self) -> Answer:
        response, request = self.response, self._request
        challenges = ", ".join(response.headers.getall(hdrs.WWW_AUTHENTICATE, ()))
        return Answer(response.status, challenges, *_target(request), request.headers.get("DPoP"))

    def carried(self, header: str) -> bool:
        """Return whether the request is as it was given on: another middleware may have changed it."""
        same = self.response.url.origin() == self._request.url.origin()
        has_it = not header or self._request.headers.get(_AUTHORIZATION) == header
        return bool(same and has_it)

    def led_on(self, header: str) -> tuple[str | None, str] | None:
        location = self.response.headers.get(hdrs.LOCATION) or self.response.headers.get(hdrs.URI) or ""
        leads = self.response.status in _REDIRECTS and leads_elsewhere(str(self.response.url), location)
        return _target(self._request) if leads and self.carried(header) else None

    def mind_proofs(self, proofs: Proofs) -> None:
        proofs.note_nonce(_target(self._request)[1], self.response.headers.get("DPoP-Nonce"))

    def can_replay(self) -> bool:
        # Where another middleware comes after ours, a sending that was cut short may look as if it had ended.
        is_last = getattr(self._handler, "__name__", "") == "_connect_and_send_request"
        was_sent = is_last and getattr(self._request, "_writer", self) is None
        return self._request.body == b"" or _can_be_sent_again(self._request.body, was_sent=was_sent)

    async def drain(self) -> None:
        if not self._shows_certificate and is_short(self.response.headers):
            await self._read()

    async def discard(self) -> None:
        await self._read()
        if self._shows_certificate:
            self._close_idle()
        await self._request.close()  # what is still being sent of it has ended then

    def close(self) -> None:
        self.response.close()

    def _close_idle(self) -> None:
        """Close the connections that the request could be sent again on; a short answer has freed its own already."""
        connector: Any = self._request.session.connector
        for protocol, *_ in getattr(connector, "_conns", {}).pop(self._request.connection_key, ()):
            protocol.close()

    async def _read(self) -> None:
        """Read what's left to its end, within limits, else close the response; who gets it can read it again."""
        response, content = self.response, bytearray()
        is_whole = not self._shows_certificate and may_be_short(response.headers)
        if response._body is not None:  # noqa: SLF001 - nothing public says so
            return
        # What has its length is as long as it says, and unpacked by now.
        limit = DRAIN_LIMIT if response.headers.get(hdrs.CONTENT_LENGTH) is None else MAX_BODY
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while is_whole and (chunk := await response.content.readany()):
                    content += chunk
                    is_whole = len(content) <= limit
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            is_whole = False
        if not is_whole:
            response.close()
            response._released = False  # noqa: SLF001 - else the caller can't read it
        response._body = bytes(content)  # noqa: SLF001
        loop = asyncio.get_running_loop()
        response.content = aiohttp.StreamReader(aiohttp.base_protocol.BaseProtocol(loop), MAX_BODY, loop=loop)
        response.content.feed_data(response._body)  # noqa: SLF001
        response.content.feed_eof()

    async def send_again(self, credential: Credential, proof: str | None) -> None:
        request = self._request
        self._keep_cookies()
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            request.update_expect_continue(expect=True)  # what waited for the first one was cancelled
        request.headers[_AUTHORIZATION] = credential.text
        if proof is not None:
            request.headers["DPoP"] = proof
        self.response = await self._handler(request)

    def _keep_cookies(self) -> None:
        """Have the session keep the cookies that the answer sets, and the request carry them."""
        request, response = self._request, self.response
        if not response.cookies:
            return
        jar = request.session.cookie_jar
        before = jar.filter_cookies(request.url)
        for one in response.headers.getall(hdrs.SET_COOKIE, ()):  # those of one name differ in path or domain
            with suppress(CookieError):
                jar.update_cookies(SimpleCookie(one), response.url)
        sent = request.headers.pop(hdrs.COOKIE, None)
        if cookies := with_new_cookies(sent, before, jar.filter_cookies(request.url)):
            request.headers[hdrs.COOKIE] = cookies


@lru_cache(maxsize=16)
def _with_redirects(statuses: frozenset[int]) -> frozenset[int]:
    """Return these statuses and those of redirects: one set for all objects that have the same."""
    return _REDIRECTS.union(statuses)


def _can_be_sent_again(body: Any, *, was_sent: bool) -> bool:
    """Return whether a body is the same when it's sent again; rewind files, which aiohttp would do without looking.

    `consumed` alone doesn't tell: a generator within a form, and a class of the user's, may not set it.
    """
    if isinstance(body, aiohttp.MultipartWriter):
        return all(_can_be_sent_again(part, was_sent=was_sent) for part, _, _ in body)
    if isinstance(body, payload.BytesPayload):
        return True
    if not isinstance(body, payload.IOBasePayload) or body.consumed:
        return False
    file: Any = body._value  # noqa: SLF001 - nothing public says so
    if type(file) in _FILES:
        return not file.closed and bool(file.seekable())
    return was_sent and rewind(file, body._start_position)  # noqa: SLF001


class AiohttpResourceAuth(AiohttpAuth):
    """The base of `ResourceAuth`, whose token goes to some paths of an origin alone."""

    def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> Awaitable[ClientResponse]:
        """Send a request, within the resource with the token if there is one. Raises as the others do."""
        is_within = self._places.get(request.url)
        if is_within or (is_within is None and self._look_up(request)):
            return self._send(request, handler)
        take_off(request.headers, self._source)
        return self._send_aside(request, handler)


if TYPE_CHECKING:

    class AuthorizationCodeAuth(AuthorizationCode[Callable[[], ClientSession]], AiohttpAuth): ...

    class BearerAuth(Bearer, AiohttpAuth): ...

    class ClientCredentialsAuth(ClientCredentials[Callable[[], ClientSession]], AiohttpAuth): ...

    class DeviceCodeAuth(DeviceCode[Callable[[], ClientSession]], AiohttpAuth): ...

    class JwtBearerAuth(JwtBearer[Callable[[], ClientSession]], AiohttpAuth): ...

    class PasswordAuth(Password[Callable[[], ClientSession]], AiohttpAuth): ...

    class RefreshTokenAuth(RefreshToken[Callable[[], ClientSession]], AiohttpAuth): ...

    class ResourceAuth(Resource[Callable[[], ClientSession]], AiohttpResourceAuth): ...

    class TokenExchangeAuth(TokenExchange[Callable[[], ClientSession]], AiohttpAuth): ...

    class TokenProviderAuth(Provider, AiohttpAuth): ...

else:
    __getattr__, __dir__ = auth_classes(__name__, AiohttpAuth, of_resource=AiohttpResourceAuth)
