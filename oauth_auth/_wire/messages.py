"""Token requests and token answers (RFC 6749 sections 4 and 5): build the one, read the other. Pure, no I/O.

Real servers stray from the RFC, and what they mean is clear all the same: lifetimes as text, form-encoded answers,
errors with status 200. `read_token_response` takes whatever arrives and returns an `OAuthToken` or raises an error
of ours; nothing in the answer makes it raise anything else.
"""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import json
import logging
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlencode

from .._events import emit
from ..errors import ConfigurationError, OAuthProviderException, TokenResponseError
from .token import OAuthToken, is_sendable
from .urls import without_query

__all__ = [
    "MAX_BODY",
    "FieldParameters",
    "TokenRequest",
    "TokenResponse",
    "build_token_request",
    "join_scope",
    "read_fields",
    "read_retry_after",
    "read_revocation_response",
    "read_token_response",
    "redact",
    "require_encodable",
]

MAX_BODY = 1024 * 1024
"""The longest answer that's read, in bytes. No token answer comes near it."""

FieldValue = str | int | float | bool
FieldParameters = Mapping[str, FieldValue | Sequence[FieldValue] | None]

_SECRET_FIELDS = frozenset(
    {
        *("client_secret", "client_assertion", "password", "code", "code_verifier", "device_code"),
        *("refresh_token", "assertion", "subject_token", "actor_token", "id_token", "token"),
    }
)


class TokenRequest(NamedTuple):
    """A request to an authorization server; `secrets` is what its headers and body hold that must not be shown."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    secrets: tuple[str, ...]
    method: str = "POST"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self.url!r})"


class TokenResponse(NamedTuple):
    """Its answer; header names in lower case, the body decompressed, at most MAX_BODY + 1 long."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status_code={self.status_code}, …)"


def build_token_request(url: str, authorization: str | None, fields: Mapping[str, Any]) -> TokenRequest:
    """Build the request; a sequence repeats its field, `None` drops it. Raises `ConfigurationError` on other values."""
    form: list[tuple[str, str]] = []
    for name, value in fields.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
        require_encodable("the name of a field parameter", name)
        form.extend((name, _field_text(name, one)) for one in values if one is not None)
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    secrets = [text for name, value in form if name in _SECRET_FIELDS for text in (value, quote_plus(value))]
    if authorization is not None:
        if not isinstance(authorization, str) or not is_sendable(authorization):
            raise ConfigurationError("authorization must be one line of printable ASCII: see basic_authorization()")
        headers["Authorization"] = authorization
        secrets += _secrets_of(authorization)
    return TokenRequest(url, headers, urlencode(form).encode("ascii"), tuple(s for s in secrets if len(s) > 3))


def _secrets_of(authorization: str) -> list[str]:
    """Return what must not be shown of a header: its value, and the secret inside it if it's Basic."""
    value = authorization.partition(" ")[2] or authorization
    try:
        secret = base64.b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:
        return [value]
    return [value, secret, unquote_plus(secret)]


def _field_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return require_encodable(f"field parameter {name!r}", value)
    raise ConfigurationError(
        f"field parameter {name!r} must be text, a number, a sequence of them, or None to leave it out; "
        f"it is {type(value).__name__}"
    )


def require_encodable(name: str, text: str) -> str:
    """Return a text that UTF-8 can encode, or raise `ConfigurationError`: half a surrogate pair can't be sent."""
    if any("\ud800" <= char <= "\udfff" for char in text):  # an encoder's own error would hold the text
        raise ConfigurationError(f"{name} has half a surrogate pair in it, which can't be sent")
    return text


def join_scope(scope: str | Iterable[str] | None) -> str | None:
    """Return a scope as the space-delimited text of RFC 6749 section 3.3, or None if it's empty."""
    if scope is None:
        return None
    if not isinstance(scope, Iterable):
        raise ConfigurationError(f"scope must be text or an iterable of names, not {type(scope).__name__}")
    names = scope.split(" ") if isinstance(scope, str) else list(scope)
    for name in names:
        if not isinstance(name, str) or not name.isprintable() or (" " in name):
            raise ConfigurationError(
                "scope must be text with names separated by single spaces, or an iterable of names, "
                f"without control characters: {name!r}"
            )
    return " ".join(name for name in names if name) or None


def read_token_response(request: TokenRequest, response: TokenResponse) -> OAuthToken:
    """Read an answer of the token endpoint; `expiry` counts from now.

    Raises `OAuthProviderException` for an error of RFC 6749 section 5.2, whatever its status, and
    `TokenResponseError` for all else that is no token.
    """
    fields = read_fields(request, response, "token endpoint")
    try:
        return _token_from(fields)
    except ConfigurationError:
        message = "the token endpoint's answer has no access_token that a header can carry"
        failure = TokenResponseError(message, content_type=_content_type(response), **_where(request, response))
    raise failure


