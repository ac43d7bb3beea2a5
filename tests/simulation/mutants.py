"""Faults that the simulator looks for: in histories of which kinds, and why some are found in none."""

from __future__ import annotations

from tests.mutants.edits import always, drop, insert, never, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS = (
    # -- Defects of before --------------------------------------------------------------------------------------
    Mutant(
        None,
        "1: a refresh asks for the scope that was asked for at first",
        "RefreshingGrant.refresh",
        replace(
            """
            if scope is None or error.error != OAuthProviderError.INVALID_SCOPE:
                raise
            token = yield from self._operate(operation, refresh_token, None, key=key)
            """,
            """
            self.bury([digest(refresh_token)])
            raise
            """,
        ),
        histories=("calm",),
        is_defect=True,
    ),
    Mutant(
        None,
        "2: what couldn't be saved isn't tried again",
        "Renewals._mind_saver",
        never("saver is None and is_at_stake"),
        histories=("store",),
        is_defect=True,
    ),
    Mutant(
        None,
        "3: what a store brings is newer, though it's known to have been replaced",
        "merge",
        never("known.has_superseded(token)"),
        histories=("store loses",),
        is_defect=True,
    ),
    Mutant(
        None,
        "4: a logout leaves no mark",
        "Logins._forget",
        replace(
            "ended and (yield from do(Save(Entry(None, self._grant.dump_state(), logged_out=ended))))",
            "False and (yield from do(Save(Entry(None, self._grant.dump_state(), logged_out=ended))))",
        ),
        histories=("logout",),
        is_defect=True,
    ),
    Mutant(
        None,
        "5: any request that is accepted ends the spacing of renewals",
        "Breakers.accepted",
        always("is_replay or path in breaker.vain_paths or breaker.is_over(now)"),
        histories=("api",),
        is_defect=True,
    ),
    Mutant(
        None,
        "23: a flight is over before what it brings is published",
        "Slot.conclude",
        replace(
            """
            self.publish(state)
            self._kept = None
            self._flight = None
            """,
            """
            self._kept = None
            self._flight = None
            self.publish(state)
            """,
        ),
        histories=("calm",),
        is_defect=True,
    ),
    Mutant(
        None,
        "38: the judge knows nothing of programs that are killed with a refresh on its way",
        "Judge.died",
        replace("self._deaths[worker.index, worker.epoch] = self._world.now", "return"),
        histories=("killed",),
        is_defect=True,
    ),
    Mutant(
        None,
        "A: a lock is gone without after 30 s, whether or not it changes hands",
        "Making.take_lock",
        replace(
            """
            if tokens.stored.entry != seen:
                begun, seen = self._clock().monotonic, tokens.stored.entry
            if self._clock().monotonic >= begun + self._entry.lock_wait:
                if is_spare:
                    break
                is_spare, begun = True, self._clock().monotonic
            """,
            """
            if self._clock().monotonic >= begun + self._entry.lock_wait:
                break
            """,
        ),
        histories=("crowd",),
        is_defect=True,
        also=(("Tokens.raise_shared_failure", replace("self.stored.entry.failure", "None")),),
    ),
    Mutant(
        None,
        "B: an adopted token that is rejected is final",
        "land_token",
        replace(
            "Got(credential, ..., is_replacement)",
            "Got(credential, acquired.is_own or (held is not None and held.header != credential.header), True)",
        ),
        histories=("revoked",),
        is_defect=True,
    ),
    Mutant(
        None,
        "C: who was held up sends what may be spent by now",
        "HoldUps.forbid",
        never("isinstance(effect, Ask) and effect.is_single_use"),
        histories=("stopped",),
        is_defect=True,
    ),
    # -- Decisions ----------------------------------------------------------------------------------------------
    Mutant(
        None,
        "a decision writes while a flight is under way",
        "for_request",
        replace("(Wait(), state)", "(Wait(), replace(state))"),
        histories=("calm",),
    ),
    Mutant(
        None,
        "tokens are sent after they have expired",
        "State.unexpired",
        replace("current if current is not None and now.wall < current.expires_at else None", "current"),
        histories=("calm", "server"),
    ),
    Mutant(
        None,
        "callers wait as soon as the window begins",
        "for_request",
        replace("now.wall >= current.stale_at", "now.wall >= current.due_at"),
        histories=("calm",),
    ),
    Mutant(
        None,
        "no renewal before callers have to wait",
        "for_request",
        drop("Purpose(Reason.DUE, can_wait=now.wall < current.stale_at)"),
        histories=("calm",),
    ),
    Mutant(
        None,
        "a refresh token is used in the window though the store is in trouble",
        "for_request",
        replace("can_wait=now.wall < current.stale_at", "can_wait=False"),
        histories=("store",),
    ),
    Mutant(
        None,
        "a late 401 for an old token is renewed for",
        "for_rejection",
        replace("current if current is not None and current.header != rejected else None", "None"),
        histories=("api", "revoked"),
    ),
    Mutant(
        None,
        "Retry-After holds no callers",
        "Failure.fails_fast",
        drop("asked.remaining(now) > 0"),
        histories=("server",),
    ),
    Mutant(
        None,
        "every failure holds callers",
        "Failure.fails_fast",
        always("is_final(self.error) or asked.remaining(now) > 0"),
        histories=("server",),
    ),
    Mutant(
        None,
        "a failed renewal takes the token away",
        "State.failed",
        replace("state = replace(self, failure=failure)", "return State(failure=failure)"),
        histories=("server",),
    ),
    Mutant(
        None,
        "a failure puts nothing off",
        "State.failed",
        replace(
            "state.due_again_at(min(max(current.stale_at, now.wall), now.wall + failure.cooldown.length))",
            "state._replace_failure() if False else State(current)",
        ),
        histories=("server",),
    ),
    Mutant(
        None,
        "callers in the last seconds wait though the last renewal has just failed",
        "State.waiting_is_pointless",
        never("has_failed or self.deferred_at >= due_at or around.is_retrying"),
        histories=("server", "store", "stopped"),
        why_not="callers in the last seconds wait for a limited time, and the old token is sent after it: they "
        "wait longer, and for less than the bounds of a wait",
    ),
    Mutant(
        None,
        "no time-out in the last seconds",
        "for_request",
        drop("timeout=(current.expires_at - now.wall) / 2"),
        histories=("server", "calm"),
        why_not="a wait without a limit ends with the flight, within token_timeout, and then the old token has expired "
        "at worst: a caller that decides anew waits no longer than the bounds of a wait",
    ),
    # -- Backoff ------------------------------------------------------------------------------------------------
    Mutant(
        None,
        "Retry-After is ignored",
        "asked_pause",
        replace('min(getattr(error, "retry_after", None) or 0.0, _LONGEST_RETRY_AFTER)', "0.0"),
        histories=("server",),
    ),
    Mutant(
        None,
        "pauses after a failure don't exist",
        "Failure.after",
        replace("chance.uniform(longest / 2, longest)", "0.0"),
        histories=("server",),
    ),
    Mutant(
        None,
        "a pause has no end",
        "Failure.after",
        replace("chance.uniform(longest / 2, longest)", "100_000.0"),
        histories=("server",),
    ),
    Mutant(
        None,
        "renewals for an origin that rejects everything aren't spaced",
        "OriginBreaker.after",
        never("times >= free"),
        histories=("api",),
    ),
    Mutant(
        None,
        "a path that has accepted the token is refused a renewal, too",
        "OriginBreaker.blocks",
        drop("(path, header) not in self.accepting"),
        histories=("api",),
    ),
    # -- Merge --------------------------------------------------------------------------------------------------
    Mutant(
        None,
        "what a sibling stored isn't taken",
        "merge",
        replace("trusts_store or known.last is None or _expiry(token) >= _expiry(known.last)", "known.last is None"),
        histories=("calm",),
    ),
    Mutant(
        None,
        "the store is always right",
        "merge",
        always("known.has_read and not known.is_unsaved"),
        histories=("store", "mixed"),
        why_not="a stored token that isn't known to be replaced, beside an unsaved one of ours, is one that a sibling "
        "made meanwhile: whichever is taken, the other stays as the previous one and is asked if this one is refused",
    ),
    Mutant(
        None,
        "the store is never trusted",
        "merge",
        never("known.has_read and not known.is_unsaved"),
        histories=("calm", "store", "clocks"),
        why_not="a sibling's newer token expires later than the one before wherever lifetimes are alike and clocks "
        "agree to a renewal's length, so the later expiry says the same",
    ),
    Mutant(
        None,
        "the token that a sibling's has replaced is forgotten",
        "merge",
        replace(
            "Known(token, previous, token, has_read=True, login=login, superseded=superseded, keys=known.keys)",
            "Known(token, None, token, has_read=True, login=login, superseded=superseded, keys=known.keys)",
        ),
        histories=("store", "store loses", "mixed"),
        why_not="the previous token is of use only if the server still takes it though its successor is refused, which "
        "none of the simulated servers does",
    ),
    Mutant(
        None,
        "a mark of a logout is overlooked",
        "merge",
        replace(
            "ended if known.is_ended_by(stored.logged_out) else replace(known, in_store=None)",
            "replace(known, in_store=None)",
        ),
        histories=("logout",),
    ),
    # -- Acquisition --------------------------------------------------------------------------------------------
    Mutant(
        None,
        "no look before the lock",
        "Acquisition.find",
        replace("yield from tokens.look(excluded)", "yield from ()"),
        histories=("calm",),
    ),
    Mutant(
        None,
        "no second look under the lock",
        "Making.under_lock",
        drop("if token is not None: ..."),
        histories=("calm", "revoked"),
    ),
    Mutant(
        None,
        "no lock",
        "Making.under_lock",
        replace("yield from self.take_lock(reason, excluded)", "None"),
        histories=("calm", "revoked"),
    ),
    Mutant(
        None,
        "a lock that's taken is gone without at once",
        "Making.take_lock",
        replace("Nothing(Why.DEFERRED)", "None"),
        histories=("calm", "server"),
    ),
    Mutant(
        None,
        "all that wait for a stopped holder go on at once",
        "Making.take_lock",
        replace(
            "if is_spare: break",
            "break",
        ),
        histories=("standstill",),
    ),
    Mutant(
        None,
        "who waits for the lock doesn't look meanwhile",
        "Making.take_lock",
        drop("""
            if token is not None:
                return Acquired(token, is_own=False)
            tokens.raise_shared_failure(reason)
            """),
        histories=("crowd", "calm"),
        why_not="whoever gets the lock looks then: the wait is longer in a large fleet, which the fleet's figures show",
    ),
    Mutant(
        None,
        "a token that was made isn't saved",
        "Making.keep",
        drop("yield from tokens.save()"),
        histories=("calm",),
    ),
    Mutant(
        None,
        "the lock is released before the token is saved",
        "Making.keep",
        insert("yield from do(Unlock())", before="yield from tokens.save()"),
        histories=("calm", "revoked", "crowd"),
    ),
    Mutant(
        None,
        "no look after a refusal",
        "Making._make",
        replace("yield from tokens.look(excluded)", "None"),
        histories=("store", "store loses", "stopped", "mixed"),
        why_not="who holds the lock has looked under it, so only a sibling that went on without the lock can have been "
        "faster: by then the login is lost, by (2), or the store can't be read in this look either",
    ),
    Mutant(
        None,
        "a lock that was lost isn't noticed before saving",
        "Making.keep",
        always("yield from do(StillHeld())"),
        histories=("stopped", "mixed"),
        why_not="a lock that's lost here is exception (2): where refresh tokens rotate the sibling's refresh has ended "
        "the login; elsewhere both tokens are good, and the one that expires earlier is stored",
    ),
    Mutant(
        None,
        "failures aren't shared",
        "Tokens.raise_shared_failure",
        replace("self.stored.entry.failure", "None"),
        histories=("crowd", "server"),
    ),
    Mutant(
        None,
        "a shared failure is shared again",
        "Making.renew",
        replace(
            "result = yield from self.under_lock(purpose.reason, excluded, make)",
            """
            try:
                result = yield from self.under_lock(purpose.reason, excluded, make)
            except TokenError as error:
                yield from self._tokens.share_failure(error, excluded)
                raise
            """,
        ),
        histories=("crowd", "server"),
    ),
    Mutant(
        None,
        "what is unsaved waits for the lock",
        "Making.flush",
        drop("not tokens.known.is_only_here"),
        histories=("store",),
    ),
    Mutant(
        None,
        "what can't be read is overwritten",
        "Tokens.save",
        drop("self.stored.is_ok"),
        histories=("store", "mixed"),
        why_not="a store that can't be read can't be written either in the simulated outages, and a save that works "
        "puts the newest token there",
    ),
    Mutant(
        None,
        "a second logout deletes the first one's mark",
        "Logins._forget",
        replace(
            "tokens.known.digests() | in_store | given | (stored.logged_out or frozenset())",
            "tokens.known.digests() | in_store | given",
        ),
        histories=("logout",),
    ),
    # -- Landing ------------------------------------------------------------------------------------------------
    Mutant(
        None,
        "a landing publishes, but the flight isn't over",
        "Slot.conclude",
        drop("self._flight = None"),
        histories=("calm",),
        why_not="a flight that has ended counts as none, whether or not it's still referred to",
    ),
    Mutant(
        None,
        "a look that found the lock taken is not repeated",
        "land_without",
        replace(
            "return Landed(still_valid(state, flown).deferred(flown.now), nothing)",
            """
            left = still_valid(state, flown)
            return Landed(left.due_again_at(left.credential.stale_at) if left.credential else left, nothing)
            """,
        ),
        histories=("calm",),
        why_not="exception (8): the next request may come after the window, too",
    ),
    Mutant(
        None,
        "a flight that has failed for good lands as deferred",
        "land_failed",
        replace(
            "state.failed(error, flown.now, flown.chance, times=shared_times)",
            "state.deferred(flown.now)",
        ),
        histories=("server",),
    ),
    # -- Token calls and grants ---------------------------------------------------------------------------------
    Mutant(
        None,
        "no pause before another attempt",
        "Attempts.make",
        drop("yield from do(Sleep(pause))"),
        histories=("server",),
    ),
    Mutant(
        None,
        "Retry-After is ignored within a call",
        "Attempts._pause_after",
        replace("max(self._chance.uniform(*bounds), failure.retry_after or 0.0)", "self._chance.uniform(*bounds)"),
        histories=("server",),
    ),
    Mutant(
        None,
        "a refresh token isn't waited for as long as there's time",
        "Attempts.make",
        replace("left if self._is_single_use else half", "0.2 if self._is_single_use else half"),
        histories=("calm", "answers"),
    ),
    Mutant(
        None,
        "a spent refresh token isn't remembered as dead",
        "RefreshingGrant.refresh",
        drop("if token.refresh_token != refresh_token: ..."),
        histories=("logout", "store", "mixed"),
        why_not="a token that was replaced is remembered by merge as well, and the one that was given is asked last",
    ),
    Mutant(
        None,
        "an answer without a refresh token ends the old one",
        "RefreshingGrant.refresh",
        replace("dataclasses.replace(token, refresh_token=refresh_token)", "token"),
        histories=("calm",),
    ),
    Mutant(
        None,
        "a refresh that isn't answered with a token ends the refresh token",
        "RefreshingGrant.refresh",
        replace("if ends_refresh_token(error): ...", "self.bury([digest(refresh_token)])"),
        histories=("server",),
    ),
)
