"""The answers of an authorization server: what they say, or which error they are. Pure, no I/O.

Servers deviate from the RFCs where the meaning is still clear: lifetimes as text, form-encoded answers, errors with
status 200. Whatever arrives, a reader returns what was asked for or raises an `OAuthError`, and nothing else.

    read_token_response    RFC 6749 section 5
    read_revocation_response    RFC 7009 section 2.2
    read_device_response    RFC 8628 section 3.2
    read_pushed_response    RFC 9126 section 2.2
    read_introspection_response    RFC 7662 section 2.2
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urljoin

from .._record import Record
from ..errors import ConfigurationError, OAuthProviderError, OAuthProviderException, TokenError, TokenResponseError
from .http_fields import read_date, read_retry_after
from .token import OAuthToken, read_answer
from .token_request import TokenRequest
from .urls import without_query
from .words import is_page, redact, server_words

__all__ = [
    "MAX_BODY",
    "DeviceResponse",
    "TokenResponse",
    "join_scope",
    "parse_body",
    "quoted",
    "read_device_response",
    "read_fields",
    "read_introspection_response",
    "read_pushed_response",
    "read_revocation_response",
    "read_token_response",
    "redirect_target",
    "text_in",
    "where_from",
]

MAX_BODY = 1024 * 1024
"""The longest answer that's read, in bytes; token answers are far shorter."""

_MEDIA_TYPE = r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}"


class TokenResponse(Record):
    """The answer to one; header names in lower case, the body decompressed, at most MAX_BODY + 1 long."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float | None = None
    """When it arrived, in Unix time; None stands for now."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status_code={self.status_code}, …)"


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


