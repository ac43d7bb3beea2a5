"""What is done about an answer: the same in each plug-in.

What an answer says is read by `answers`, and which token comes next is decided by `_renewal`. What is done, in which
order, is `due` by that and by what was done before: so no request is sent more often than it may be, whatever an API
answers. A plug-in provides an `Exchange`, the operations on its library's requests and responses.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .._events import emit
from .._flight import Step
from .._record import Record, asdict, replace
from .._server.server_state import is_answerable
from .._wire.challenges import Demand
from .._wire.identifiers import covers
from .._wire.token import Credential, nonce_in
from .._wire.urls import origin_of, without_query
from ..errors import OAuthError
from .answers import NOTHING, Reading, Rules, error_said, read
from .exchange import Exchange
from .origins import Origins, Proofs

if TYPE_CHECKING:
    from .._renewal.source import TokenSource, Waiting

__all__ = ["Do", "Due", "Parts", "Progress", "SendAgain", "due", "note_answer", "replacing"]

_MOST_TIMES = 3
"""How often a request is sent to a resource that says itself what it wants."""
_MOST_REPLACED = 2
"""How many rejected tokens are replaced for one request: a sibling's may have been revoked as well."""

_Sending = Generator[Step, Any, Credential | None]
"""Steps that return what to send the request with again, the answer out of the way; None if it's not sent."""


Due = Literal[
    "send another proof",
    "meet the demand",
    "step up",
    "count a vain login",
    "note",
    "count a vain demand",
    "replace the token",
    "tell that a new token is rejected",
]
"""One thing to do about an answer; to note is that the token is accepted, or that its scope isn't enough, if so."""


class Progress(Record):
    """What was done for a request, before the answer that's looked at now."""

    has_token: bool = True
    was_led_here: bool = False
    """Whether it was sent again before a redirect led to it: that's done once."""
    times_sent: int = 1
    """How often it was sent, but for what was only about a proof."""
    is_fresh: bool = False
    """Whether its token was made for the very demand of an answer to it: another wouldn't help."""
    replaced: int = 0
    """How many rejected tokens were replaced."""
    is_final: bool = False
    """Whether the last of them was replaced by one that was made because of the rejection."""
    login: Demand | None = None
    """What a login was made for since a token was replaced."""
    proved: tuple[tuple[str, str], ...] = ()
    """The URLs and errors for which another proof was sent with this token.

    By URL, since in httpx the answer may be one to a request that a redirect has led on, with a copy of the proof.
    """

    def may_prove(self, url: str, error: str, had: str | None, given: str | None) -> bool:
        """Return whether another proof is sent to this URL; the last one `had` a nonce, the answer has `given` one."""
        return is_answerable(error, had, given, [answered for where, answered in self.proved if where == url])

    def after_proof(self, url: str, error: str) -> Progress:
        """Return it after another proof was sent."""
        return replace(self, proved=(*self.proved, (url, error)))

    def after_demand(self, *, is_fresh: bool) -> Progress:
        """Return it after a request without a token was sent with one."""
        return Progress(times_sent=self.times_sent + 1, is_fresh=is_fresh)

    def after_step_up(self, login: Demand | None) -> Progress:
        """Return it after a request was sent again with the token of another login, made for it or found."""
        return replace(self, times_sent=self.times_sent + 1, login=login, proved=())

    def after_replacement(self, *, is_final: bool) -> Progress:
        """Return it after a request was sent again in place of one whose token was rejected."""
        return Progress(times_sent=self.times_sent + 1, replaced=self.replaced + 1, is_final=is_final)


_BEGUN = Progress()


def due(reading: Reading, progress: Progress, rules: Rules) -> list[Due]:
    """Return what is done about an answer, in this order; with the first that sends the request again it ends."""
    steps: list[Due] = [] if reading.proof_error is None else ["send another proof"]
    if progress.was_led_here:
        return [*steps, "tell that a new token is rejected"] if reading.rejects else steps
    if not progress.has_token:
        return [] if reading.demand is None else ["meet the demand"]
    may_be_sent = rules.reach is None or progress.times_sent < _MOST_TIMES
    if progress.login is not None:
        if reading.demand is not None or reading.rejects:
            # Whatever is wrong with the token now: an API may take turns in what it demands.
            steps.append("count a vain login")
    elif reading.demand is not None and may_be_sent:
        steps.append("step up")
    return steps + _due_about_token(reading, progress, may_be_sent=may_be_sent)


