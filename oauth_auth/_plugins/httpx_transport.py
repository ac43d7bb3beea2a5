"""How token calls are sent through httpx and httpx2, which have the same shape and different classes."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from .. import errors
from .._wire.messages import MAX_BODY, TokenResponse
from .._wire.token_request import TokenRequest
from .._wire.urls import is_plain_loopback
from ..errors import ConfigurationError
from .token_transport import Body, answer, circumstances, lacks_package, tls_context, unreachable

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate

__all__ = ["HttpxTokenTransport"]


class HttpxTokenTransport:
    """Sends token calls with the user's client, or with one of its own for each call.

    Token calls are rare, so no connection is kept between them that could go stale, be shared with a forked child or
    stay open.
    """

    __slots__ = ("_certificate", "_client")

    _library: ClassVar[Any]
    error_class: ClassVar[type[errors.TokenTransportError]]

    def __init__(self, token_client: Any, certificate: ClientCertificate | None = None) -> None:
        if token_client is not None and not isinstance(token_client, self._library.Client):
            name = self._library.__name__
            raise ConfigurationError(f"token_client must be a {name}.Client, which is sync, not {type(token_client)}")
        self._client = token_client
        self._certificate = certificate

    @property
    def sends_async(self) -> bool:
        """Whether calls can be sent from a task: not with the user's client, which is sync."""
        return self._client is None

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once. Raises `TokenTransportError`."""
        timeouts = (connect_timeout, timeout)
        if self._client is not None:
            return self._send(self._client, request, timeouts)
        failure: errors.OAuthError
        try:
            client = self._library.Client(**self._client_options(request.url))
        except (OSError, ValueError, self._library.InvalidURL) as error:
            failure = self._wrap(error, request, None, None)
        except ImportError as error:
            failure = lacks_package(str(error))
        else:
            with client:
                return self._send(client, request, timeouts)
        raise failure

    async def send_async(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once, from a task of asyncio. Raises `TokenTransportError`."""
        failure: errors.OAuthError
        try:
            options = self._client_options(request.url)
            if self._certificate is None:
                shared = SharedClient.of_this_loop(self._library, options)
            else:
                shared = self._library.AsyncClient(**options)
        except (OSError, ValueError, self._library.InvalidURL) as error:
            failure = self._wrap(error, request, None, None)
        except ImportError as error:
            failure = lacks_package(str(error))
        else:
            async with shared as client:
                return await self._send_async(client, request, (connect_timeout, timeout))
        raise failure

    def _client_options(self, url: str) -> dict[str, Any]:
        """Return the options of a client for this URL.

        Raises an error if the environment names a CA bundle that isn't there; one of a proxy that is no URL comes from
        the client.
        """
        return {
            "verify": tls_context(self._library.create_ssl_context, self._certificate),
            "headers": {"Connection": "close"},
            "trust_env": not is_plain_loopback(url),  # the environment's proxies are all that's left to it
        }

    def time_out(self, request: TokenRequest, timeout: float) -> errors.TokenTransportError:
        """Return the error for an answer that hasn't come within `timeout` seconds."""
        return self._wrap(self._library.ReadTimeout(f"no answer in {timeout:.3g} s"), request, None, None)

    def _send(self, client: Any, request: TokenRequest, timeouts: tuple[float, float]) -> TokenResponse:
        body, response = self._body(timeouts), None
        try:
            call = self._build(client, request, timeouts)
            response = client.send(call, stream=True, auth=None, follow_redirects=False)
            try:
                if hasattr(response, "_content"):  # a hook has read it, or it's a mock's
                    return _decoded(response)
                if request.reads_body:
                    for chunk in response.iter_raw():
                        if body.takes(chunk):
                            break
            finally:
                response.close()
            return answer(response.status_code, response.headers, body.content)
        except self._expected_errors as error:
            result = self._judge(error, request, response, client)
        if isinstance(result, TokenResponse):
            return result
        raise result

    async def _send_async(self, client: Any, request: TokenRequest, timeouts: tuple[float, float]) -> TokenResponse:
        body, response = self._body(timeouts), None
        try:
            call = self._build(client, request, timeouts)
            response = await client.send(call, stream=True, auth=None, follow_redirects=False)
            try:
                if hasattr(response, "_content"):
                    return _decoded(response)
                if request.reads_body:
                    async for chunk in response.aiter_raw():
                        if body.takes(chunk):
                            break
            finally:
                await response.aclose()
            return answer(response.status_code, response.headers, body.content)
        except self._expected_errors as error:
            result = self._judge(error, request, response, client)
        if isinstance(result, TokenResponse):
            return result
        raise result

    def _body(self, timeouts: tuple[float, float]) -> Body:
        return Body(time.monotonic() + timeouts[1], self._library.ReadTimeout)

    def _build(self, client: Any, request: TokenRequest, timeouts: tuple[float, float]) -> Any:
        connect_timeout, timeout = timeouts
        waits = self._library.Timeout(timeout, connect=connect_timeout)
        call = client.build_request(
            request.method, request.url, content=request.body or None, headers=request.headers, timeout=waits
        )
        if "Authorization" not in request.headers:
            call.headers.pop("Authorization", None)
        return call

    @property
    def _expected_errors(self) -> tuple[type[Exception], ...]:
        library = self._library
        return (library.HTTPStatusError, library.HTTPError, library.InvalidURL, RuntimeError, OSError, ValueError)

    def _judge(
        self, error: Exception, request: TokenRequest, response: Any, client: Any
    ) -> TokenResponse | errors.TokenTransportError:
        """Return the answer that there is in spite of an error, or the error that it's wrapped in."""
        if isinstance(error, self._library.HTTPStatusError):  # a hook of the user's that raises for a status
            return _decoded(error.response)
        if response is not None and 400 <= response.status_code < 500:
            return answer(response.status_code, response.headers, b"")  # the status says enough
        failure = self._wrap(error, request, None if response is None else response.status_code, client)
        failure.is_unexpected = not isinstance(error, self._library.HTTPError | self._library.InvalidURL)  # a hook's
        return failure

    def _wrap(
        self, error: Exception, request: TokenRequest, status_code: int | None, client: Any
    ) -> errors.TokenTransportError:
        """Return what is raised for an error of the library or of the environment; `client` is None if there's none."""
        library = self._library
        copy = type(error) if isinstance(error, library.TransportError) else library.TransportError
        retryable = isinstance(error, library.RequestError) and not isinstance(error, library.UnsupportedProtocol)
        around = circumstances(_proxy_of(client, request.url), is_own_client=self._client is None)
        return unreachable(self.error_class, request, error, copy, around, status_code=status_code, retryable=retryable)


