"""The errors that oauth_auth raises.

OAuthError
├─ ConfigurationError (ValueError)     wrong options; raised before any request
│  └─ InsecureTransportError           a secret would have gone over plain http
├─ TokenError                          there is no usable token
│  ├─ OAuthProviderException           the authorization server answered with an error
│  ├─ TokenTransportError              the token endpoint could not be reached
│  ├─ TokenResponseError               an answer that is no token answer
│  ├─ DiscoveryError                   what a resource or its server says of itself can't be used
│  ├─ RegistrationError                no client id could be had
│  └─ ReauthorizationRequired          the user must log in again
├─ AuthorizationResponseError          the redirect carried an error, or did not match
└─ TokenStoreError                     a token store failed

Every error pickles and holds no secret and no live request, response or client.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self, TypeVar

__all__ = [
    "AuthorizationResponseError",
    "ConfigurationError",
    "DiscoveryError",
    "InsecureTransportError",
    "OAuthError",
    "OAuthProviderError",
    "OAuthProviderException",
    "ReauthorizationRequired",
    "RegistrationError",
    "TokenError",
    "TokenResponseError",
    "TokenStoreError",
    "TokenTransportError",
]


class OAuthProviderError(StrEnum):
    """Error codes of a token endpoint (RFC 6749 section 5.2)."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"


class OAuthError(Exception):
    """Base of all errors of this library."""

    retryable: bool = False
    """Whether the same call may succeed later, with nothing changed."""

    def without_traceback(self, note: str = "") -> Self:
        """Return a copy whose text ends in `note`, without a traceback in it or in its causes.

        Callers that share a failure each raise a copy of their own. A traceback shows the local variables of its
        frames, and those of a token call hold secrets.
        """
        args = (f"{self.args[0]}{note}", *self.args[1:]) if self.args and note else self.args
        copy = rebuild(type(self), args, self.__dict__.copy())
        cause = self.__cause__
        copy.__cause__ = (
            cause.without_traceback() if isinstance(cause, OAuthError) else cause and cause.with_traceback(None)
        )
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (type(self), self.args, self.__dict__.copy())


_E = TypeVar("_E", bound=OAuthError)


def rebuild(cls: type[_E], args: tuple[Any, ...], state: dict[str, Any]) -> _E:
    """Return an error made without its constructor, which an HTTP library's error that is mixed in may replace."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(OAuthError, ValueError):
    """An option is wrong; the text says what to write instead."""


class InsecureTransportError(ConfigurationError):
    """A token or secret would have gone over plain http beyond loopback (RFC 6749 section 1.6)."""


class TokenError(OAuthError):
    """There is no usable token."""

    token_url: str | None = None
    """The token endpoint that was called, without its query."""
    status_code: int | None = None
    """The HTTP status of its answer, or None if it did not answer."""
    retry_after: float | None = None
    """The `Retry-After` of its answer, in seconds (RFC 9110 section 10.2.3)."""
    server_message: str | None = None
    """What the server said, in its own words: `error_description`, or what it has in place of that; no secret."""
    is_unexpected: bool = False
    """Whether it comes from an error of an unknown kind, such as a mock's, or of a hook of `token_client`: neither the
    server nor the configuration said so, and the next request asks again."""


class OAuthProviderException(TokenError):
    """The authorization server answered with an error (RFC 6749 section 5.2).

    `error` is a member of `OAuthProviderError` if it's one of the RFC's codes, else the server's text. `message` stands
    in the error's text in place of `error` and `error_description`.
    """

    def __init__(
        self,
        error: str,
        *,
        error_description: str | None = None,
        error_uri: str | None = None,
        status_code: int = 400,
        token_url: str | None = None,
        retry_after: float | None = None,
        server_message: str | None = None,
        message: str | None = None,
    ) -> None:
        meaning = _MEANINGS.get(status_code, "OAuth 2 provider returned an error.")
        detail = f": {error_description}" if error_description else ""
        where = f"(status {status_code})" if message else f"(status {status_code} from {token_url})"
        super().__init__(f"{meaning} {message or error + detail} {where}")
        self.error: OAuthProviderError | str = _known_error(error)
        self.error_description = error_description
        self.error_uri = error_uri
        self.server_message = error_description or server_message
        self.status_code = status_code
        self.token_url = token_url
        self.retry_after = retry_after
        self.retryable = status_code == 429 or status_code >= 500


_MEANINGS = {401: "OAuth 2 provider says client authentication failed."}


def _known_error(error: str) -> OAuthProviderError | str:
    try:
        return OAuthProviderError(error)
    except ValueError:
        return error


class TokenTransportError(TokenError):
    """The token endpoint could not be reached; `__cause__` is the HTTP library's own error."""

    def __init__(
        self, message: str, *, token_url: str | None = None, status_code: int | None = None, retryable: bool = True
    ) -> None:
        super().__init__(message)
        self.token_url = token_url
        self.status_code = status_code
        self.retryable = retryable


class TokenResponseError(TokenError):
    """The answer is no token answer: HTML, nothing at all, no access token, too long, a redirect."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        content_type: str | None = None,
        token_url: str | None = None,
        retry_after: float | None = None,
        server_message: str | None = None,
    ) -> None:
        source = "" if token_url is not None and token_url in message else f", from {token_url}"
        kind = "" if content_type is None else f", content type {content_type}"
        super().__init__(f"{message} (status {status_code}{kind}{source})")
        self.server_message = server_message
        self.status_code = status_code
        self.content_type = content_type
        self.token_url = token_url
        self.retry_after = retry_after
        self.retryable = status_code is not None and (status_code == 429 or status_code >= 500)


class DiscoveryError(TokenError):
    """What a resource or its authorization server says of itself is missing, doesn't fit, or isn't believed (RFC 9728).

    The text says what to pass instead. `url` is where it was looked for, or what isn't believed.
    """

    def __init__(self, message: str, *, url: str | None = None) -> None:
        super().__init__(message)
        self.url = url


class RegistrationError(TokenError):
    """No client id could be had at an authorization server (RFC 7591 section 3.2.2); the text says what to pass.

    `error` and `error_description` are the server's, if it named any.
    """

    def __init__(
        self,
        message: str,
        *,
        error: str | None = None,
        error_description: str | None = None,
        status_code: int | None = None,
        registration_url: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error = error
        self.error_description = error_description
        self.status_code = status_code
        self.registration_url = registration_url


class ReauthorizationRequired(TokenError):
    """The user must log in again: there is no live refresh token, and no other way to get a token."""


class AuthorizationResponseError(OAuthError):
    """The redirect from the authorization endpoint carried an error or did not match the request."""

    error: str | None = None
    error_description: str | None = None


class TokenStoreError(OAuthError):
    """A token store could not load, save, delete or lock."""