def _due_about_token(reading: Reading, progress: Progress, *, may_be_sent: bool) -> list[Due]:
    if not reading.rejects:
        return ["note"]
    if progress.is_fresh:
        return ["note", "count a vain demand", "tell that a new token is rejected"]
    is_over = progress.is_final or progress.replaced >= _MOST_REPLACED or not may_be_sent
    steps: list[Due] = ["note"] if progress.replaced else []
    return [*steps, "tell that a new token is rejected" if is_over else "replace the token"]


class Do(Record):
    """A step that calls a function; in a task, what it returns is awaited if it's awaitable."""

    function: Callable[[], Any]

    def wait(self) -> Any:
        """Call the function."""
        return self.function()

    async def wait_async(self) -> Any:
        """Call the function, and await what it returns."""
        result = self.function()
        return await result if inspect.isawaitable(result) else result


class SendAgain(Do):
    """The step of sending a request again. In httpx the client does that, so the auth flow hands the request to it."""


class Parts(Record):
    """What an auth object has that deals with answers."""

    source: TokenSource
    origins: Origins
    proofs: Proofs | None
    rules: Rules


def replacing(parts: Parts, origin: Hashable, header: str, exchange: Exchange) -> Waiting:
    """Do what an answer calls for, and send its request again: with a token, or with another one than it had.

    `header` is that of the token which it had, "" for none. What an answer says against the proof alone is answered
    before and after, and doesn't count.
    """
    return _Course(parts, origin, header, exchange).steps()


def note_answer(parts: Parts, origin: Hashable, header: str, exchange: Exchange, *, is_replay: bool) -> None:
    """Note that the origin accepts the token, if the answer shows it; log it if the scope isn't enough."""
    if header:
        course = _Course(parts, origin, header, exchange)
        course.note(course.reading(demands=False), is_replay=is_replay)


