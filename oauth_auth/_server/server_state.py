"""What the answers of an authorization server tell of it: its last nonce, and its clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._wire.http_fields import read_date

__all__ = ["Challenges", "ServerState", "is_answerable"]

_LONGEST_NONCE = 4096
_FARTHEST = 10 * 366 * 86400.0
_LEAST_FOR_PROOFS = 5.0
"""How far the server's clock must be away, in seconds, to be minded where it refuses a proof."""
_LEAST_FOR_ASSERTIONS = 30.0
"""The same where it refuses an assertion, which says nothing of why."""
_MOST_NONCES = 2


class ServerState:
    """What is known of one server's proofs and clock. Each attribute is set as a whole, so it's thread-safe."""

    __slots__ = ("_away", "issuer", "nonce", "offset")

    def __init__(self, issuer: str | None = None) -> None:
        self.issuer = issuer
        self.nonce: str | None = None
        """The nonce for the next proof (RFC 9449 section 8)."""
        self.offset = 0.0
        """What is added to this machine's time for what the server is to believe, in seconds."""
        self._away: float | None = None
        """How far the server's clock is ahead, by its last answer."""

    def note(self, headers: Mapping[str, str], now: float) -> str | None:
        """Take in the headers of an answer that arrived `now`, in Unix time; return the nonce in it, if any."""
        self.note_date(headers.get("date"), now)
        return self.note_nonce(headers.get("dpop-nonce"))

    def note_date(self, text: str | None, now: float) -> None:
        """Take in the `Date` of an answer that arrived `now`, in Unix time."""
        date = read_date(text)
        self._away = None if date is None or abs(date - now) > _FARTHEST else date - now

    def note_nonce(self, nonce: str | None) -> str | None:
        """Take in the nonce of an answer; return it if it can be one."""
        if nonce is None or not is_nonce(nonce):
            return None
        self.nonce = nonce
        return nonce

    def sets_clock(self, *, for_proof: bool) -> bool:
        """Go by the server's clock, if it's far from what was gone by; return whether that's so."""
        least = _LEAST_FOR_PROOFS if for_proof else _LEAST_FOR_ASSERTIONS
        if self._away is None or abs(self._away - self.offset) < least:
            return False
        self.offset = self._away
        return True


def is_nonce(text: str) -> bool:
    """Return whether a text can be a nonce (RFC 9449 section 8.1): of bounded length, without control characters."""
    return 0 < len(text) <= _LONGEST_NONCE and text.isascii() and text.isprintable() and not {*' "\\'} & {*text}


def is_answerable(error: str | None, had: str | None, given: str | None, answered: Sequence[str]) -> bool:
    """Return whether a refusal is about the proof alone, so that another attempt, with a new proof, is made at once.

    The proof `had` a nonce, and the answer has `given` one. It's told by what this very proof had: others may have
    learned the nonce meanwhile. `answered` are the errors for which the call was made anew already.
    """
    if error == "use_dpop_nonce":
        return given not in {None, had} and answered.count(error) < _MOST_NONCES
    return error == "invalid_dpop_proof" and error not in answered


class Challenges:
    """The refusals in one call that are about its proof alone, see `is_answerable`.

    They count neither among the attempts, nor as a use of the code or refresh token that went along.
    """

    __slots__ = ("_answered",)

    def __init__(self) -> None:
        self._answered: list[str] = []

    def answer(self, error: str | None, had: str | None, given: str | None) -> bool:
        """Return whether to try again."""
        if error is None or not is_answerable(error, had, given, self._answered):
            return False
        self._answered.append(error)
        return True
