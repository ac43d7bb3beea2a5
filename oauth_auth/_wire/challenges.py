"""Decides from an answer's status and challenges whether it rejects the token, or accepts it. Pure.

A 401 usually rejects it, but its challenges (RFC 9110 section 11.6.1, RFC 6750 section 3) can say that the token is
good and the request isn't, as with `insufficient_scope`. The scanner below reads challenges from left to right, once;
where it meets something that it can't read, it stops, and what it hasn't read counts as absent.
"""

from __future__ import annotations

import re

__all__ = ["SCOPE_STATUSES", "bearer_errors", "is_rejection", "tells_acceptance", "wanted_scope"]

SCOPE_STATUSES = frozenset({401, 403})
"""The statuses with which a challenge may say that the token's scope isn't enough (RFC 6750 section 3.1: 403)."""

_MAX_HEADER_LENGTH = 8192

_NOT_ABOUT_THE_TOKEN = {
    "insufficient_scope",
    "insufficient_user_authentication",  # RFC 9470 section 3: the user must log in more strongly, or anew
    "invalid_request",
}

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Compiled at their first use, which `re` remembers: most programs never meet a challenge.
_PARAMETER = rf'[\s,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|$)'
_SCHEME = rf"[\s,]*({_TOKEN})(?:[ \t]+(?:[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$))?|(?=[ \t]*(?:,|$)))"


def is_rejection(status_code: int, www_authenticate: str | None, rejection_statuses: tuple[int, ...]) -> bool:
    """Return whether an answer rejects the token it was sent with.

    A status of `rejection_statuses` does, unless all Bearer challenges that name an error say `insufficient_scope`
    or `invalid_request` (RFC 6750 section 3.1), or `insufficient_user_authentication` (RFC 9470 section 3).
    An absent or unreadable challenge says nothing.
    """
    if status_code not in rejection_statuses:
        return False
    errors = bearer_errors(www_authenticate) if www_authenticate else []
    return not errors or not _NOT_ABOUT_THE_TOKEN.issuperset(errors)


def bearer_errors(www_authenticate: str) -> list[str]:
    """Return the `error` of each Bearer challenge in a `WWW-Authenticate` value; several headers joined by commas."""
    return [value for challenge in _bearer_challenges(www_authenticate) for name, value in challenge if name == "error"]


def wanted_scope(status_code: int, www_authenticate: str | None) -> str | None:
    """Return the scope that an answer says the token lacks, "" if it names none; None if it says no such thing."""
    if status_code not in SCOPE_STATUSES or not www_authenticate:
        return None
    for challenge in _bearer_challenges(www_authenticate):
        if ("error", "insufficient_scope") in challenge:
            return dict(challenge).get("scope", "")
    return None


def _bearer_challenges(www_authenticate: str) -> list[list[tuple[str, str]]]:
    """Return the parameters of each Bearer challenge, their names in lower case."""
    if len(www_authenticate) > _MAX_HEADER_LENGTH:
        return []
    parameter, challenge = re.compile(_PARAMETER), re.compile(_SCHEME)
    challenges: list[list[tuple[str, str]]] = []
    scheme, position = "", 0
    while True:
        # A parameter is tried first: "error = x" would else read as a scheme.
        if scheme and (found := parameter.match(www_authenticate, position)):
            if scheme == "bearer":
                value = found[3] or re.sub(r"\\(.)", r"\1", found[2] or "", flags=re.DOTALL)
                challenges[-1].append((found[1].lower(), value))
        elif found := challenge.match(www_authenticate, position):
            scheme = found[1].lower()
            if scheme == "bearer":
                challenges.append([])
        else:
            return challenges
        position = found.end()


def tells_acceptance(status_code: int) -> bool:
    """Return whether an answer that is no rejection shows that the token was checked and is good.

    Proxies and rate limiters answer before the token is looked at: redirects, 407, 408, 429 and 5xx say nothing.
    """
    return (
        status_code < 300
        or status_code == 304
        or (400 <= status_code < 500 and status_code not in {401, 407, 408, 429})
    )
