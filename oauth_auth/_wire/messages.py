"""Requests to an authorization server and its answers: build the one, read the others. Pure, no I/O.

Servers deviate from the RFCs where the meaning is still clear: lifetimes as text, form-encoded answers, errors with
status 200. Whatever arrives, a reader returns what was asked for or raises an `OAuthError`, and nothing else.

    build_token_request    RFC 6749 section 4, and all other forms that are posted
    read_token_response    RFC 6749 section 5
    read_revocation_response    RFC 7009 section 2.2
    read_device_response    RFC 8628 section 3.2
    read_metadata_response    RFC 8414 section 3.2
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urljoin

from .._record import Record
from ..errors import ConfigurationError, OAuthProviderException, TokenResponseError
from .checks import require_encodable
from .dates import read_date, read_retry_after
from .token import OAuthToken, is_sendable, read_answer
from .urls import without_query
from .words import is_page, redact, server_words

__all__ = [
    "MAX_BODY",
    "REQUEST_HEADERS",
    "DeviceResponse",
    "FieldParameters",
    "NoMetadata",
    "TokenRequest",
    "TokenResponse",
    "build_token_request",
    "join_scope",
    "read_device_response",
    "read_metadata_response",
    "read_revocation_response",
    "read_token_response",
]

MAX_BODY = 1024 * 1024
"""The longest answer that's read, in bytes; token answers are far shorter."""

REQUEST_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""Headers of all requests; answers are short, and compressed ones may unpack to any length."""

FieldValue = str | int | float | bool
FieldParameters = Mapping[str, FieldValue | Sequence[FieldValue] | None]

_SECRET_FIELDS = {
    *("client_secret", "client_assertion", "password", "code", "code_verifier", "device_code"),
    *("refresh_token", "assertion", "subject_token", "actor_token", "id_token", "token"),
}

_MEDIA_TYPE = r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}"


class TokenRequest(Record):
    """A request to an authorization server; `secrets` is what its headers and body hold that must not be shown."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    secrets: tuple[str, ...]
    method: str = "POST"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self.url!r})"


class TokenResponse(Record):
    """The answer to one; header names in lower case, the body decompressed, at most MAX_BODY + 1 long."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float | None = None
    """When it arrived, in Unix time; None stands for now."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status_code={self.status_code}, …)"


