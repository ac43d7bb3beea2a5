"""What is said of a refused call: who refused whom, and what was sent that may have been wrong. Pure.

It's read from the request itself, so that it's true whoever has made that: a grant, the controller, or a hook.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import unquote

from .._record import Record
from ..errors import OAuthProviderError
from .token_request import TokenRequest
from .urls import without_query
from .words import redact

__all__ = ["Sent", "explain_failure"]

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