class _Course:
    """The course of one request, from the first answer to it until one is the caller's."""

    __slots__ = ("_answer", "_exchange", "_header", "_origin", "_parts", "_progress")

    def __init__(self, parts: Parts, origin: Hashable, header: str, exchange: Exchange) -> None:
        self._parts = parts
        self._origin = origin
        self._header = header
        self._exchange = exchange
        self._answer = exchange.answer()
        is_usual = header and not exchange.was_replayed
        self._progress = _BEGUN if is_usual else Progress(bool(header), exchange.was_replayed)

    def steps(self) -> Waiting:
        """Send the request again until an answer calls for nothing more."""
        exchange = self._exchange
        while True:
            try:
                credential = yield from self._follow(self.reading())
            except GeneratorExit:
                raise
            except BaseException:  # interrupted or cancelled, too: nobody will get the answer, or close it
                yield Do(exchange.close)
                raise
            if credential is None:
                return
            yield SendAgain(partial(exchange.send_again, credential, self._proof(credential)))
            self._answer = exchange.answer()
            if self._parts.proofs is not None:
                exchange.mind_proofs(self._parts.proofs)
            self._header = credential.header

    def reading(self, *, demands: bool = True) -> Reading:
        """Return what the latest answer says of the token."""
        answer, header = self._answer, self._header
        if not self._is_within_reach() or not self._exchange.carried(header):
            return NOTHING
        return read(answer.status, answer.challenges, header, self._parts.rules, demands=demands)

    def note(self, reading: Reading, *, is_replay: bool) -> None:
        """Note what an answer says of the token, but for that it's rejected."""
        answer, parts = self._answer, self._parts
        if reading.lacks_scope:
            wanted = reading.wanted_scope
            if parts.origins.is_news("insufficient_scope", origin_of(answer.url), wanted):
                self._summary().emit_insufficient_scope(wanted, parts.source.scope_of(self._header) or "unknown")
        if reading.accepts:
            accepted: tuple[str | None, str] | None = (answer.method, answer.url)
        else:
            accepted = self._exchange.led_on(self._header) if self._is_within_reach() else None
        if accepted is not None:
            parts.source.record_acceptance(self._origin, path_of(*accepted), self._header, is_replay=is_replay)

    def _is_within_reach(self) -> bool:
        """Return whether the latest request went to where the token may be: a redirect may have led it away."""
        reach = self._parts.rules.reach
        return reach is None or covers(reach, self._answer.url)

    def _summary(self) -> Rejection:
        answer = self._answer
        return Rejection(answer.method, without_query(answer.url), answer.status)

    def _proof(self, credential: Credential) -> str | None:
        """Return the proof of the request that is sent again with this token, if it's bound to a key.

        It has the nonce that came with the answer: one that others were given since may be used up by them.
        """
        proofs, method, url = self._parts.proofs, self._answer.method, self._answer.url
        if proofs is None:
            return None
        nonce = proofs.note_nonce(url, self._exchange.response.headers.get("DPoP-Nonce"))
        return None if credential.proof is None else proofs.header(credential.proof, method, url, nonce)

    def _follow(self, reading: Reading) -> _Sending:
        """Do what is due; return what to send the request with again, None if the answer is the caller's."""
        for step in due(reading, self._progress, self._parts.rules):
            credential = None
            match step:
                case "send another proof":
                    credential = yield from self._prove(reading)
                case "meet the demand":
                    credential = yield from self._meet(reading)
                case "step up":
                    credential = yield from self._step_up(reading)
                case "replace the token":
                    credential = yield from self._replace()
                case _:
                    self._record(step, reading)
            if credential is not None:
                yield Do(self._exchange.discard)
                self._exchange.was_replayed |= step != "send another proof"
                return credential
        return None

    def _record(self, step: Due, reading: Reading) -> None:
        """Note or log what is due."""
        source, progress = self._parts.source, self._progress
        if step == "note":
            self.note(reading, is_replay=progress.is_fresh or progress.replaced > 0)
            return
        summary = self._summary()
        if step == "count a vain login" and progress.login is not None:
            source.count_vain_login(self._origin, progress.login)
        elif step == "count a vain demand":
            source.count_vain_demand(self._origin, summary.path)
        elif step == "tell that a new token is rejected" and source.record_rejection_of_new(self._origin, summary.path):
            summary.emit_rejected_again(error_said(self._answer.challenges, self._header))

    def _prove(self, reading: Reading) -> _Sending:
        """Have the request sent with the same token, or the one that has just replaced it, and another proof."""
        exchange, proofs, error = self._exchange, self._parts.proofs, reading.proof_error
        assert proofs is not None and error is not None  # noqa: S101, PT018 - there's an error about one
        url, headers = self._answer.url, exchange.response.headers
        given = proofs.note_nonce(url, headers.get("DPoP-Nonce"))
        if error == "invalid_dpop_proof":
            proofs.note_date(url, headers)
        credential = self._parts.source.current
        if not self._progress.may_prove(url, error, nonce_in(self._answer.proof), given):
            return None
        if credential is None or credential.proof is None or not (yield Do(exchange.can_replay)):
            return None
        self._summary().emit_challenged(error)
        self._progress = self._progress.after_proof(url, error)
        return credential

    def _meet(self, reading: Reading) -> _Sending:
        """Get the token that an answer demands; without `can_replay` it's for the next requests."""
        exchange, demand = self._exchange, reading.demand
        assert demand is not None  # noqa: S101 - it's to be met
        is_repeatable, summary = (yield Do(exchange.can_replay)), self._summary()
        summary.emit_demand(demand)
        try:
            replacement = yield from self._parts.source.meet(demand, summary.about, Do(exchange.drain))
        except OAuthError:
            if is_repeatable:
                raise
        if not is_repeatable:
            return None
        self._progress = self._progress.after_demand(is_fresh=replacement.is_final)
        return replacement.credential

    def _step_up(self, reading: Reading) -> _Sending:
        """Have the user log in as an API demands."""
        exchange, source, demand = self._exchange, self._parts.source, reading.demand
        assert demand is not None  # noqa: S101 - it's for it
        if not source.may_step_up(self._origin, self._header, demand):
            return None
        is_repeatable, summary = (yield Do(exchange.can_replay)), self._summary()
        summary.emit_step_up(demand)
        credential, is_made = None, False
        try:
            credential, is_made = yield from source.step_up(self._header, demand, summary.about, Do(exchange.drain))
        except OAuthError:
            if is_repeatable:
                raise
        # If it's not sent again, the answer that the caller gets says what is wrong; a failure is logged.
        if credential is None or not is_repeatable:
            return None
        summary.emit_stepped_up()
        self._progress = self._progress.after_step_up(demand if is_made else None)
        return credential

    def _replace(self) -> _Sending:
        """Have a rejected token replaced."""
        exchange = self._exchange
        is_repeatable, summary = (yield Do(exchange.can_replay)), self._summary()
        replace = partial(self._parts.source.replace, self._header, self._origin, summary.path, summary.about)
        summary.emit_rejection(can_replay=is_repeatable)
        if not is_repeatable:
            with suppress(OAuthError):  # it's logged, and the answer that the caller gets says what is wrong
                yield from replace()
            return None
        replacement = yield from replace(Do(exchange.drain))
        if replacement is None:
            return None
        summary.emit_replay()
        self._progress = self._progress.after_replacement(is_final=replacement.is_final)
        return replacement.credential