def build_token_request(url: str, authorization: str | None, fields: Mapping[str, Any]) -> TokenRequest:
    """Build the request; a sequence repeats its field, `None` drops it. Raises `ConfigurationError` on other values."""
    form: list[tuple[str, str]] = []
    for name, value in fields.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
        require_encodable("the name of a field parameter", name)
        form.extend((name, _field_text(name, one)) for one in values if one is not None)
    headers = {**REQUEST_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
    secrets = [value for name, value in form if name in _SECRET_FIELDS]
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
    """Read an answer of the token endpoint; `expiry` counts from when it was received.

    Raises `OAuthProviderException` for an error of RFC 6749 section 5.2, whatever its status, and
    `TokenResponseError` for all else that is no token.
    """
    fields = read_fields(request, response, "token endpoint")
    try:
        return OAuthToken(**read_answer(fields, _received_at(response)))
    except ConfigurationError:
        words = server_words(fields, _text(response), request.secrets)
        failure = TokenResponseError(
            f"the token endpoint's answer has no access_token that a header can carry{_quoted(words)}",
            content_type=_content_type(response),
            server_message=words,
            **_where(request, response),
        )
    raise failure


def read_revocation_response(request: TokenRequest, response: TokenResponse) -> None:
    """Read the answer of a revocation endpoint (RFC 7009 section 2.2); an unknown token counts as revoked there."""
    if not 200 <= response.status_code < 300:
        read_fields(request, response, "revocation endpoint")


def read_fields(request: TokenRequest, response: TokenResponse, endpoint: str) -> Mapping[str, Any]:
    """Return the fields of an answer that isn't an error. Raises as `read_token_response` does."""
    status, body, text = response.status_code, response.body, _text(response)
    where, kind = _where(request, response), _content_type(response)
    if len(body) > MAX_BODY:
        raise TokenResponseError(f"the {endpoint} answered with more than {MAX_BODY} bytes", content_type=kind, **where)
    if 300 <= status < 400:
        message = f"the {endpoint} redirects{_target(request, response)}, and token calls follow no redirect"
        raise TokenResponseError(f"{message}: give its final URL", content_type=kind, **where)
    if status == 407:
        message = f"a proxy before {without_query(request.url)} wants a login: put user and password into its URL"
        raise TokenResponseError(message, content_type=kind, **where)
    declared = response.headers.get("content-type", "").partition(";")[0].strip().lower() or None
    fields = {} if is_page(text) else _parse(text, declared)
    error, is_success = fields.get("error"), 200 <= status < 300
    if is_success and fields and (fields.get("access_token") or not isinstance(error, str) or not error):
        return fields
    from .refusals import explain_failure  # noqa: PLC0415 - most programs never need it

    words = server_words(fields, text, request.secrets)
    if isinstance(error, str) and error:
        code = redact(error, request.secrets) or "unreadable"
        description = redact(fields.get("error_description"), request.secrets)
        words = description or words
        raise OAuthProviderException(
            code,
            error_description=description,
            error_uri=redact(fields.get("error_uri"), request.secrets),
            message=explain_failure(request, endpoint, status, error=code, words=words),
            server_message=words,
            **where,
        )
    if not is_success:
        message = explain_failure(request, endpoint, status, error=None, words=words)
        raise TokenResponseError(message, content_type=kind, server_message=words, **where)
    if is_page(text) or declared == "text/html":
        title = f', "{words}"' if words else ""
        message = (
            f"the {endpoint} answered with a web page{title}: is this the authorization URL, or does a proxy answer?"
        )
        raise TokenResponseError(message, content_type=kind, server_message=words, **where)
    return fields


def _target(request: TokenRequest, response: TokenResponse) -> str:
    """Return where a redirect leads, as the end of a sentence."""
    try:
        target = urljoin(request.url, response.headers["location"])
    except (KeyError, ValueError):
        return ""
    return f" to {redact(without_query(target), request.secrets)}"


def _quoted(words: str | None) -> str:
    """Return a server's words as the end of a sentence."""
    return f': "{words}"' if words else ""


def _text(response: TokenResponse) -> str:
    return response.body.decode("utf-8-sig", "replace").strip()


def _where(request: TokenRequest, response: TokenResponse) -> dict[str, Any]:
    """Return what errors say about an answer."""
    # Both dates are the server's own, so that the local clock doesn't count.
    sent_at = read_date(response.headers.get("date")) or _received_at(response)
    return {
        "status_code": response.status_code,
        "token_url": without_query(request.url),
        "retry_after": read_retry_after(response.headers.get("retry-after"), sent_at),
    }


def _received_at(response: TokenResponse) -> float:
    return time.time() if response.received_at is None else response.received_at


def _content_type(response: TokenResponse) -> str | None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind if re.fullmatch(_MEDIA_TYPE, kind) else None


def _parse(text: str, content_type: str | None) -> Mapping[str, Any]:
    """Read JSON, else a form if it's declared so or might be one. An unreadable body has no fields."""
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


class DeviceResponse(Record):
    """The answer of a device authorization endpoint (RFC 8628 section 3.2); times in seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: float
    interval: float | None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def read_device_response(request: TokenRequest, response: TokenResponse) -> DeviceResponse:
    """Read the answer of a device authorization endpoint. Raises as `read_token_response` does."""
    fields = read_fields(request, response, "device authorization endpoint")
    # Google's endpoint is older than the RFC and calls it verification_url.
    fields = {"verification_uri": fields.get("verification_url"), **fields}
    texts = {name: fields.get(name) for name in ("device_code", "user_code", "verification_uri")}
    if not all(_is_line(text) for text in texts.values()):
        words = server_words(fields, _text(response), request.secrets)
        raise TokenResponseError(
            "the device authorization endpoint's answer lacks a usable device_code, user_code or verification_uri"
            f"{_quoted(words)}",
            status_code=response.status_code,
            token_url=without_query(request.url),
            server_message=words,
        )
    complete = fields.get("verification_uri_complete")
    lifetime = _seconds(fields.get("expires_in"))
    return DeviceResponse(
        **texts,  # type: ignore[arg-type]
        verification_uri_complete=complete if _is_line(complete) else None,
        expires_in=_DEVICE_CODE_LIFETIME if lifetime is None else lifetime,
        interval=_seconds(fields.get("interval")),
    )


_DEVICE_CODE_LIFETIME = 600.0
"""How long a device code lives, in seconds, where the answer doesn't say so though the RFC requires it."""


def _is_line(text: object) -> bool:
    """Return whether this is one printable line: control characters could command the user's terminal."""
    return isinstance(text, str) and text != "" and text.isprintable()


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < 1e6 else None


class NoMetadata(TokenResponseError):
    """This URL has no metadata of the issuer; the next may have. `reason` is what the user should know of it."""

    reason: str | None = None


def read_metadata_response(request: TokenRequest, response: TokenResponse, issuer: str) -> Mapping[str, Any]:
    """Read an issuer's metadata (RFC 8414 section 3.2). Raises `TokenResponseError`, and `NoMetadata` of that kind."""
    status, where = response.status_code, _where(request, response)

    def no_metadata(message: str, reason: str | None = None) -> NoMetadata:
        error = NoMetadata(message, **where)
        error.reason = reason
        return error

    if status == 429 or status >= 500:
        text = _text(response)
        words = server_words(_parse(text, "application/json"), text, request.secrets)
        message = f"the issuer's metadata could not be fetched{_quoted(words)}"
        raise TokenResponseError(message, server_message=words, **where)
    if 300 <= status < 400:
        place = _target(request, response) or " to another place"
        reason = f"it redirects{place} for its metadata, and redirects aren't followed: give the final URL"
        raise no_metadata("there's a redirect", reason)
    if status != 200:
        raise no_metadata("there's no metadata there")
    if len(response.body) > MAX_BODY:
        raise TokenResponseError(f"the issuer's metadata is longer than {MAX_BODY} bytes", **where)
    try:
        metadata = json.loads(response.body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise no_metadata("the answer is no metadata")
    if metadata.get("issuer") != issuer:
        # A host may have several issuers; this one's metadata may be at the next URL.
        named = redact(metadata.get("issuer"), ())
        name = f"calls it {named!r}: give it exactly so, if that's the server you mean" if named else "has no issuer"
        raise no_metadata("the metadata there is of another issuer", f"its metadata {name}")
    return metadata