def read_token_response(
    request: TokenRequest,
    response: TokenResponse,
    *,
    adapt: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> OAuthToken:
    """Read an answer of the token endpoint; `expiry` counts from when it was received.

    `adapt`, a hook of the user's, returns the fields as the RFC has them, from those that came.
    Raises `OAuthProviderException` for an error of RFC 6749 section 5.2, whatever its status, and
    `TokenResponseError` for all else that is no token.
    """
    fields = read_fields(request, response, "token endpoint", adapt)
    try:
        return OAuthToken(**read_answer(fields, _received_at(response)))
    except ConfigurationError:
        words = server_words(fields, text_in(response), request.secrets)
        failure = TokenResponseError(
            f"the token endpoint's answer has no access_token that a header can carry{quoted(words)}",
            content_type=_content_type(response),
            server_message=words,
            **where_from(request, response),
        )
    raise failure


def read_revocation_response(request: TokenRequest, response: TokenResponse) -> None:
    """Read the answer of a revocation endpoint (RFC 7009 section 2.2); an unknown token counts as revoked there."""
    if not 200 <= response.status_code < 300:
        read_fields(request, response, "revocation endpoint")


def read_fields(
    request: TokenRequest,
    response: TokenResponse,
    endpoint: str,
    adapt: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> Mapping[str, Any]:
    """Return the fields of an answer that isn't an error. Raises as `read_token_response` does."""
    status, body, text = response.status_code, response.body, text_in(response)
    where, kind = where_from(request, response), _content_type(response)
    if len(body) > MAX_BODY:
        raise TokenResponseError(f"the {endpoint} answered with more than {MAX_BODY} bytes", content_type=kind, **where)
    if 300 <= status < 400:
        message = f"the {endpoint} redirects{redirect_target(request, response)}, and token calls follow no redirect"
        raise TokenResponseError(f"{message}: give its final URL", content_type=kind, **where)
    if status == 407:
        message = f"a proxy before {without_query(request.url)} wants a login: put user and password into its URL"
        raise TokenResponseError(message, content_type=kind, **where)
    declared = response.headers.get("content-type", "").partition(";")[0].strip().lower() or None
    fields = {} if is_page(text) else parse_body(text, declared)
    if adapt is not None:
        fields = _adapt(adapt, fields, status)
    error, is_success = fields.get("error"), 200 <= status < 300
    if is_success and fields and (fields.get("access_token") or not isinstance(error, str) or not error):
        return fields
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


def _adapt(
    hook: Callable[[Mapping[str, Any]], Mapping[str, Any]], fields: Mapping[str, Any], status: int
) -> Mapping[str, Any]:
    """Return what the user's hook makes of an answer's fields. Raises `TokenError` if it can't make a token of them."""
    is_error = not 200 <= status < 300 or not fields or bool(fields.get("error"))
    adapted: object = None
    cause = None
    try:
        adapted = hook(fields)
    except Exception as error:  # noqa: BLE001 - it's the user's code
        cause, text = error, f"token_response_hook raised {type(error).__name__}"
    else:
        text = f"token_response_hook must return the answer's fields, not {type(adapted).__name__}"
    if isinstance(adapted, Mapping) and all(isinstance(name, str) for name in adapted):
        return adapted
    if is_error:  # then the server's own words tell more
        return fields
    failure = TokenError(text)
    failure.status_code = status
    raise failure from cause


def redirect_target(request: TokenRequest, response: TokenResponse) -> str:
    """Return where a redirect leads, as the end of a sentence."""
    try:
        target = urljoin(request.url, response.headers["location"])
    except (KeyError, ValueError):
        return ""
    return f" to {redact(without_query(target), request.secrets)}"


def quoted(words: str | None) -> str:
    """Return a server's words as the end of a sentence."""
    return f': "{words}"' if words else ""


def text_in(response: TokenResponse) -> str:
    return response.body.decode("utf-8-sig", "replace").strip()


def where_from(request: TokenRequest, response: TokenResponse) -> dict[str, Any]:
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


def parse_body(text: str, content_type: str | None) -> Mapping[str, Any]:
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
        words = server_words(fields, text_in(response), request.secrets)
        lacks = "the device authorization endpoint's answer lacks a usable device_code, user_code or verification_uri"
        raise _unusable(request, response, f"{lacks}{quoted(words)}", words)
    complete = fields.get("verification_uri_complete")
    lifetime = _seconds(fields.get("expires_in"))
    return DeviceResponse(
        **texts,  # type: ignore[arg-type]
        verification_uri_complete=complete if _is_line(complete) else None,
        expires_in=_DEVICE_CODE_LIFETIME if lifetime is None else lifetime,
        interval=_seconds(fields.get("interval")),
    )


def read_pushed_response(request: TokenRequest, response: TokenResponse) -> str:
    """Return the reference to a pushed authorization request (RFC 9126 section 2.2).

    Raises as `read_token_response` does.
    """
    fields = read_fields(request, response, "pushed authorization request endpoint")
    reference = fields.get("request_uri")
    if not _is_line(reference):
        lacks = "the pushed authorization request endpoint's answer lacks a usable request_uri"
        raise _unusable(request, response, lacks)
    return str(reference)


def read_introspection_response(request: TokenRequest, response: TokenResponse) -> Mapping[str, Any]:
    """Return what a server tells about a token (RFC 7662 section 2.2). Raises as `read_token_response` does."""
    fields = read_fields(request, response, "introspection endpoint")
    if not isinstance(fields.get("active"), bool):
        lacks = "the introspection endpoint's answer doesn't say whether the token is active"
        raise _unusable(request, response, lacks)
    return fields


def _unusable(
    request: TokenRequest, response: TokenResponse, text: str, words: str | None = None
) -> TokenResponseError:
    """Return what is raised for an answer that isn't an error, and hasn't what was asked for."""
    return TokenResponseError(
        text,
        status_code=response.status_code,
        token_url=without_query(request.url),
        server_message=words,
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


# -- What is said of a refused call: who refused whom, and what was sent that may have been wrong. It's read from the
# request itself, so that it's true whoever has made that: a grant, the controller, or a hook.

_NO_ENDPOINT = {404, 405}
_HEADER, _FORM = "in the Authorization header (ClientSecretBasic)", "in the form (ClientSecretPost)"


class Sent(Record):
    """What a request says of its client, and of what it asks for; no secret."""

    client_id: str | None
    grant_type: str | None
    scope: str | None
    secret: str | None
    """Where the client's secret was; None if there was none."""
    is_authenticated: bool
    """Whether the client was authenticated, with a secret or in another way."""
    padded: tuple[str, ...]
    """The names of those fields, the client's id and the secrets, that have white space at either end."""

    @classmethod
    def of(cls, request: TokenRequest) -> Sent:
        """Read a request."""
        fields = {name: value for name, value in request.fields.items() if isinstance(value, str)}
        headers = {name.lower(): value for name, value in request.headers.items()}
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        client_id, secret, place = fields.get("client_id"), fields.get("client_secret"), None
        if scheme.lower() == "basic":
            client_id, secret, place = *_basic(credentials), _HEADER
        elif secret is not None:
            place = _FORM
        values = {"client_id": client_id, "client_secret": secret, "password": fields.get("password")}
        return cls(
            redact(client_id, request.secrets),
            redact(fields.get("grant_type"), request.secrets),
            redact(fields.get("scope"), request.secrets),
            place,
            bool(scheme) or secret is not None or "client_assertion" in fields,
            tuple(name for name, value in values.items() if isinstance(value, str) and value != value.strip()),
        )

    def __str__(self) -> str:
        client = "a client without client_id" if self.client_id is None else f"client {self.client_id!r}"
        return client if self.grant_type is None else f"{client} ({self.grant_type})"

    def hints(self, error: str | None) -> Iterator[str]:
        """Return sentences about what was sent that may explain this error."""
        if error == OAuthProviderError.INVALID_CLIENT:
            if not self.is_authenticated:
                yield "No secret was sent: client_secret is None."
            elif self.secret is not None:
                yield f"Are the client's credentials right? They were sent {self.secret}."
        yield from (f"The {name} that was sent begins or ends with white space." for name in self.padded)
        if error == OAuthProviderError.INVALID_SCOPE:
            yield "No scope was asked for: pass scope=." if self.scope is None else f'The scope was "{self.scope}".'
        if error == OAuthProviderError.INVALID_GRANT and self.grant_type == "authorization_code":
            yield (
                "The code was used before or has expired, or redirect_uri or code_verifier isn't the one that it was "
                "asked for with."
            )


def _basic(credentials: str) -> tuple[str | None, str | None]:
    """Return the client's id and secret in a Basic header, which both may be form-encoded."""
    try:
        client_id, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return None, None
    return unquote(client_id), unquote(secret)


def explain_failure(
    request: TokenRequest, endpoint: str, status_code: int, *, error: str | None, words: str | None
) -> str:
    """Return what is said of a call that an endpoint has answered with an error: whose it is, and what may be wrong.

    `error` is a code of the server's, such as one of RFC 6749's, and `words` are its own; None if it gave none.
    """
    url, sent = without_query(request.url), Sent.of(request)
    said = ", ".join(part for part in (error, words and f'"{words}"') if part)
    if status_code in _NO_ENDPOINT and error not in set(OAuthProviderError):
        said = f" The server said: {said}." if said else ""
        return f"there is no {endpoint} at {url}: check that URL; if it is the issuer's, use from_issuer().{said}"
    refused = f"{url} refused {sent}" if status_code < 500 else f"{url} failed for {sent}"
    if error is None:
        refused += ", without an error of RFC 6749 section 5.2"
    return " ".join([f"{refused}: {said}." if said else f"{refused}.", *sent.hints(error)])
