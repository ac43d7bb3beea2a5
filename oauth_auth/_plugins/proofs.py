"""The proofs of requests with a token that is bound to a key (RFC 9449): what they need to know of each origin."""

from __future__ import annotations

import time
from collections.abc import Mapping

from .._server.server_state import ServerState
from .._wire.token import Credential, Prover
from .._wire.urls import MOST_ORIGINS, as_http, without_query

__all__ = ["Proofs"]


class Proofs:
    """The nonces and clocks of the origins that an auth object's requests went to. Thread-safe, without a lock."""

    __slots__ = ("_origins",)

    def __init__(self) -> None:
        self._origins: dict[str, ServerState] = {}

    def header(self, prove: Prover, method: str | None, url: str, nonce: str | None = None) -> str:
        """Return the header `DPoP` of a request, with this nonce, else the origin's latest one."""
        target = _target(url)
        state = self._origins.get(_origin(target))
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
        origin = _origin(_target(url))
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


def _origin(target: str) -> str:
    end = target.find("/", 8)  # behind "https://"
    return target if end < 0 else target[:end]
