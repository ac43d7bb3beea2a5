"""Requests to an authorization server: `TokenRequest`, and how one is built (RFC 6749 section 4). Pure, no I/O.

A `Call` is sent in up to three attempts. What proves who sends it is good for one attempt, at one URL, so it's a part
that is made for each, see `PerAttempt`.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import unquote_plus, urlencode

from .._record import Record
from ..errors import ConfigurationError
from .checks import require_encodable
from .token import is_sendable

__all__ = [
    "REQUEST_HEADERS",
    "Attempt",
    "Call",
    "FieldParameters",
    "PerAttempt",
    "TokenRequest",
    "build_call",
    "build_token_request",
]

REQUEST_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""Headers of all requests; answers are short, and compressed ones may unpack to any length."""

FieldValue = str | int | float | bool
FieldParameters = Mapping[str, FieldValue | Sequence[FieldValue] | None]

_SECRET_FIELDS = {
    *("client_secret", "client_assertion", "password", "code", "code_verifier", "device_code"),
    *("refresh_token", "assertion", "subject_token", "actor_token", "id_token", "token", "request"),
}


@dataclasses.dataclass(init=False, repr=False, eq=False)
class TokenRequest(Record):
    """A request to an authorization server, as it's about to be sent. Immutable; its repr shows no secret.

    Change one by `dataclasses.replace`. `fields` are those of the body; a list repeats its field. They are sent as a
    form, or as JSON where the header `Content-Type` is `application/json`.
    """

    url: str
    headers: Mapping[str, str]
    fields: Mapping[str, Any]
    method: str = "POST"
    secrets: tuple[str, ...] = ()
    """What was in headers and fields at first that must not be shown."""
    reads_body: bool = True
    """Whether the answer's body is of interest; one that isn't read may be a stream without an end."""

    @property
    def body(self) -> bytes:
        """What is sent. Raises `ConfigurationError` for fields that can't be."""
        if self.method == "GET":
            return b""
        if _media_type(self.headers) == "application/json":
            try:
                return json.dumps(dict(self.fields)).encode()
            except (TypeError, ValueError):
                raise ConfigurationError("the fields of a request must be what JSON can carry") from None
        return urlencode(list(_form(self.fields))).encode("ascii")

    def check(self) -> None:
        """Raise `ConfigurationError` for what can't be sent."""
        if not isinstance(self.method, str) or not isinstance(self.url, str):
            raise ConfigurationError("method and url must be text")
        if not isinstance(self.headers, Mapping) or not isinstance(self.fields, Mapping):
            raise ConfigurationError("headers and fields must be mappings")
        for name, value in self.headers.items():
            if not all(isinstance(text, str) and text.isascii() and text.isprintable() for text in (name, value)):
                raise ConfigurationError(f"the header {name!r} must be one line of printable ASCII")
        _ = self.body

    def as_json(self) -> Self:
        """Return the same request with its fields as JSON."""
        others = {name: value for name, value in self.headers.items() if name.lower() != "content-type"}
        return dataclasses.replace(self, headers={**others, "Content-Type": "application/json"})

    def with_secrets_of(self, original: TokenRequest) -> Self:
        """Return the same request, which knows its own secrets and those of the one that it was made from."""
        secrets = (*original.secrets, *self.secrets, *_secrets_in(self.headers, self.fields))
        return dataclasses.replace(self, secrets=tuple(dict.fromkeys(secrets)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(method={self.method!r}, url={self.url!r})"


class Attempt(Record):
    """One attempt at a call, as what is made for it must know it."""

    url: str
    issuer: str | None
    """The server's issuer, where it's known."""
    wall: float
    """The time, in Unix seconds, by the server's clock as far as that's known."""
    nonce: str | None = None
    """The server's nonce for proofs (RFC 9449 section 8), if it has given one."""


class PerAttempt(Record):
    """A field or header of a call whose text is made anew for each attempt. The function may raise `TokenError`."""

    make: Callable[[Attempt], str]
    runs_code: bool = False
    """Whether that calls a function of the user's, which may block."""
    is_header: bool = False
    is_bounded: bool = True
    """Whether the time that it takes is the attempt's; else it has its own time-outs."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Call(Record):
    """A call of an endpoint: the request, without what is made for each attempt."""

    request: TokenRequest
    per_attempt: Mapping[str, PerAttempt] = {}
    """By the names of the fields and headers."""

    @property
    def has_proof(self) -> bool:
        """Whether a proof of a key goes along (RFC 9449)."""
        return "DPoP" in self.per_attempt

    @property
    def is_unbounded(self) -> bool:
        """Whether something is made for an attempt that has its own time-outs."""
        return not all(part.is_bounded for part in self.per_attempt.values())

    def with_made(self, texts: Mapping[str, str]) -> TokenRequest:
        """Return what an attempt sends, with the texts that were made for it."""
        request = self.request
        if not texts:
            return request
        headers = {name: text for name, text in texts.items() if self.per_attempt[name].is_header}
        fields = {name: texts.get(name, value) for name, value in request.fields.items()}
        secrets = (*request.secrets, *_secrets_in(headers, texts))
        return dataclasses.replace(
            request,
            headers={**request.headers, **headers},
            fields=fields,
            secrets=tuple(dict.fromkeys(secrets)),
        )


def build_call(url: str, authorization: str | None, fields: Mapping[str, Any]) -> Call:
    """Build a call as `build_token_request` builds a request, of fields that may be made for each attempt, too."""
    per_attempt = {name: value for name, value in fields.items() if isinstance(value, PerAttempt)}
    headers = {name for name, part in per_attempt.items() if part.is_header}
    constant = {name: "" if name in per_attempt else value for name, value in fields.items() if name not in headers}
    return Call(build_token_request(url, authorization, constant), per_attempt)


def _media_type(headers: Mapping[str, str]) -> str:
    value = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return value.partition(";")[0].strip().lower()


def _form(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a form; a sequence repeats its field, `None` drops it."""
    for name, value in fields.items():
        require_encodable("the name of a field parameter", name)
        for one in value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]:
            if one is not None:
                yield name, _field_text(name, one)


def build_token_request(url: str, authorization: str | None, fields: Mapping[str, Any]) -> TokenRequest:
    """Build the request; a sequence repeats its field, `None` drops it. Raises `ConfigurationError` on other values."""
    form: dict[str, list[str]] = {}
    for name, text in _form(fields):
        form.setdefault(name, []).append(text)
    headers = {**REQUEST_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
    if authorization is not None:
        if not isinstance(authorization, str) or not is_sendable(authorization):
            raise ConfigurationError("authorization must be one line of printable ASCII: see basic_authorization()")
        headers["Authorization"] = authorization
    texts = {name: values[0] if len(values) == 1 else values for name, values in form.items()}
    return TokenRequest(url=url, headers=headers, fields=texts, secrets=tuple(_secrets_in(headers, texts)))


def _secrets_in(headers: Mapping[str, str], fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what must not be shown of a request's headers and fields."""
    for name, value in fields.items():
        if name in _SECRET_FIELDS:
            for text in value if isinstance(value, list | tuple) else [value]:
                if isinstance(text, str) and len(text) > 3:
                    yield text
    for name, value in headers.items():
        if name.lower() == "authorization":
            yield from (text for text in _secrets_of(value) if len(text) > 3)
        elif name.lower() == "dpop":
            yield value


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
