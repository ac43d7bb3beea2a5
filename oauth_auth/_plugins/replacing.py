"""What is done about an answer that rejects the token, its proof or the user's login: the same in each plug-in.

Which answers do so is decided by `_wire.challenges`, which token comes next by `_renewal`. A plug-in provides an
`Exchange`, the operations on its library's requests and responses.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from functools import partial
from typing import Any

from .._flight import Step
from .._record import Record
from .._renewal.source import Replacement, TokenSource, Waiting
from .._server.server_state import Challenges
from .._wire.token import Credential
from ..errors import OAuthError
from .rejection import Exchange, Rejection, path_of

__all__ = ["Do", "SendAgain", "note_answer", "replacing"]


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


def replacing(source: TokenSource, origin: Hashable, header: str, exchange: Exchange) -> Waiting:
    """Do what an answer calls for, and send its request again: with a token, or with another one than it had.

    `header` is that of the token which it had, "" for none. What an answer says against the proof alone is answered
    before and after, and doesn't count.
    """
    if exchange.was_replayed:
        header = yield from answering(source, header, exchange)
        exchange.tell_rejected_again(origin, header)
        return
    is_fresh = False
    if not header:
        sent, is_fresh = yield from meeting(source, exchange)
        if sent is None:
            return
        header = sent
    header = yield from stepping_up(source, origin, header, exchange)
    if is_fresh:
        _note_fresh(source, origin, header, exchange)
    else:
        yield from _replacing_rejected(source, origin, header, exchange)


def _replacing_rejected(source: TokenSource, origin: Hashable, header: str, exchange: Exchange) -> Waiting:
    """Replace a token that was rejected, and send the request again, once.

    A sibling's token may have been revoked as well, so it's replaced once more.
    """
    for is_last in (False, True):
        rejection = exchange.rejection(header)
        if rejection is None:
            note_answer(source, origin, header, exchange, is_replay=is_last)
            return
        if not exchange.may_be_sent_again:
            exchange.tell_rejected_again(origin, header)
            return
        try:
            replacement = yield from _replacement(source, origin, header, exchange, rejection)
        except GeneratorExit:
            raise
        except BaseException:  # interrupted or cancelled, too: nobody will get the answer, or close it
            yield Do(exchange.close)
            raise
        if replacement is None:
            return
        exchange.was_replayed = True
        yield from _send_again(exchange, replacement.credential)
        header = yield from stepping_up(source, origin, replacement.credential.header, exchange)
        note_answer(source, origin, header, exchange, is_replay=True)
        if replacement.is_final or is_last:
            exchange.tell_rejected_again(origin, header)
            return


def meeting(source: TokenSource, exchange: Exchange) -> Generator[Step, Any, tuple[str | None, bool]]:
    """Get a token for a request that was sent without one, if its answer demands one, and send it again.

    Returns the header that it was sent with, None if the answer is the caller's; and whether that token was made for
    the demand.
    """
    demand = exchange.demand("")
    if demand is None:
        return None, False
    try:
        is_repeatable, summary = (yield Do(exchange.can_replay)), exchange.summary()
        summary.emit_demand(demand)
        try:
            replacement = yield from source.meet(demand, summary.about, Do(exchange.drain))
        except OAuthError:
            if is_repeatable:
                raise
        if not is_repeatable:
            return None, False
        yield Do(exchange.discard)
    except GeneratorExit:
        raise
    except BaseException:  # nobody will get the answer, or close it
        yield Do(exchange.close)
        raise
    exchange.was_replayed = True
    yield from _send_again(exchange, replacement.credential)
    return replacement.credential.header, replacement.is_final


def _note_fresh(source: TokenSource, origin: Hashable, header: str, exchange: Exchange) -> None:
    """Note what an answer says of a token that was made for this very request: another wouldn't help."""
    note_answer(source, origin, header, exchange, is_replay=True)
    rejection = exchange.rejection(header)
    if rejection is not None:
        source.count_vain_demand(origin, path_of(rejection.method, rejection.url))
        exchange.tell_rejected_again(origin, header)


