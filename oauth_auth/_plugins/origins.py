"""The origins that requests go to: whether the token may go there, and what their proofs need to know of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from .._events import emit
from .._server.server_state import ServerState
from .._wire.token import Credential, Prover
from .._wire.urls import MOST_ORIGINS, as_http, check_transport, origin_of, without_query

if TYPE_CHECKING:
    from .._renewal.source import TokenSource

__all__ = ["Origins", "Proofs", "take_off"]


class Origins:
    """The origins that the token may go to: of those allowed, the ones that requests were sent to. Thread-safe."""

    __slots__ = ("_allow_insecure", "_allowed", "_told", "known")

    def __init__(self, allowed: frozenset[str] | None, *, allow_insecure: bool) -> None:
        self._allowed = allowed
        self._allow_insecure = allow_insecure
        self.known: dict[Any, Any] = {}
        """What a plug-in keeps of each origin, under a key that it gets from a URL at less cost than its origin."""
        self._told: dict[Hashable, dict[Hashable, object]] = {}

    def admits(self, url: str) -> bool:
        """Return whether the token may go to this URL. Raises `InsecureTransportError` if it would go unprotected."""
        if self._allowed is not None and (origin := origin_of(url)) not in self._allowed:
            if self.is_news("withheld", origin):
                _emit_withheld(origin, sorted(self._allowed))
            return False
        check_transport(url, allow_insecure=self._allow_insecure)
        return True

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep an origin that was admitted, unless there are too many."""
        if len(self.known) < MOST_ORIGINS:
            self.known[key] = value

    def is_news(self, *what: Hashable) -> bool:
        """Return whether this is told for the first time; after too much of its kind, no more is told."""
        told, mark = self._told.setdefault(what[0], {}), object()
        return len(told) < MOST_ORIGINS and told.setdefault(what, mark) is mark


def _emit_withheld(origin: str | None, allowed: list[str]) -> None:
    emit(
        logging.WARNING,
        "withheld",
        "the token isn't sent to %(origin)s, which isn't in allowed_origins: %(allowed_origins)s",
        origin=origin or "an unreadable URL",
        allowed_origins=allowed,
    )


def take_off(headers: Any, source: TokenSource) -> None:
    """Take an auth object's token off a request that it may not go with, as one that a redirect has led away."""
    header = headers.get("Authorization")
    if isinstance(header, str) and source.has_sent(header):
        del headers["Authorization"]
        headers.pop("DPoP", None)


class Proofs:
    """The nonces and clocks of the origins that requests with a bound token went to (RFC 9449). Thread-safe."""

    __slots__ = ("_origins",)

    def __init__(self) -> None:
        self._origins: dict[str, ServerState] = {}

    def header(self, prove: Prover, method: str | None, url: str, nonce: str | None = None) -> str:
        """Return the header `DPoP` of a request, with this nonce, else the origin's latest one."""
        target = _target(url)
        state = self._origins.get(_origin_in(target))
        if state is None:
            return prove(method or "GET", target, time.time(), nonce)
        return prove(method or "GET", target, time.time() + state.offset, nonce or state.nonce)

    def note_nonce(self, url: str, nonce: str | None) -> str | None:
        """Take in the nonce of an answer; return it if it can be one."""
        return None if nonce is None else self._of(url).note_nonce(nonce)

    def note_date(self, url: str, headers: Mapping[str, str]) -> None:
        """Go by the clock of a server that has refused a proof, if it's far from ours."""
        state = self._of(url)
        state.note_date(headers.get("Date"), time.time())
        state.sets_clock(for_proof=True)

    def authorize(
        self, headers: object, credential: Credential, method: str | None, url: str, nonce: str | None = None
    ) -> None:
        """Set the headers of a request that is sent with a credential; `nonce` is as in `header`."""
        fields: dict[str, str] = headers  # type: ignore[assignment]
        fields["Authorization"] = credential.text
        if credential.proof is not None:
            fields["DPoP"] = self.header(credential.proof, method, url, nonce)

    def _of(self, url: str) -> ServerState:
        origin = _origin_in(_target(url))
        state = self._origins.get(origin)
        if state is None:
            if len(self._origins) >= MOST_ORIGINS:
                self._origins = {}
            state = self._origins.setdefault(origin, ServerState())
        return state


def _target(url: str) -> str:
    """Return the URL without query and fragment, as a proof has it."""
    if "?" in url or "#" in url or "@" in url:
        url = without_query(url)
    if not url.startswith("http"):
        url = as_http(url)
    return url if url.find("/", 8) > 0 else f"{url}/"  # as it's sent: some servers compare letter by letter


def _origin_in(target: str) -> str:
    end = target.find("/", 8)  # behind "https://"
    return target if end < 0 else target[:end]
