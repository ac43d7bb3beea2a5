"""How token calls are sent through requests and niquests, which have the same shape and different classes."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from .. import errors
from .._wire.messages import MAX_BODY, TokenResponse
from .._wire.token_request import TokenRequest
from .._wire.urls import is_plain_loopback
from ..errors import ConfigurationError
from .token_transport import Body, answer, circumstances, lacks_package, tls_context, unreachable

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate
    from .trouble import Circumstances

__all__ = ["RequestsTokenTransport"]


_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The variables of the environment that name certificates for these libraries."""


class RequestsTokenTransport:
    """Sends token calls with the user's session, or with one of its own for each call.

    Token calls are rare, so no connection is kept between them that could go stale, be shared with a forked child or
    stay open.
    """

    __slots__ = ("_certificate", "_session")

    _library: ClassVar[Any]
    _urllib3: ClassVar[Any]
    error_class: ClassVar[type[errors.TokenTransportError]]

    def __init__(self, token_client: Any, certificate: ClientCertificate | None = None) -> None:
        if token_client is not None and not self._is_session(token_client):
            name = self._library.__name__
            raise ConfigurationError(f"token_client must be a {name}.Session, not {type(token_client)}")
        self._session = token_client
        self._certificate = certificate

    def _is_session(self, token_client: Any) -> bool:
        return isinstance(token_client, self._library.Session)

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once. Raises `TokenTransportError`."""
        timeouts = (connect_timeout, timeout)
        if self._session is not None:
            return self._send(self._session, request, timeouts)
        with self._library.Session() as session:
            session.headers["Connection"] = "close"
            self._leave_unwatched(session)
            if self._certificate is not None:
                self._show(self._certificate, session)
            return self._send(session, request, timeouts)

    def _leave_unwatched(self, session: Any) -> None:
        """Turn off the thread that watches the session's idle connections: at exit no thread can start.

        urllib3-future starts one for each pool. niquests uses it, and so does requests where it replaces urllib3.
        """
        if not hasattr(self._urllib3.poolmanager.PoolKey, "key_background_watch_delay"):
            return
        self._set_for_pools(session, background_watch_delay=None)

    def _show(self, certificate: ClientCertificate, session: Any) -> None:
        """Have the session's connections show a certificate; the session loads whom it trusts. Raises `TokenError`."""
        context = tls_context(self._urllib3.util.ssl_.create_urllib3_context, certificate, _CERTIFICATES)
        self._set_for_pools(session, ssl_context=context)

    def _set_for_pools(self, session: Any, **options: Any) -> None:
        for adapter in session.adapters.values():
            if isinstance(getattr(adapter, "poolmanager", None), self._urllib3.PoolManager):
                adapter.poolmanager.connection_pool_kw.update(options)
                adapter.proxy_manager_for = partial(adapter.proxy_manager_for, **options)

    def time_out(self, request: TokenRequest, timeout: float) -> errors.TokenTransportError:
        """Return the error for an answer that hasn't come within `timeout` seconds."""
        return self._wrap(self._library.ReadTimeout(f"no answer in {timeout:.3g} s"), request, None)

    def _send(self, session: Any, request: TokenRequest, timeouts: tuple[float, float]) -> TokenResponse:
        body = Body(time.monotonic() + timeouts[1], self._library.ReadTimeout)
        response = None
        # This excepts the host from the proxies of the environment, and of it alone.
        direct = {"no_proxy": urlsplit(request.url).hostname} if is_plain_loopback(request.url) else None
        try:
            try:
                response = session.request(
                    request.method,
                    request.url,
                    data=request.body.decode("ascii"),  # as the libraries' own forms are, which mocks look into
                    headers={"Authorization": None, **request.headers},
                    auth=_no_auth,
                    allow_redirects=False,
                    stream=True,
                    timeout=timeouts,
                    proxies=direct,
                )
            except self._library.HTTPError as error:  # a hook of the user's that raises for a status: it's an answer
                if error.response is None:
                    raise
                response = error.response
            if not request.reads_body:
                return self._unread(response)
            return self._read(response, body)
        except (self._library.RequestException, self._urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # OSError is a CA bundle that doesn't exist, ValueError a proxy that is no URL.
            if response is not None and 400 <= response.status_code < 500:
                return answer(response.status_code, response.headers, b"")  # the status says enough
            failure = self._failure(error, request, None if response is None else response.status_code)
        except ImportError as error:
            if session is self._session:  # it's a hook's
                raise
            failure = lacks_package(str(error))
        raise failure

    def _unread(self, response: Any) -> TokenResponse:
        """Return the answer without its body, which isn't waited for."""
        with response:
            return answer(response.status_code, response.headers, b"")

    def _read(self, response: Any, body: Body) -> TokenResponse:
        """Read the body as it arrives, to its end or to one byte more than is allowed."""
        if getattr(response, "_content_consumed", True) or not isinstance(
            response.raw, self._urllib3.response.BaseHTTPResponse
        ):
            # A hook has read it, or it comes from an adapter of the user's, such as a mock.
            headers = {name.lower(): text for name, text in response.headers.items()}
            return TokenResponse(response.status_code, headers, (response.content or b"")[: MAX_BODY + 1])
        with response:
            while chunk := response.raw.read1(65536, decode_content=False):
                if body.takes(chunk):
                    break
        return answer(response.status_code, response.headers, body.content)

    def _failure(self, error: Exception, request: TokenRequest, status_code: int | None) -> errors.OAuthError:
        """Return what is raised instead of an error."""
        if isinstance(error, self._library.exceptions.InvalidSchema) and "SOCKS" in str(error):
            return lacks_package(f'{error} pip install "{self._library.__name__}[socks]"')
        return self._wrap(error, request, status_code)

    def _around(self, error: Exception) -> Circumstances:
        proxy = None
        if isinstance(error, self._library.exceptions.ProxyError):
            # Of the pool that has given up, if it says so.
            found = getattr(getattr(error.args[0] if error.args else None, "pool", None), "proxy", None)
            proxy = found or ""
        return circumstances(proxy, is_own_client=self._session is None, variables=_CERTIFICATES)

    def _wrap(self, error: Exception, request: TokenRequest, status_code: int | None) -> errors.TokenTransportError:
        """Return what is raised for an error of the library or of the environment."""
        library = self._library
        cls: Any = type(error) if isinstance(error, library.RequestException) else library.ConnectionError

        def copy(text: str) -> Any:
            cause = cls.__new__(cls)
            cause.args = (text,)
            cause.request = cause.response = None
            return cause

        is_known = isinstance(error, library.RequestException | self._urllib3.exceptions.HTTPError)
        retryable = is_known and not isinstance(error, ValueError)  # that's a URL, of a proxy, say
        around = self._around(error)
        wrapped = unreachable(
            self.error_class, request, error, copy, around, status_code=status_code, retryable=retryable
        )
        # A hook's, or a CA bundle that doesn't exist: no call is made for that.
        wrapped.is_unexpected = not is_known or isinstance(error, library.exceptions.InvalidJSONError)
        return wrapped


def _no_auth(request: Any) -> Any:
    """No-op auth for token calls. Without one, requests replaces our Authorization header by a .netrc entry."""
    return request