# -- What is told of a request that carried a token, and of its answer ------------------------------------------------

_LONGEST_SCOPE = 500


class Rejection(Record):
    """A request and the status of its answer, as errors and events name them."""

    method: str | None
    url: str
    """Without its query."""
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.url} was answered with {self.status}"

    @property
    def path(self) -> str:
        """What it's noted by, see `path_of`."""
        return f"{self.method} {self.url}"

    @property
    def about(self) -> str:
        """The end of an error's text that comes from it."""
        return f" (after {self})"

    def emit_rejection(self, *, can_replay: bool) -> None:
        """Log that it rejects the token, and without `can_replay` that the request won't be sent again."""
        emit(
            logging.INFO,
            "rejected",
            "token rejected: %(method)s %(url)s was answered with %(status)s",
            **asdict(self),
        )
        if not can_replay:
            text = "not replayed, since the body can't be sent again: %(method)s %(url)s, answered with %(status)s"
            emit(logging.WARNING, "not_replayed", text, **asdict(self))

    def emit_replay(self) -> None:
        """Log that the request is sent again."""
        text = "replayed with another token: %(method)s %(url)s, answered with %(status)s before"
        emit(logging.INFO, "replayed", text, **asdict(self))

    def emit_challenged(self, error: str) -> None:
        """Log that it's about the proof alone, and that another one is sent."""
        text = "another proof is sent: %(method)s %(url)s was answered with %(status)s, error %(error)s"
        emit(logging.DEBUG, "challenged", text, **asdict(self), error=error, scope=None)

    def emit_demand(self, demand: Demand) -> None:
        """Log that it asks for a token."""
        text = "a token is asked for: %(method)s %(url)s was answered with %(status)s, wants scope %(scope)s"
        emit(logging.DEBUG, "challenged", text, **asdict(self), error=demand.error, scope=_shown(demand.scope))

    def emit_step_up(self, demand: Demand) -> None:
        """Log that it asks for another login, or for more scope."""
        text = "another authorization is asked for: %(method)s %(url)s was answered with %(status)s, wants %(demands)s"
        wanted = {} if demand.scope is None else {"scope": _shown(demand.scope)}
        emit(logging.INFO, "step_up", text, **asdict(self), demands={**dict(demand.login), **wanted})

    def emit_stepped_up(self) -> None:
        """Log that it's sent again with the token of another login."""
        text = "stepped up, sent again with another token: %(method)s %(url)s, answered with %(status)s before"
        emit(logging.INFO, "stepped_up", text, **asdict(self))

    def emit_rejected_again(self, error: str | None) -> None:
        """Log that it rejects a new token, too; `error` is the challenge's."""
        text = (
            "a new token was rejected, too: %(method)s %(url)s was answered with %(status)s, error %(error)s; "
            "does the API want another audience or scope, or the tokens of another server?"
        )
        emit(logging.WARNING, "rejected_again", text, **asdict(self), error=error)

    def emit_insufficient_scope(self, wanted: str | None, present: str) -> None:
        """Log that the token's scope isn't enough."""
        text = (
            "the token's scope isn't enough: %(method)s %(url)s was answered with %(status)s and wants scope "
            "%(wanted_scope)s; the token has %(token_scope)s"
        )
        emit(
            logging.WARNING,
            "insufficient_scope",
            text,
            **asdict(self),
            wanted_scope=wanted,
            token_scope=present,
        )


def _shown(scope: str | None) -> str | None:
    return None if scope is None else scope[:_LONGEST_SCOPE]


def path_of(method: str | None, url: str) -> str:
    """Return what acceptance and rejection are noted by: the method counts, since APIs treat them differently."""
    return f"{method} {without_query(url)}"
