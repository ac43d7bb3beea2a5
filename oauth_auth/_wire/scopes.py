"""Which scope is asked for, of what the user has given, the API demands, and resource and server list. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .challenges import Demand, Kind

__all__ = ["is_within", "scope_to_ask", "united"]


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
