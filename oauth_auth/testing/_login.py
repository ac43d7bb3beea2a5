"""How well and how lately a user has logged in, and which requests that's enough for (RFC 9470)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError

if TYPE_CHECKING:
    from ._provider import LocalProvider

__all__ = ["Login", "log_in", "max_age_of", "suffices"]


@dataclass(frozen=True, slots=True)
class Login:
    """What a user has shown (`acr`, OpenID Connect Core 2), and when, in Unix time of the provider's clock."""

    at: float
    acr: str | None = None


def log_in(payload: Any, last: Login | None, now: float) -> Login:
    """Return the login of an authorization request: the last one goes on, unless the request asks for another.

    That is so in real servers' sessions: who wants a fresh login must say so, by `max_age` or `prompt=login`.
    """
    wanted = (payload.data.get("acr_values") or "").split()
    max_age = max_age_of(payload)
    prompt = (payload.data.get("prompt") or "").split()
    if (
        last is not None
        and "login" not in prompt
        and (max_age is None or now - last.at < max_age)
        and (not wanted or last.acr in wanted)
    ):
        return last
    return Login(now, wanted[0] if wanted else None)


def max_age_of(payload: Any) -> float | None:
    """Return the authorization request's `max_age`, in seconds. Raises `InvalidRequestError`."""
    text = payload.data.get("max_age")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise InvalidRequestError("The 'max_age' must be a number of seconds.")
    return float(text)


def suffices(login: Login | None, provider: LocalProvider, now: float) -> bool:
    """Return whether the API is content with the login that a token is of, which may be of no user at all."""
    acr, max_age = provider.required_acr, provider.required_max_age
    if acr is not None and (login is None or login.acr not in acr.split()):
        return False
    return max_age is None or (login is not None and now - login.at <= max_age)