def read_revocation_response(request: TokenRequest, response: TokenResponse) -> None:
    """Read the answer of a revocation endpoint (RFC 7009 section 2.2); an unknown token counts as revoked there."""
    if not 200 <= response.status_code < 300:
        read_fields(request, response, "revocation endpoint")


def read_fields(request: TokenRequest, response: TokenResponse, endpoint: str) -> Mapping[str, Any]:
    """Return the fields of an answer that isn't an error. Raises as `read_token_response` does."""
    status, _, body = response
    where, kind = _where(request, response), _content_type(response)
    if len(body) > MAX_BODY:
        raise TokenResponseError(f"the {endpoint} answered with more than {MAX_BODY} bytes", content_type=kind, **where)
    if 300 <= status < 400:
        message = f"the {endpoint} redirects, and token calls follow no redirect: give its final URL"
        raise TokenResponseError(message, content_type=kind, **where)
    fields = _parse(body, response.headers.get("content-type", "").partition(";")[0].strip().lower() or None)
    error = fields.get("error")
    if isinstance(error, str) and error and not (200 <= status < 300 and fields.get("access_token")):
        raise OAuthProviderException(
            redact(error, request.secrets) or "unreadable",
            error_description=redact(fields.get("error_description"), request.secrets),
            error_uri=redact(fields.get("error_uri"), request.secrets),
            **where,
        )
    if not 200 <= status < 300:
        message = f"the {endpoint} refused, without an error of RFC 6749 section 5.2"
        raise TokenResponseError(message, content_type=kind, **where)
    return fields


def _where(request: TokenRequest, response: TokenResponse) -> dict[str, Any]:
    """Return what errors tell of an answer."""
    return {
        "status_code": response.status_code,
        "token_url": without_query(request.url),
        "retry_after": read_retry_after(response.headers.get("retry-after")),
    }


def _content_type(response: TokenResponse) -> str | None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind if re.fullmatch(_MEDIA_TYPE, kind) else None


def _parse(body: bytes, content_type: str | None) -> Mapping[str, Any]:
    """Read JSON, else a form if it's declared so or might be one. An unreadable body has no fields."""
    text = body.decode("utf-8-sig", "replace").strip()
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if isinstance(fields, dict):
        return fields
    if fields is None and content_type in {"application/x-www-form-urlencoded", "text/plain", None}:
        try:
            return dict(parse_qsl(text, max_num_fields=1000))
        except ValueError:
            pass
    return {}


def _token_from(fields: Mapping[str, Any]) -> OAuthToken:
    known = ("access_token", "token_type", "expires_in", "scope", "refresh_token")
    token_type = fields.get("token_type")
    if not isinstance(token_type, str) or not token_type.strip():
        token_type = "Bearer"
    if token_type.strip().lower() != "bearer":
        _log_unknown_type(token_type)
    scope = fields.get("scope")
    if isinstance(scope, list):
        scope = " ".join(name for name in scope if isinstance(name, str))
    refresh_token = fields.get("refresh_token")
    return OAuthToken(
        access_token=fields.get("access_token", ""),
        token_type=token_type.strip(),
        expires_in=_lifetime(fields.get("expires_in")),
        scope=scope if isinstance(scope, str) and scope else None,
        refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        extra={name: value for name, value in fields.items() if name not in known},
    )


def _lifetime(value: object) -> float | None:
    """Read `expires_in`; a value that is no number of seconds counts as absent."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(seconds):
        return None
    seconds = min(max(seconds, 0.0), _A_CENTURY)
    return int(seconds) if seconds.is_integer() else seconds


_A_CENTURY = 100 * 366 * 86400.0

_MEDIA_TYPE = r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}"

_logged_types: set[str] = set()


def _log_unknown_type(token_type: str) -> None:
    if token_type not in _logged_types and len(_logged_types) < 100:
        _logged_types.add(token_type)
        text = "unknown token_type %(token_type)r: the token is sent as Bearer"
        emit(logging.WARNING, "unknown_token_type", text, token_type=token_type[:50])


def redact(value: object, secrets: Iterable[str]) -> str | None:
    """Return a server's text fit for an error message: one line, of bounded length, without what we sent."""
    if not isinstance(value, str):
        return None
    value = value[:10_000]
    for secret in sorted(secrets, key=len, reverse=True):  # one may be the beginning of another
        value = value.replace(secret, "[redacted]")
    return "".join(char if char.isprintable() else " " for char in value[:500]).strip() or None


def read_retry_after(value: str | None) -> float | None:
    """Return the seconds that `Retry-After` asks for (RFC 9110 section 10.2.3), or None if it can't be read."""
    if value is None or len(value) > 64:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _A_CENTURY)
    try:
        date = email.utils.parsedate_to_datetime(value)
        # Dates without a zone are in UTC (RFC 9110 section 5.6.7), which datetime takes for local time.
        seconds = (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), _A_CENTURY)