def _proxy_of(client: Any, url: str) -> str | None:
    """Return the proxy that a client uses for this URL, if that can be found out: nothing public says so."""
    try:
        proxy = client._transport_for_url(client.build_request("POST", url).url)._pool._proxy_url  # noqa: SLF001
        return bytes(proxy).decode("ascii", "replace")
    except Exception:  # noqa: BLE001 - there's none, or it's a version of the library with other internals
        return None


def _decoded(response: Any) -> TokenResponse:
    """Return an answer whose body the library has decompressed, if it was read at all."""
    body = response.content[: MAX_BODY + 1] if hasattr(response, "_content") else b""
    return TokenResponse(response.status_code, dict(response.headers.items()), body)


class SharedClient:
    """An async client for calls that are under way at once in one event loop; it's closed with the last of them.

    Making one takes a fifth of a call's time; but the time that a library's pool takes for each call grows with the
    calls that are under way, so only a few share one. It keeps neither connections nor cookies.
    """

    most_calls = 16
    _by_loop: ClassVar[weakref.WeakKeyDictionary[Any, dict[tuple[str, bool], SharedClient]]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self, client: Any) -> None:
        self._client = client
        self._calls = self._under_way = 0

    @property
    def takes_another(self) -> bool:
        """Whether it's still open and takes one more call."""
        return self._under_way > 0 and self._calls < self.most_calls

    @classmethod
    def of_this_loop(cls, library: Any, options: dict[str, Any]) -> SharedClient:
        """Return one with these options that takes another call. Raises what making a client raises."""
        import asyncio  # noqa: PLC0415 - only programs with event loops come here

        clients = cls._by_loop.setdefault(asyncio.get_running_loop(), {})
        kind = (library.__name__, options["trust_env"])
        shared = clients.get(kind)
        if shared is None or not shared.takes_another:
            limits = library.Limits(max_connections=None, max_keepalive_connections=0)
            client = library.AsyncClient(**options, limits=limits)
            client.cookies.extract_cookies = _take_none  # the calls have nothing to do with each other
            clients[kind] = shared = cls(client)
        return shared

    async def __aenter__(self) -> Any:
        self._calls += 1
        self._under_way += 1
        return self._client

    async def __aexit__(self, *exc_info: object) -> None:
        self._under_way -= 1
        if not self._under_way:
            await self._client.aclose()


def _take_none(response: Any) -> None:
    """Keep no cookie of an answer; looking for one takes a twentieth of a call's time."""
