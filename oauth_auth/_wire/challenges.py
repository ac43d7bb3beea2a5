"""Decides from an answer's status and challenges whether it rejects the token, or accepts it. Pure.

A 401 usually rejects it, but its challenges (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9449 section 7.1) can say
that the token is good and the request isn't, as with `insufficient_scope`. A challenge belongs to its scheme: what is
said of tokens of another one says nothing. The scanner below reads challenges from left to right, once; where it meets
something that it can't read, it stops, and what it hasn't read counts as absent.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from functools import lru_cache

from .._record import Record

__all__ = [
    "PROOF_STATUSES",
    "SCOPE_STATUSES",
    "Challenge",
    "Demand",
    "Kind",
    "demand_for",
    "errors_for",
    "is_rejection",
    "is_scope_name",
    "is_within",
    "proof_error",
    "read_challenges",
    "replay_statuses",
    "scope_to_ask",
    "telling_statuses",
    "tells_acceptance",
    "united",
    "wanted_scope",
]

SCOPE_STATUSES = frozenset({401, 403})
"""The statuses with which a challenge may say that the token's scope isn't enough (RFC 6750 section 3.1: 403)."""

PROOF_STATUSES = frozenset({400, 401})
"""The statuses with which a challenge may say that the proof isn't good enough (RFC 9449 section 9: 401)."""

_MAX_HEADER_LENGTH = 8192

_STEP_UP = "insufficient_user_authentication"  # RFC 9470 section 3: the user must log in more strongly, or anew
_STEP_UP_STATUS = 401
_ABOUT_THE_PROOF = {"use_dpop_nonce", "invalid_dpop_proof"}  # RFC 9449 sections 9 and 7.1
_NOT_ABOUT_THE_TOKEN = {
    *_ABOUT_THE_PROOF,
    "insufficient_scope",
    _STEP_UP,
    "invalid_request",
}

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Compiled at their first use, which `re` remembers: most programs never meet a challenge.
_PARAMETER = rf'[\s,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|$)'
_SCOPE = r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*"
_SCHEME = rf"[\s,]*({_TOKEN})(?:[ \t]+(?:[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$))?|(?=[ \t]*(?:,|$)))"


class Challenge(Record):
    """One challenge of an answer; its scheme and the names of its parameters in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """Return a parameter's value."""
        return dict(self.parameters).get(name)


_Given = str | list[Challenge] | None
"""What an answer has in `WWW-Authenticate`, as it stands there or read by `read_challenges`."""


def is_rejection(
    status_code: int, www_authenticate: _Given, rejection_statuses: tuple[int, ...], scheme: str = "bearer"
) -> bool:
    """Return whether an answer rejects the token, of this scheme, that it was sent with.

    A status of `rejection_statuses` does, unless all of the scheme's challenges that name an error say one that is
    about the request: `insufficient_scope` or `invalid_request` (RFC 6750 section 3.1),
    `insufficient_user_authentication` (RFC 9470 section 3), or one about its proof.
    An absent or unreadable challenge says nothing.
    """
    if status_code not in rejection_statuses:
        return False
    errors = errors_for(scheme, www_authenticate) if www_authenticate else []
    return not errors or not _NOT_ABOUT_THE_TOKEN.issuperset(errors)


def errors_for(scheme: str, www_authenticate: str | list[Challenge]) -> list[str]:
    """Return the errors that an answer names for a token of this scheme.

    `www_authenticate` is its header; several are joined by commas. Some servers say in a Bearer challenge what they
    have against a bound token; that counts where no DPoP challenge names an error.
    """
    found = read_challenges(www_authenticate)
    for name in dict.fromkeys((scheme, "bearer")):
        errors = [value for one in found if one.scheme == name for key, value in one.parameters if key == "error"]
        if errors:
            return errors
    return []


def proof_error(status_code: int, www_authenticate: _Given) -> str | None:
    """Return the error that an answer names if that's about the proof alone, not about the bound token."""
    if status_code not in PROOF_STATUSES or not www_authenticate:
        return None
    errors = errors_for("dpop", www_authenticate)
    return errors[0] if errors and _ABOUT_THE_PROOF.issuperset(errors) else None


class Kind(enum.Enum):
    """What an answer demands for its request."""

    TOKEN = "a token, or another one than the request had"
    SCOPE = "a token with more scope"
    LOGIN = "a token of another login"


class Demand(Record):
    """What an answer demands, and what its challenge says; parameters that break their syntax count as absent."""

    kind: Kind
    scope: str | None = None
    """The scope that the request needs (RFC 6750 section 3)."""
    resource_metadata: str | None = None
    """Where the resource's metadata is (RFC 9728 section 5.1)."""
    login: tuple[tuple[str, str], ...] = ()
    """What is demanded of a login, as parameters of an authorization request (RFC 9470 section 4)."""
    error: str | None = None

    @property
    def wanted(self) -> tuple[object, ...]:
        """What tells it from other demands: neither the order of scope names, nor what else the challenge says."""
        return self.kind, frozenset((self.scope or "").split()), self.login


