"""`OAuthToken`, which is wire data and persisted, and `Credential`, which requests are sent with."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Self

from .._clock import Chance, Now
from .._record import Record
from ..errors import ConfigurationError

__all__ = [
    "CENTURY",
    "NO_TOKEN",
    "Credential",
    "Header",
    "OAuthToken",
    "Prover",
    "digest",
    "id_claims",
    "is_sendable",
    "nonce_in",
    "read_answer",
    "subject_of",
]

Prover = Callable[[str, str, float, str | None], str]
"""Makes the proof (RFC 9449) for a method, a URL without query, a time in Unix seconds, and a nonce."""
CENTURY = 100 * 366 * 86400
"""The longest lifetime or pause that's believed, in seconds."""


# Its methods are written out, since to have them made takes half a millisecond at import.
@dataclasses.dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class OAuthToken:
    """A successful answer of a token endpoint (RFC 6749 section 5.1). Immutable; its repr shows no secret.

    `expires_in` is in seconds; `expiry` is Unix time in seconds (UTC). Given only `expires_in`, `expiry` counts
    from the moment of construction; given neither, the token counts as never expiring. `extra` holds all other
    fields of the answer. Raises `ConfigurationError` for an access token that no header can carry.
    """

    access_token: str = dataclasses.field(repr=False)
    token_type: str = "Bearer"
    expires_in: float | None = None
    scope: str | None = None
    expiry: float | None = None
    refresh_token: str | None = dataclasses.field(default=None, repr=False)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, hash=False)

    def __init__(
        self,
        *,
        access_token: str,
        token_type: str = "Bearer",  # noqa: S107 - no password
        expires_in: float | None = None,
        scope: str | None = None,
        expiry: float | None = None,
        refresh_token: str | None = None,
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        vars(self).update(
            access_token=access_token,
            token_type=token_type,
            expires_in=expires_in,
            scope=scope,
            expiry=expiry,
            refresh_token=refresh_token,
            extra=extra,
        )
        self.__post_init__()

    def __post_init__(self) -> None:
        if not is_sendable(self.access_token):
            raise ConfigurationError(
                "access_token must be text of one or more printable ASCII characters (RFC 6750 section 2.1); "
                "pass the token alone, without scheme or line end"
            )
        if self.access_token.lower().startswith(("bearer ", "dpop ")):
            scheme = self.access_token.partition(" ")[0]
            raise ConfigurationError(f"access_token must be the token alone: leave out the scheme {scheme!r}")
        for name, text in (
            ("token_type", self.token_type),
            ("scope", self.scope),
            ("refresh_token", self.refresh_token),
        ):
            if not isinstance(text, str) and (text is not None or name == "token_type"):
                raise ConfigurationError(f"{name} must be text, not {type(text).__name__}")
        if not isinstance(self.extra, Mapping):
            raise ConfigurationError(f"extra must be a mapping, not {type(self.extra).__name__}")
        for name in ("expires_in", "expiry"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value)
            ):
                raise ConfigurationError(f"{name} must be a number of seconds or None, not {type(value).__name__}")
        if self.expiry is None and self.expires_in is not None:
            object.__setattr__(self, "expiry", time.time() + self.expires_in)
        object.__setattr__(self, "extra", dict(self.extra))

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(_values_of(self) == _values_of(other))

    def __hash__(self) -> int:
        return hash(_hashed_of(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in _SHOWN)
        return f"{type(self).__qualname__}({shown})"

    @property
    def authorization(self) -> str:
        """The value of the Authorization header that carries the token (RFC 6750 section 2.1), a secret.

        The scheme is `DPoP` for a token that is bound to a key (RFC 9449 section 7.1), else `Bearer`.
        """
        return f"{'DPoP' if self.is_bound else 'Bearer'} {self.access_token}"

    @property
    def is_bound(self) -> bool:
        """Whether it's bound to a key (RFC 9449), so that each request with it needs a proof."""
        return self.token_type.lower() == "dpop"

    def is_expired(self, leeway: float = 0.0) -> bool:
        """Return whether the token expires within `leeway` seconds from now. A token without expiry never does."""
        return self.expiry is not None and time.time() >= self.expiry - leeway

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, secrets included, as a dictionary that JSON can carry if `extra` can."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "extra": dict(self.extra)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Make a token from `to_dict()`'s dictionary, a token answer, or what another library kept of one.

        The first comes back exactly. The others are read as answers to the library's own calls are: `expires_in` may be
        text, `scope` a list, and so on. Their `expires_at`, Unix time in seconds, says when the token expires; without
        it `expires_in` counts from now. Unknown fields go to `extra`.

        Raises `ConfigurationError` if there's no `access_token` that can be sent, if `refresh_token` isn't text, or if
        another field of `to_dict()`'s dictionary has the wrong type.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, Mapping) or fields.keys() >= names:
            return cls._restore(fields)
        values = read_answer(fields, time.time())
        values["refresh_token"] = (
            fields.get("refresh_token") or None
        )  # one that's no text is an error: it would be lost
        extra = values["extra"]
        for name in ("expires_at", "expiry"):
            if (moment := _read_number(extra.get(name))) is not None:
                values["expiry"] = moment
            if moment is not None or extra.get(name) is None:
                extra.pop(name, None)
        if isinstance(own := extra.get("extra") or {}, Mapping):
            extra.pop("extra", None)
            extra.update(own)
        return cls(**values)

    @classmethod
    def _restore(cls, fields: Mapping[str, Any]) -> Self:
        """Make a token from `to_dict()`'s dictionary; fields that are missing have their defaults."""
        if not isinstance(fields, Mapping):
            raise ConfigurationError(f"from_dict takes a mapping of fields, not {type(fields).__name__}")
        known = {field.name for field in dataclasses.fields(cls)} - {"extra"}
        values = {name: fields[name] for name in known if fields.get(name) is not None}
        if not isinstance(extra := fields.get("extra") or {}, Mapping):
            raise ConfigurationError(f"extra must be a mapping, not {type(extra).__name__}")
        others = {name: value for name, value in fields.items() if name not in known and name != "extra"}
        values.setdefault("access_token", "")
        return cls(**values, extra={**others, **extra})


_ALL = dataclasses.fields(OAuthToken)
_SHOWN = [field.name for field in _ALL if field.repr]
_values_of = attrgetter(*(field.name for field in _ALL))
_hashed_of = attrgetter(*(field.name for field in _ALL if field.hash is not False))

_OF_ANSWERS = ("access_token", "token_type", "expires_in", "scope", "refresh_token")


def read_answer(fields: Mapping[str, Any], received_at: float) -> dict[str, Any]:
    """Return the arguments of `OAuthToken` for a token answer, in all the ways in which servers write one.

    What can't be read counts as absent, but for the access token, which is as it came. `expiry` is `expires_in` after
    `received_at`, in Unix time.
    """
    token_type, scope, refresh_token = (fields.get(name) for name in ("token_type", "scope", "refresh_token"))
    if isinstance(scope, list):
        scope = " ".join(name for name in scope if isinstance(name, str))
    lifetime = _read_lifetime(fields.get("expires_in"))
    return {
        "access_token": fields.get("access_token", ""),
        "token_type": (token_type.strip() if isinstance(token_type, str) else "") or "Bearer",
        "expires_in": lifetime,
        "expiry": None if lifetime is None else received_at + lifetime,
        "scope": scope if isinstance(scope, str) and scope else None,
        "refresh_token": refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        "extra": {name: value for name, value in fields.items() if name not in _OF_ANSWERS},
    }


def _read_lifetime(value: object) -> float | None:
    seconds = _read_number(value)
    return None if seconds is None else min(max(seconds, 0), CENTURY)


def _read_number(value: object) -> float | None:
    """Read a number of seconds, which may be text; anything else is None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(seconds):
        return None
    return int(seconds) if seconds.is_integer() else seconds


def digest(secret: str) -> str:
    """Return what a token is recognized by where the token itself must not be kept."""
    return hashlib.sha256(secret.encode()).hexdigest()


def id_claims(token: OAuthToken) -> Mapping[str, Any]:
    """Return the claims of the token's ID token (OpenID Connect Core section 2); {} if it has none that can be read.

    It came from the token endpoint, over TLS, so its signature needn't be checked (section 3.1.3.7).
    """
    id_token = token.extra.get("id_token")
    parts = id_token.split(".") if isinstance(id_token, str) else []
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def subject_of(token: OAuthToken) -> str | None:
    """Return whom the token's ID token names; None if that isn't known."""
    subject = id_claims(token).get("sub")
    return subject if isinstance(subject, str) else None


def nonce_in(proof: str | None) -> str | None:
    """Return the nonce that a proof has, None if it has none, or is none."""
    try:
        payload = (proof or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return None
    nonce = claims.get("nonce") if isinstance(claims, Mapping) else None
    return nonce if isinstance(nonce, str) else None


def is_sendable(access_token: object) -> bool:
    """Return whether this is a token that an Authorization header can carry."""
    return (
        isinstance(access_token, str)
        and access_token.isascii()
        and access_token.isprintable()
        and access_token.strip() == access_token != ""
    )


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond float's range
        return False


class Header(str):
    """The value of an Authorization header; its repr, which tracebacks and dumps of headers show, hides the token."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{self.partition(' ')[0]} …'"


NO_TOKEN = Header("")
"""Stands for the header of a request that goes without a token."""


class Credential(Record):
    """A token ready to be sent: its header and the deadlines that decide what a request does. Immutable.

    From `refresh_at` on it's renewed in the background, and still sent. From `stale_at` on callers wait for a better
    one; only if none can be had it's sent, until `expires_at`. While a renewal is under way or has just failed,
    `refresh_at` is later than `due_at`, where it stood at first.
    """

    token: OAuthToken
    header: Header
    text: str
    """The header as plain text: cassettes and YAML take nothing else."""
    due_at: float
    refresh_at: float
    stale_at: float
    expires_at: float
    proof: Prover | None = None
    """Makes the proofs of requests with a token that is bound to a key."""

    @classmethod
    def from_token(
        cls,
        token: OAuthToken,
        now: Now,
        chance: Chance,
        *,
        leeway: float,
        refresh_window: float,
        proof: Prover | None = None,
    ) -> Credential:
        """Work out the deadlines, Unix times in seconds, from the token's lifetime and the two windows."""
        if token.expiry is None:
            return cls.unending(token, proof)
        lifetime = token.expires_in if token.expires_in is not None else token.expiry - now.wall
        lifetime = max(lifetime, 0.0)
        stale_at = token.expiry - min(leeway, lifetime / 10)
        # A random point of the window's first half: siblings that share a lifetime don't all renew at once.
        due_at = stale_at - min(refresh_window, lifetime / 5) * chance.uniform(0.5, 1.0)
        text = token.authorization
        return cls(token, Header(text), text, due_at, due_at, stale_at, token.expiry, proof)

    def next_deadline(self, wall: float) -> float:
        """Return when it next changes what a request does: where callers begin to wait, else where it expires."""
        return self.stale_at if wall < self.stale_at else self.expires_at

    @classmethod
    def unending(cls, token: OAuthToken, proof: Prover | None = None) -> Credential:
        """Make a credential that's sent whatever its age, since there's no other."""
        text = token.authorization
        return cls(token, Header(text), text, math.inf, math.inf, math.inf, math.inf, proof)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.token!r}, …)"
