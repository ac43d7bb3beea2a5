"""The authorization request and its response (RFC 6749 section 4.1, RFC 7636, RFC 9207). Pure, but for `secrets`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from .._wire.checks import require_encodable
from .._wire.messages import join_scope
from .._wire.urls import check_endpoint
from .._wire.words import redact
from ..errors import AuthorizationResponseError, ConfigurationError

__all__ = ["AuthorizationRequest", "check_redirect_uri", "read_parameters"]

_OWN_PARAMETERS = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"}
)
_MAX_URL_CHARACTERS = 64 * 1024
_MAX_PARAMETERS = 100


class AuthorizationRequest:
    """A request that the user authorize this client, with a state and a PKCE verifier of its own. Immutable.

    Redirect the user to `.url`; when they are redirected back to `redirect_uri`, `code_from` checks the URL and returns
    the code. `issuer` is the authorization server's, if known: a response from another one is refused (RFC 9207), and
    with `issuer_required` one that names none. `parameters` are additional ones, such as `{"prompt": "consent"}`; a
    sequence repeats its parameter, None drops it. Raises `ConfigurationError`.

    Use each request for one login, and store it where the user can't see it: it holds the verifier.
    """

    __slots__ = ("_fields",)

    def __init__(
        self,
        authorization_url: str,
        client_id: str,
        redirect_uri: str,
        *,
        scope: str | Iterable[str] | None = None,
        issuer: str | None = None,
        issuer_required: bool = False,
        parameters: Mapping[str, str | Sequence[str] | None] | None = None,
        allow_insecure_transport: bool = False,
    ) -> None:
        check_endpoint("authorization_url", authorization_url, allow_insecure=allow_insecure_transport)
        check_redirect_uri(redirect_uri)
        if not isinstance(client_id, str) or not client_id:
            raise ConfigurationError("client_id must be the text that the authorization server issued")
        require_encodable("client_id", client_id)
        if issuer is not None and not isinstance(issuer, str):
            raise ConfigurationError(f"issuer must be a URL as text, not {type(issuer).__name__}")
        self._fields: dict[str, Any] = {
            "authorization_url": authorization_url,
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": join_scope(scope),
            "issuer": issuer,
            "issuer_required": bool(issuer_required),
            "parameters": read_parameters(parameters),
            "state": secrets.token_urlsafe(32),
            "code_verifier": secrets.token_urlsafe(48),
        }

    def _with(self, **fields: Any) -> Self:
        request = object.__new__(type(self))
        request._fields = {**self._fields, **fields}
        return request

    def signed(self, request: str) -> Self:
        """Return this request in its signed form, a JWT (RFC 9101 section 5.1)."""
        return self._with(request=request)

    def pushed(self, request_uri: str) -> Self:
        """Return this request by reference: it was pushed to the server (RFC 9126 section 4)."""
        return self._with(request_uri=request_uri)

    def bound_to(self, private_jwk: Mapping[str, Any]) -> Self:
        """Return this request with the key that was made for it, to which its code is bound (RFC 9449 section 10)."""
        return self._with(dpop_key=dict(private_jwk))

    @property
    def client_id(self) -> str:
        """The client that the user is asked to authorize."""
        return str(self._fields["client_id"])

    @property
    def redirect_uri(self) -> str:
        """The URI that the user is redirected back to."""
        return str(self._fields["redirect_uri"])

    @property
    def state(self) -> str:
        """The random value that binds the response to this request (RFC 6749 section 10.12)."""
        return str(self._fields["state"])

    @property
    def code_verifier(self) -> str:
        """PKCE's secret (RFC 7636), which the token call sends with the code."""
        return str(self._fields["code_verifier"])

    @property
    def dpop_key(self) -> Mapping[str, Any] | None:
        """The private JWK that was made for this request, a secret; None if there's none."""
        key: Mapping[str, Any] | None = self._fields.get("dpop_key")
        return key

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """What the request asks for, as names and values."""
        fields = self._fields
        digest = hashlib.sha256(self.code_verifier.encode()).digest()
        return [
            ("response_type", "code"),
            ("client_id", fields["client_id"]),
            ("redirect_uri", fields["redirect_uri"]),
            *([("scope", fields["scope"])] if fields["scope"] else []),
            ("state", fields["state"]),
            ("code_challenge", base64.urlsafe_b64encode(digest).rstrip(b"=").decode()),
            ("code_challenge_method", "S256"),
            *((name, value) for name, values in fields["parameters"].items() for value in values),
        ]

    @property
    def url(self) -> str:
        """The URL to redirect the user to; a request that was pushed or signed isn't readable in it."""
        fields, parameters = self._fields, self.parameters
        for name in ("request_uri", "request"):
            if name in fields:
                parameters = [("client_id", fields["client_id"]), (name, fields[name])]
                break
        url: str = fields["authorization_url"]
        joint = "?" if "?" not in url else "" if url.endswith(("?", "&")) else "&"
        return f"{url}{joint}{urlencode(parameters)}"

    def is_for(self, issuer: str | None, authorization_url: str | None) -> bool:
        """Return whether this is the authorization server that was asked, as far as both sides know it."""
        if issuer is not None and self._fields["issuer"] is not None:
            return bool(issuer == self._fields["issuer"])
        return authorization_url in {None, self._fields["authorization_url"]}

    def is_answered_by(self, redirected_url: str) -> bool:
        """Return whether a URL that the user was redirected to has exactly one state, this request's."""
        try:
            states = [value for name, value in _parameters_of(redirected_url) if name == "state"]
        except AuthorizationResponseError:
            return False
        return len(states) == 1 and _same(states[0], self.state)

    def code_from(self, redirected_url: str) -> str:
        """Return the code in the URL that the user was redirected to, given whole or from its `?` on.

        Raises `AuthorizationResponseError` if it isn't the response to this request, or holds an error or no code.
        """
        answer = self._read_answer(redirected_url)
        if not answer.keys() & {"code", "error", "state"}:
            raise _refused("there's neither a code nor an error in it")
        if not _same(answer.get("state", ""), self.state):
            raise _refused(
                "its state isn't this request's, so it may belong to another login, or be forged: begin a new login"
            )
        self._check_issuer(answer.get("iss"))
        if "error" in answer:
            raise _provider_error(answer)
        if not answer.get("code"):
            raise _refused("there's no code in it")
        return answer["code"]

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, verifier and key included: what JSON has."""
        parameters = {name: list(values) for name, values in self._fields["parameters"].items()}
        key = {} if self.dpop_key is None else {"dpop_key": dict(self.dpop_key)}
        return {**self._fields, **key, "parameters": parameters}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the request that `to_dict()` was called on. Raises `ConfigurationError` for any other dictionary."""
        required = ("authorization_url", "client_id", "redirect_uri", "state", "code_verifier")
        texts = [fields.get(name) for name in required] if isinstance(fields, Mapping) else [None]
        if not all(isinstance(text, str) and text for text in texts):
            raise ConfigurationError("AuthorizationRequest.from_dict takes what to_dict() returned")
        request = cls(
            fields["authorization_url"],
            fields["client_id"],
            fields["redirect_uri"],
            scope=fields.get("scope"),
            issuer=fields.get("issuer"),
            issuer_required=bool(fields.get("issuer_required")),
            parameters=fields.get("parameters"),
            allow_insecure_transport=True,  # checked when the request was made
        )
        own: dict[str, Any] = {name: fields[name] for name in ("state", "code_verifier")}
        for name, kind in (("request", str), ("request_uri", str), ("dpop_key", Mapping)):
            if name in fields:
                if not isinstance(fields[name], kind):
                    raise ConfigurationError("AuthorizationRequest.from_dict takes what to_dict() returned")
                own[name] = dict(fields[name]) if kind is Mapping else fields[name]
        return request._with(**own)

    def _read_answer(self, redirected_url: str) -> dict[str, str]:
        if not isinstance(redirected_url, str) or len(redirected_url) > _MAX_URL_CHARACTERS:
            raise _refused("it's no URL")
        redirected_url = redirected_url.strip()
        if not redirected_url.startswith("?") and _path_of(redirected_url) != _path_of(self.redirect_uri):
            raise _refused(f"it isn't a redirect to {self.redirect_uri}")
        pairs = _parameters_of(redirected_url)
        own = {name for name, _ in parse_qsl(urlsplit(self.redirect_uri).query, keep_blank_values=True)}
        names = [name for name, _ in pairs if name not in own or name in {"state", "code", "iss", "error"}]
        if repeated := sorted({redact(name, ()) or "" for name in names if names.count(name) > 1}):
            raise _refused(f"it has more than one {repeated[0]}, so it can't be trusted (RFC 6749 section 3.1)")
        return dict(pairs)

    def _check_issuer(self, iss: str | None) -> None:
        expected = self._fields["issuer"]
        if iss is None:
            if self._fields["issuer_required"]:
                raise _refused("it has no iss, though this server always sends one (RFC 9207)")
        elif expected is not None and not _same(iss, expected):
            raise _refused(f"another server sent it, not {expected} (RFC 9207)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AuthorizationRequest) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self.state)

    def __repr__(self) -> str:
        names = ("authorization_url", "client_id", "redirect_uri", "scope", "issuer")
        return f"{type(self).__name__}({', '.join(f'{name}={self._fields[name]!r}' for name in names)})"


def check_redirect_uri(redirect_uri: object) -> str:
    """Return the redirect URI. Raises `ConfigurationError` for what can't be one."""
    if not isinstance(redirect_uri, str) or not redirect_uri.isascii() or not redirect_uri.isprintable():
        raise ConfigurationError("redirect_uri must be the URL, in ASCII, that's registered with the server")
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or " " in redirect_uri or (parts.scheme in {"http", "https"} and not parts.hostname):
        raise ConfigurationError("redirect_uri must be an absolute URL, such as 'https://app.example.com/callback'")
    if "#" in redirect_uri:
        raise ConfigurationError("redirect_uri must have no fragment (RFC 6749 section 3.1.2): leave out '#'")
    return redirect_uri


def read_parameters(parameters: Any) -> dict[str, list[str]]:
    """Return each parameter's values. Raises `ConfigurationError`."""
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise ConfigurationError("parameters must be a mapping of parameter names to text")
    read: dict[str, list[str]] = {}
    for name, value in parameters.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
        values = [one for one in values if one is not None]
        if not isinstance(name, str) or not all(isinstance(one, str) for one in values):
            raise ConfigurationError(f"parameters must be text: {name!r} isn't")
        if name in _OWN_PARAMETERS:
            raise ConfigurationError(f"parameters can't have {name!r}: the request sets it itself")
        read[require_encodable("the name of a parameter", name)] = [
            require_encodable(f"parameter {name!r}", one) for one in values
        ]
    return read


def _path_of(url: str) -> str | None:
    """Return what must be equal in two redirect URIs: the path, and for an app's own scheme also scheme and host.

    Behind a proxy, an app sees another scheme, host or port than the browser.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme in {"http", "https"}:
        return parts.path or "/"
    return f"{parts.scheme}:{parts.netloc}{parts.path}" if parts.scheme else parts.path or None


def _parameters_of(url: str) -> list[tuple[str, str]]:
    try:
        url.encode()  # a lone surrogate, which stdin has for a byte that isn't UTF-8, can't be compared or sent
        return parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise _refused("its parameters can't be read") from None


def _same(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def _refused(reason: str) -> AuthorizationResponseError:
    return AuthorizationResponseError(f"the redirected URL can't be used: {reason}")


def _provider_error(answer: Mapping[str, str]) -> AuthorizationResponseError:
    kind, description = redact(answer["error"], ()) or "unreadable", redact(answer.get("error_description"), ())
    error = AuthorizationResponseError(
        f"the authorization server answered with an error: {kind}{f': {description}' if description else ''}"
    )
    error.error, error.error_description = kind, description
    return error