def demand_for(
    status_code: int, www_authenticate: str | None, rejection_statuses: tuple[int, ...], scheme: str = "bearer"
) -> Demand | None:
    """Return what an answer demands for its request; None if nothing that a token could help with.

    Of the challenges for tokens of this scheme, or for bearer tokens, the first that names an error counts, else the
    first. `scheme` is that of the token that the request had; with "" it had none, and those of both schemes count.
    """
    challenge = _decisive(scheme, www_authenticate or "")
    error = None if challenge is None else challenge.get("error")
    kind = Kind.TOKEN
    if error == "insufficient_scope" and status_code in SCOPE_STATUSES:
        kind = Kind.SCOPE
    elif error == _STEP_UP and status_code == _STEP_UP_STATUS:
        kind = Kind.LOGIN
    elif status_code not in rejection_statuses or error in _NOT_ABOUT_THE_TOKEN:
        return None
    if challenge is None:
        return Demand(kind)
    scope, place = challenge.get("scope"), challenge.get("resource_metadata")
    acr, age = challenge.get("acr_values") or "", challenge.get("max_age") or ""
    login = [("acr_values", acr)] if acr and acr.isascii() and acr.isprintable() else []
    login += [("max_age", age)] if age.isascii() and age.isdecimal() else []
    return Demand(
        kind,
        scope if scope and re.fullmatch(_SCOPE, scope) else None,
        place if place and place.isascii() and place.isprintable() else None,
        tuple(login) if kind is Kind.LOGIN else (),
        error,
    )


def is_scope_name(name: str) -> bool:
    """Return whether a text is the name of a scope (RFC 6749 section 3.3)."""
    return " " not in name and re.fullmatch(_SCOPE, name) is not None


def _decisive(scheme: str, www_authenticate: str) -> Challenge | None:
    """Return the challenge that counts: for a bound token, a Bearer challenge does where no other names an error."""
    found = read_challenges(www_authenticate)
    schemes = _OF_TOKENS if not scheme else tuple(dict.fromkeys((scheme, "bearer")))
    fitting = [challenge for name in schemes for challenge in found if challenge.scheme == name]
    return next((one for one in fitting if one.get("error") is not None), fitting[0] if fitting else None)


def wanted_scope(status_code: int, www_authenticate: _Given) -> str | None:
    """Return the scope that an answer says the token lacks, "" if it names none; None if it says no such thing."""
    if status_code not in SCOPE_STATUSES or not www_authenticate:
        return None
    for challenge in read_challenges(www_authenticate):
        if challenge.scheme in _OF_TOKENS and ("error", "insufficient_scope") in challenge.parameters:
            return challenge.get("scope") or ""
    return None


_OF_TOKENS = ("bearer", "dpop")


def read_challenges(www_authenticate: str | list[Challenge]) -> list[Challenge]:
    """Return the challenges of an answer that concern tokens, in their order; those that were read are as they are."""
    if isinstance(www_authenticate, list):
        return www_authenticate
    if len(www_authenticate) > _MAX_HEADER_LENGTH:
        return []
    parameter, challenge = re.compile(_PARAMETER), re.compile(_SCHEME)
    found: list[tuple[str, list[tuple[str, str]]]] = []
    scheme, position = "", 0
    while True:
        # A parameter is tried first: "error = x" would else read as a scheme.
        if scheme and (match := parameter.match(www_authenticate, position)):
            value = match[3] or re.sub(r"\\(.)", r"\1", match[2] or "", flags=re.DOTALL)
            found[-1][1].append((match[1].lower(), value))
        elif match := challenge.match(www_authenticate, position):
            scheme = match[1].lower()
            found.append((scheme, []))
        else:
            return [Challenge(name, tuple(pairs)) for name, pairs in found if name in _OF_TOKENS]
        position = match.end()


def tells_acceptance(status_code: int) -> bool:
    """Return whether an answer that is no rejection shows that the token was checked and is good.

    Proxies and rate limiters answer before the token is looked at: redirects, 407, 408, 429 and 5xx say nothing.
    """
    return (
        status_code < 300
        or status_code == 304
        or (400 <= status_code < 500 and status_code not in {401, 407, 408, 429})
    )


@lru_cache(maxsize=16)
def telling_statuses(rejection_statuses: tuple[int, ...], *, has_proofs: bool = False) -> frozenset[int]:
    """Return the statuses of answers that say something of the token, or its proof, but for that it's good."""
    return SCOPE_STATUSES.union(rejection_statuses, PROOF_STATUSES if has_proofs else ())


@lru_cache(maxsize=16)
def replay_statuses(
    rejection_statuses: tuple[int, ...],
    *,
    has_proofs: bool = False,
    steps_up: bool = False,
    widens_scope: bool = False,
) -> frozenset[int]:
    """Return the statuses of answers after which a request may be sent again."""
    return frozenset(rejection_statuses).union(
        PROOF_STATUSES if has_proofs else (),
        {_STEP_UP_STATUS} if steps_up else (),
        SCOPE_STATUSES if widens_scope else (),
    )


def united(*scopes: str | None) -> str | None:
    """Return all names of these scopes, each once, in their order; None for none."""
    names = dict.fromkeys(name for scope in scopes for name in (scope or "").split())
    return " ".join(names) or None


def is_within(scope: str | None, other: str | None) -> bool:
    """Return whether all names of a scope are in the other one."""
    return {*(scope or "").split()} <= {*(other or "").split()}


def scope_to_ask(
    demand: Demand | None,
    *,
    given: str | None = None,
    supported: Iterable[str] = (),
    asked: str | None = None,
    granted: str | None = None,
) -> str | None:
    """Return the scope of a new authorization; None to ask for none.

    It's what was `given` by the user and what the demand names; without both, what the resource lists as `supported`.
    What was `asked` for before stays in. If the demand is for more scope, what was `granted` does, too, and a demand
    that names none is for what is supported.
    """
    named = None if demand is None else demand.scope
    listed = " ".join(supported)
    if demand is not None and demand.kind is Kind.SCOPE:
        return united(given, asked, granted, named or listed)
    return united(given, asked, named) or united(listed)