def answering(source: TokenSource, header: str, exchange: Exchange) -> Generator[Step, Any, str]:
    """Send a request again, the same token and the same bytes, while its answer is about the proof alone.

    Returns the header that the last one was sent with: another one if the token has just been replaced.
    """
    # By URL: in httpx the answer may be one to a request that a redirect has led on, with a copy of the proof.
    challenges: dict[str, Challenges] = {}
    while (error := exchange.proof_error(header)) is not None:
        credential = source.current
        answered = challenges.setdefault(exchange.target[1], Challenges())
        if not exchange.answers_proof(answered, error) or credential is None or credential.proof is None:
            break
        try:
            is_repeatable = yield Do(exchange.can_replay)
            if not is_repeatable:
                break
            exchange.summary().emit_challenged(error)
            yield Do(exchange.discard)
        except GeneratorExit:
            raise
        except BaseException:  # interrupted or cancelled: nobody will get the answer, or close it
            yield Do(exchange.close)
            raise
        yield SendAgain(partial(exchange.send_again, credential))
        exchange.mind_proofs()
        header = credential.header
    return header


def stepping_up(source: TokenSource, origin: Hashable, header: str, exchange: Exchange) -> Generator[Step, Any, str]:
    """Let the user log in as an API demands, once for a request, and send it again; answer what's about the proof.

    Returns the header that the last one was sent with.
    """
    header = yield from answering(source, header, exchange)
    made_for = None
    while (demand := exchange.step_up_demand(header)) is not None:
        if made_for is not None or not exchange.may_be_sent_again or not source.may_step_up(origin, header, demand):
            break
        try:
            is_repeatable, summary = (yield Do(exchange.can_replay)), exchange.summary()
            summary.emit_step_up(demand)
            credential, is_made = None, False
            try:
                credential, is_made = yield from source.step_up(header, demand, summary.about, Do(exchange.drain))
            except OAuthError:
                if is_repeatable:
                    raise
            # If it's not sent again, the answer that the caller gets says what is wrong; a failure is logged.
            if credential is None or not is_repeatable:
                break
            summary.emit_stepped_up()
            yield Do(exchange.discard)
        except GeneratorExit:
            raise
        except BaseException:  # nobody will get the answer, or close it
            yield Do(exchange.close)
            raise
        exchange.was_replayed = True
        yield from _send_again(exchange, credential)
        header = yield from answering(source, credential.header, exchange)
        made_for = demand if is_made else None
    # Whatever is wrong with the token now: an API may take turns in what it demands.
    if made_for is not None and (demand is not None or exchange.rejection(header) is not None):
        source.count_vain_login(origin, made_for)
    return header


def _send_again(exchange: Exchange, credential: Credential) -> Generator[Step, Any, None]:
    exchange.times_sent += 1
    yield SendAgain(partial(exchange.send_again, credential))
    exchange.mind_proofs()


def _replacement(
    source: TokenSource, origin: Hashable, header: str, exchange: Exchange, rejection: Rejection
) -> Generator[Step, Any, Replacement | None]:
    """Return what to send instead, the answer out of the way; None leaves the answer to the caller."""
    is_repeatable = yield Do(exchange.can_replay)
    rejection.emit_rejection(can_replay=is_repeatable)
    replace = partial(source.replace, header, origin, path_of(rejection.method, rejection.url), rejection.about)
    if not is_repeatable:
        with suppress(OAuthError):  # it's logged, and the answer that the caller gets says what is wrong
            yield from replace()
        return None
    replacement = yield from replace(Do(exchange.drain))
    if replacement is not None:
        rejection.emit_replay()
        yield Do(exchange.discard)
    return replacement


def note_answer(source: TokenSource, origin: Hashable, header: str, exchange: Exchange, *, is_replay: bool) -> None:
    """Note that the origin accepts the token, if the answer shows it; log it if the scope isn't enough."""
    if not header:
        return
    exchange.tell_insufficient_scope(header)
    path = exchange.accepted_path(header)
    if path is not None:
        source.record_acceptance(origin, path, header, is_replay=is_replay)
