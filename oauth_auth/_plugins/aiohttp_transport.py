"""How token calls are sent through aiohttp."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .. import errors
from .._wire.messages import TokenResponse
from .._wire.token_request import TokenRequest
from .token_transport import Body, answer, circumstances, http_proxy, make_tls_context, tls_context, unreachable

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate

__all__ = ["AiohttpTokenTransport"]

_T = TypeVar("_T")


class AiohttpTokenTransport:
    """Sends each token call with a session of its own, in an event loop of its own: both end with the call.

    A session belongs to one event loop, so a user gives a function that makes one.
    """

    __slots__ = ("_certificate", "_make_session")

    _library: ClassVar[Any]
    error_class: ClassVar[type[errors.TokenTransportError]]

    def __init__(self, token_client: Any, certificate: ClientCertificate | None = None) -> None:
        if token_client is not None and (not callable(token_client) or inspect.iscoroutinefunction(token_client)):
            raise errors.ConfigurationError(
                "token_client must be a plain function that makes an aiohttp.ClientSession, which belongs to one event "
                f"loop, not {type(token_client)}: token_client=lambda: aiohttp.ClientSession(…)"
            )
        self._make_session = token_client
        self._certificate = certificate

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once. Raises `TokenTransportError`."""
        # Not with the loop that the program has chosen, which may be for its main thread alone.
        return _run_alone(self._send(request, connect_timeout, timeout))

    async def _send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        body = Body(time.monotonic() + timeout, self._library.ServerTimeoutError)
        response: Any = None

        async def keep(call: Any, handler: Any) -> Any:
            nonlocal response
            response = await handler(call)
            return response

        waits = self._library.ClientTimeout(total=None, connect=connect_timeout, sock_read=timeout)
        session = self._session(request)
        try:
            async with (
                session,
                session.request(
                    request.method,
                    request.url,
                    data=request.body or None,
                    headers=request.headers,
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=waits,
                    middlewares=(keep,),
                ) as answered,
            ):
                if answered._body is not None:  # noqa: SLF001 - a hook has read it, and nothing public says so
                    return answer(answered.status, answered.headers, answered._body)  # noqa: SLF001
                if request.reads_body:
                    async for chunk in answered.content.iter_any():
                        if body.takes(chunk):
                            break
            return answer(answered.status, answered.headers, body.content)
        except (self._library.ClientError, OSError, ValueError, RuntimeError) as error:
            # By a hook of the user's that raises for a status, or the status says enough.
            if response is not None and (
                isinstance(error, self._library.ClientResponseError) or response.status // 100 == 4
            ):
                return answer(response.status, response.headers, response._body or b"")  # noqa: SLF001
            failure = self._wrap(error, request, response, session._default_proxy)  # noqa: SLF001
        finally:
            if response is not None:
                response.close()  # a hook that raises leaves it open
        raise failure

    def _session(self, request: TokenRequest) -> Any:
        if self._make_session is None:
            proxy = http_proxy("aiohttp", request.url)
            resolver, tls = self._library.ThreadedResolver(), tls_context(make_tls_context, self._certificate)
            connector = self._library.TCPConnector(resolver=resolver, ssl=tls, force_close=True)
            jar = self._library.DummyCookieJar()
            return self._library.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False, proxy=proxy)
        session = self._make_session()
        if not isinstance(session, self._library.ClientSession):
            if inspect.iscoroutine(session):
                session.close()
            raise errors.ConfigurationError(f"token_client must return an aiohttp.ClientSession, not {type(session)}")
        # It's made for this call, whose credentials are the client's own: not those of a .netrc either.
        if session.trust_env and session._default_proxy is None:  # noqa: SLF001 - nothing public says so
            with suppress(errors.ConfigurationError):  # one that aiohttp doesn't know
                session._default_proxy = http_proxy("aiohttp", request.url)  # noqa: SLF001
        session._default_auth, session._auto_decompress, session._trust_env = None, False, False  # noqa: SLF001
        session.headers.pop("Authorization", None)
        return session

    def time_out(self, request: TokenRequest, timeout: float) -> errors.TokenTransportError:
        """Return the error for an answer that hasn't come within `timeout` seconds."""
        return self._wrap(self._library.ServerTimeoutError(f"no answer in {timeout:.3g} s"), request, None, None)

    def _wrap(self, error: Exception, request: TokenRequest, response: Any, proxy: Any) -> errors.TokenTransportError:
        """Return what is raised for an error of the library or of the environment."""
        copy = (
            self._library.ServerTimeoutError if isinstance(error, TimeoutError) else self._library.ClientConnectionError
        )
        retryable = isinstance(error, self._library.ClientError | TimeoutError) and not isinstance(error, ValueError)
        around = circumstances(proxy, is_own_client=self._make_session is None)
        status = None if response is None else response.status
        wrapped = unreachable(self.error_class, request, error, copy, around, status_code=status, retryable=retryable)
        wrapped.is_unexpected = not isinstance(error, self._library.ClientError | TimeoutError)  # a hook's
        return wrapped


def _run_alone(main: Coroutine[Any, Any, _T]) -> _T:
    """Return what a coroutine returns, run in a loop of its own; that isn't made as the program's own loops are.

    It needs no other thread, and leaves nothing open.
    """
    loop = _EventLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main)
        finally:
            for transport in loop.transports:
                transport.abort()


class _EventLoop(asyncio.SelectorEventLoop):
    """Resolves names in its own thread, where nothing else runs: at exit no other thread can begin.

    Its connections are aborted in the end: TLS would wait for the other side's farewell, with an open socket.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transports: list[asyncio.WriteTransport] = []

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        connection = await super().create_connection(*args, **options)
        self.transports.append(connection[0])
        return connection
