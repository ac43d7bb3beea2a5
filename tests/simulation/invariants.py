"""The judge: what must hold in each history, and by which names what doesn't is excused.

Windows and deadlines are worked out here, from lifetimes and options; none is read from the code that is judged.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from oauth_auth._renewal.entry import unpack
from oauth_auth._wire.token import Credential
from oauth_auth.errors import OAuthError

from .demanding_caller import DemandingCaller
from .traffic import Logins, Looks, Scopes
from .world import BEGIN, World

if TYPE_CHECKING:
    from oauth_auth import OAuthToken

    from .caller import Caller
    from .flight import Flight
    from .server import Issue, Server
    from .store import Store
    from .worker import Worker

__all__ = ["EXCEPTIONS", "Judge"]

EXCEPTIONS = {
    "killed": "(1) killed between sending a refresh and having saved what it brings",
    "stopped": "(2) stopped there for longer than the lease, or than a lock is waited for",
    "answer lost": "(3) the answer of a refresh lost on its way",
    "write lost": "(4) a write that the store lost, before all workers had the newer token",
    "rewound": "(4) a store that went back in time, before all workers had the newer token",
    "restored": "(4) a store that came back with what another login has left, before all workers had the newer token",
    "emptied": "(5) the store emptied, for workers that have only the token they were given",
    "store out": "(6) the store out for longer than the refresh window, or when a program has no token left",
    "clocks": "(7) clocks that differ by more than the leeway",
    "lock taken": "(8) a look that met a taken lock, where the next request comes after the window",
    "logout": "(9) a logout, until the next look",
}
"""The ways in which a login may be lost, or a request wait or fail: no others. (1) to (5) only without grace."""

LEEWAY, WINDOW, TOKEN_TIMEOUT = 10.0, 300.0, 10.0
LOCK_WAIT, STORE_TIMEOUT = 30.0, 5.0
LEASE_OR_LOCK = 30.0
SHARED_PAUSE = 5.0
LONGEST_RETRY_AFTER = 300.0
LONGEST_LOGIN = 40.0
LEAST_PAUSE = 0.1
LEAST_COOLDOWN = 1.0
LONGEST_COOLDOWN = 60.0
LEAST_CALL = 1.2
"""How long three attempts take that fail at once, in seconds: one program may make them without an end."""
HANDFUL = 6
"""Token calls a minute for a program with a path that rejects everything: three at once, then after 10 and 20 s."""
REDUNDANT = {
    "kill",
    "stop",
    "suspend",
    "lost",
    "out",
    "lost_write",
    "rewind",
    "empty",
    "forbid",
    "logout",
    "jump",
    "restore",
}
"""After which of the faults a token may be asked for though there's a good one."""
LONG_ENOUGH = 60.0
"""How long a history goes on after a login is lost for good, in seconds."""
MOMENT = 2.0
"""How long a program may take to see what a sibling has just saved, in seconds."""


class Judge:
    """Watches one history."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._config = config = world.config
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.leeway = min(LEEWAY, config.lifetime / 10)
        self.window = min(WINDOW, config.lifetime / 5)
        self.server: Server
        self.store: Store
        self.workers: list[Worker] = []
        self.begun: set[str] = set()
        """The kinds of faults that have happened so far."""
        self.server_bad_until = 0.0
        self.store_bad_until = 0.0
        self.asked_until = 0.0
        self.outages: list[tuple[float, float]] = []
        self.losses: set[str] = set()
        self.is_ended = False
        self.is_final = False
        self.longest_wait = 0.0
        self.waits: list[float] = []
        self.calls = 0
        self._ended_at = 0.0
        self._marked_at = float("inf")
        self._deaths: dict[tuple[int, int], float] = {}
        self._stops: list[tuple[Worker, float, float]] = []
        self._attempts: dict[tuple[int, int], tuple[float, bool, Flight]] = {}
        self._told: dict[tuple[int, int], tuple[float, float]] = {}
        self._recent_calls: deque[float] = deque()
        self._excused: dict[tuple[int, int], str] = {}
        self._lost_writes: set[str] = set()
        self._accepted: set[tuple[int, int, str, str]] = set()
        self._rewound_at: list[tuple[float, str]] = []
        self.failing_attempts = 0
        self.looks, self.scopes, self.logins = Looks(self), Scopes(self), Logins(self)

    @property
    def now(self) -> float:
        """The true time."""
        return self._world.now

    @property
    def ended_at(self) -> float:
        """When the last logout was."""
        return self._ended_at

    def violation(self, text: str) -> None:
        """Note that something doesn't hold; the history ends."""
        self._world.note("judge", text)
        self.violations.append(f"at {self._world.now - BEGIN:.3f} s: {text}")
        self._world.is_over = True

    def excuse(self, name: str) -> None:
        """Count what is excused."""
        self.counts[name] += 1

    # -- Sources ------------------------------------------------------------------------------------------------

    def published(self, worker: Worker, credential: Credential | None) -> None:
        """Judge what a source publishes: no token comes again that was replaced."""
        past = worker.published_headers
        if credential is None:
            if past and not self.is_ended and not (self._config.paths and not self.can_send_now(worker)):
                self.violation(f"{worker} took back {past[-1]}")
            past.clear()
        elif not past or past[-1] != credential.header:
            self._world.note(worker, f"publishes {credential.header}")
            issue = self.server.by_access[credential.token.access_token]
            issue.holders.add((worker.index, worker.epoch))
            if credential.header in past:
                self.violation(f"{worker} took back {past[-1]} for {credential.header}")
            past.append(credential.header)

    def is_good(self, worker: Worker) -> bool:
        """Return whether the worker's token is good by its own clock, and not in its last seconds."""
        current = worker.source.current
        if current is None or current.token.expiry is None:
            return False
        return self._world.now + worker.wall_offset < current.token.expiry - self.leeway

    # -- Requests -----------------------------------------------------------------------------------------------

    def arrives(self, worker: Worker) -> None:
        """Note a request in the second half of the window, long enough before its end for a renewal."""
        current = worker.source.current
        if current is not None and current.token.expiry is not None:
            left = current.token.expiry - self.leeway - self._world.now - worker.wall_offset
            if MOMENT + self._config.latency * 3 < left < self.window / 2:
                worker.window_request_at = self._world.now

    def departs(self, worker: Worker) -> None:
        """Judge what a request in the second half of the window has done: the renewal is under way, or just was.

        After a failure it's tried again within a minute.
        """
        current = worker.source.current
        settled_at = max(self.server_bad_until, self.asked_until) + LONGEST_COOLDOWN + MOMENT
        if worker.window_request_at < self._world.now or self.begun - {"down"} or self._world.now < settled_at:
            return
        if current is None or current.token.expiry is None or worker.taken_at > self._world.now - MOMENT:
            return
        left = current.token.expiry - self.leeway - self._world.now - worker.wall_offset
        if left < self.window / 2 and not any(flight.is_under_way for flight in worker.flights):
            self.violation(f"{worker} left the renewal of {current.header} undone")

    def sends(self, caller: Caller, credential: Credential) -> None:
        """Judge what a request is sent with."""
        expiry = credential.token.expiry
        wall = self._world.now + caller.worker.wall_offset
        stood = self._world.now - caller.worker.stopped_until < TOKEN_TIMEOUT
        if expiry is not None and wall >= expiry and len(caller.sent) == 1 and not stood:
            self.violation(f"{caller.worker} sent {credential.header}, which has expired")
        if self.is_ended and expiry is not None and not self._is_new_login(credential):
            # It may be that no request came since: then this one's look is the next.
            if self._world.now > max(self._ended_at, expiry - caller.worker.wall_offset - self.leeway) + MOMENT:
                if not self._is_excused_by_store():
                    self.violation(f"{caller.worker} sent {credential.header} long after the logout")
            else:
                self.excuse("logout")

    def _is_new_login(self, credential: Credential) -> bool:
        return self.server.by_access[credential.token.access_token].at > self._ended_at

    def _is_excused_by_store(self) -> bool:
        return bool(self.begun & {"out", "lost_write", "rewind", "empty", "restore"})

    def answered_request(self, caller: Caller, *, is_accepted: bool) -> None:
        """Judge a request that got the API's answer."""
        self.counts["requests"] += 1
        self._judge_wait(caller)
        if isinstance(caller, DemandingCaller):
            self.logins.answered(caller)
            if caller.answer.demand is not None or not (caller.is_repeatable and caller.may_be_sent_again):
                return
        if is_accepted:
            if self.begun & {"forbid"}:
                self._accepted.add((caller.worker.index, caller.worker.epoch, caller.path, caller.sent[-1].header))
        elif caller.is_declined:
            self._judge_declined(caller)
        elif caller.path not in self.server.forbidden:
            self._judge_rejection(caller)

    def _judge_wait(self, caller: Caller) -> None:
        worker = caller.worker
        waited = caller.waited - (worker.stopped_for - caller.stopped_before)
        if waited <= 0:
            return
        self.waits.append(waited)
        self.longest_wait = max(self.longest_wait, waited)
        longest = TOKEN_TIMEOUT + LOCK_WAIT + STORE_TIMEOUT + MOMENT
        if waited > (longest if not self._config.paths else 3 * (longest + LONGEST_LOGIN)):
            self.violation(f"{worker} waited {waited:.1f} s")
        if self._config.paths:
            return
        if waited > 10 * self._config.store_latency and len(worker.published_headers) > 1 and self._is_fair(worker):
            life = self._config.lifetime
            if caller.begun - worker.window_request_at < life * 0.3 and caller.replacing_since is None:
                if self._world.now - worker.taken_at < life * 0.3:
                    self.excuse("lock taken")
                else:
                    self.violation(f"{worker} waited {waited:.3f} s though a request came within the window")

    def _is_fair(self, worker: Worker) -> bool:
        """Return whether nothing went wrong, or nothing that still kept a request in the window from being of use."""
        settled_at = max(self.server_bad_until, self.asked_until) + LONGEST_COOLDOWN + MOMENT
        return not self.begun or (self.begun == {"down"} and worker.window_request_at > settled_at)

    def _judge_rejection(self, caller: Caller) -> None:
        """Judge a 401 that the caller gets: it's due only if the last token was revoked while it was on its way."""
        worker = caller.worker
        last = self.server.by_access[caller.sent[-1].token.access_token]
        if caller.path in self.server.forbidden or self._clocks_differ():
            self.excuse("clocks")
            return
        if self.is_ended and not last.family.is_alive:
            self.excuse("logout")
            return
        if not last.family.is_alive:
            return
        if last.revoked_at is None:
            if self._world.now - worker.stopped_until < TOKEN_TIMEOUT:
                self.excuse("stopped")
            elif len(caller.sent) > 1:
                self.violation(f"{worker} got a second 401 with {last.access}, which had expired")
            return
        begun = caller.replacing_since or caller.begun
        if last.revoked_at < begun - self.server.api_delay:
            during = {at for at in self.server.revocations if at >= caller.begun - self.server.api_delay}
            tried = {self.server.by_access[sent.token.access_token].revoked_at for sent in caller.sent}
            if len(tried) < 2 and not during:
                self.violation(f"{worker} got a second 401 with {last.access}, though a renewal would have helped")
        self.excuse("revoked while a request was on its way")

    def _judge_declined(self, caller: Caller) -> None:
        """Judge a 401 that is left to the caller: only where renewals were vain before.

        A path that has accepted the very token is renewed for all the same.
        """
        worker = caller.worker
        accepted = (worker.index, worker.epoch, caller.path, caller.sent[-1].header) in self._accepted
        if not self._clocks_differ() and not self._config.paths and (accepted or not self.begun & {"forbid"}):
            self.violation(f"{worker} left a 401 to its caller")
        self.excuse("renewals spaced for an origin")

    def failed_request(self, caller: Caller, error: OAuthError) -> None:
        """Judge a request that raised: only if nothing could have helped it."""
        worker, now = caller.worker, self._world.now
        self._world.note(worker, f"fails: {error}")
        self._judge_wait(caller)
        stood = worker.stopped_for - caller.stopped_before
        if now - worker.stopped_until < TOKEN_TIMEOUT:  # it may share the outcome of before
            stood = max(stood, worker.stopped_until - worker.stopped_at)
        if isinstance(caller, DemandingCaller):
            name = self.logins.why_failed(caller, error, stood)
        else:
            name = self._why_nothing_helped(caller, now, stood)
        if name is None:
            self.violation(f"{worker} failed a request though it need not: {type(error).__name__}: {error}")
        else:
            self.excuse(f"failed: {name}")

    def _why_nothing_helped(  # noqa: PLR0911 - one for each reason
        self, caller: Caller, now: float, stood: float
    ) -> str | None:
        worker = caller.worker
        current = worker.source.current
        is_path_good = caller.path not in self.server.forbidden and not worker.path == caller.path != "/"
        if current is not None and is_path_good and self.can_be_sent(worker, current.token):
            return None
        if self.is_ended and self._config.grant in {"refresh", "code"}:
            return "logged out"
        is_store_good = now > self.store_bad_until + MOMENT + stood
        stored = self.store.unpacked(self.store.entry).token
        is_settled = is_store_good and now > self.store.changed_at + MOMENT + stood
        if stored is not None and is_settled and is_path_good and self.can_be_sent(worker, stored):
            return None
        if not self.is_final:
            slack = TOKEN_TIMEOUT + SHARED_PAUSE + MOMENT + stood
            if now <= self.server_bad_until + slack:
                return "server in trouble"
            if now <= self.asked_until + MOMENT + stood:
                return "Retry-After"
        if self._config.grant in {"client", "password"}:
            return None if is_path_good else "path forbidden"
        if self.holds_live_refresh_token(worker):
            return None
        if stored is not None and is_settled and self._is_live(stored.refresh_token):
            return None
        if not is_store_good:
            return "store out"
        newest = self.server.newest
        if not newest.family.is_alive:
            return "login lost"
        holders = [other for other in self.workers if other.is_alive and self.holds_live_refresh_token(other)]
        causes = [self._cause_of_loss(issue, None) for issue in self.server.issues[-3:]]
        cause = next((cause for cause in causes if cause is not None), None)
        if cause is None and not (holders and self._is_excused_by_store()):
            return None
        self._lose(cause or "store")
        return "login lost"

    def can_be_sent(self, worker: Worker, token: OAuthToken) -> bool:
        """Return whether a token is good, and not in its last seconds by the worker's clock."""
        wall = self._world.now + worker.wall_offset
        return (
            token.expiry is not None and wall < token.expiry - self.leeway and self.server.is_live(token.access_token)
        )

    def _is_live(self, refresh_token: str | None) -> bool:
        issue = self.server.by_refresh.get(refresh_token or "")
        if issue is None or not issue.family.is_alive:
            return False
        return issue.spent_at is None or self._config.rotation == "none"

    def can_send_now(self, worker: Worker) -> bool:
        """Return whether a worker has a token that's good."""
        current = worker.source.current
        return current is not None and self.can_be_sent(worker, current.token)

    def holds_live_refresh_token(self, worker: Worker) -> bool:
        """Return whether a worker knows a refresh token that's live."""
        known = worker.source._tokens.known
        return any(token is not None and self._is_live(token.refresh_token) for token in (known.last, known.previous))

    def _is_orphaned(self) -> bool:
        """Return whether no program, nor the store, has a live refresh token."""
        stored = self.store.unpacked(self.store.entry).token
        holders = [worker for worker in self.workers if worker.is_alive and self.holds_live_refresh_token(worker)]
        return not holders and (stored is None or not self._is_live(stored.refresh_token))

    # -- The server ---------------------------------------------------------------------------------------------

    def attempted(self, flight: Flight, *, is_failing: bool) -> None:
        """Judge one attempt of a token call: it comes after a pause, and after what the server asked for."""
        self.counts["attempts"] += 1
        worker, now = flight.worker, self._world.now
        key = (worker.index, flight.epoch)
        self.failing_attempts += is_failing
        past, failed, before = self._attempts.get(key, (0.0, False, flight))
        # Who has no token asks anew for each request; all others leave the server alone for a second at least.
        pause = LEAST_PAUSE if flight is before else LEAST_COOLDOWN if self._has_token(worker) else 0.0
        if failed and now - past < pause - 2 * self._config.latency:
            self.violation(f"{worker} asked again after {now - past:.3f} s")
        self._attempts[key] = (now, is_failing, flight)
        told_at, until = self._told.get(key, (0.0, 0.0))
        if told_at + 2 * self._config.latency < flight.sent_at < until - 0.5:
            self.violation(f"{worker} asked {until - now:.1f} s before Retry-After had passed")

    def _has_token(self, worker: Worker) -> bool:
        current = worker.source.current
        return current is not None and worker.path == "/" and self.can_be_sent(worker, current.token)

    def told_to_wait(self, flight: Flight, seconds: float) -> None:
        """Note what the server asked for."""
        until = self._world.now + min(seconds, LONGEST_RETRY_AFTER)
        self._told[flight.worker.index, flight.epoch] = (self._world.now, until)
        self.asked_until = max(self.asked_until, until)

    def answered(self, flight: Flight) -> None:
        """Note that an answer has arrived."""

    def issued(self, issue: Issue, flight: Flight) -> None:
        """Judge a token that was issued: it was needed, or there's a cause."""
        self.calls += 1
        now, config = self._world.now, self._config
        for other in self.server.issues[-2:-1]:
            good_until = other.at + config.lifetime - self.leeway - self.window - config.latency * 3
            is_given = other is self.server.first and config.grant != "code"
            if self._config.paths and other.family is not issue.family:
                continue  # logins are judged apart
            if now < good_until and other.revoked_at is None and not other.is_lost and not is_given:
                causes = self.begun & REDUNDANT
                if not causes:
                    self.violation(f"{flight.worker} got {issue.access} though {other.access} was good")
                for cause in causes:
                    self.excuse(f"extra call: {cause}")
        if self.server.forbidden:
            recent = self._recent_calls
            recent.append(now)
            while recent[0] < now - 60:
                recent.popleft()
            if len(recent) > HANDFUL * config.workers and not self.begun & {"revoke", "kill", "end"}:
                self.violation(f"{len(recent)} token calls in a minute for a path that rejects everything")

    def sent_twice(self, before: Issue, flight: Flight, *, is_forgiven: bool) -> None:
        """Judge a refresh token that is sent though it was spent."""
        assert before.spent_by is not None
        cause = self._cause_of_loss(before.spent_by, flight)
        key = (flight.worker.index, flight.epoch)
        if cause is None:  # who has lost the live one may try those before
            cause = self._excused.get(key)
        else:
            self._excused[key] = cause
        if cause is None and self._is_orphaned():
            newest = [issue for issue in self.server.issues if issue.family is before.family][-1]
            cause = self._cause_of_loss(newest, None)
        if cause is None:
            self.violation(f"{flight.worker} sent {before.refresh}, which {before.spent_by.worker} had used")
        elif not is_forgiven:
            self._lose(cause)
            self.excuse(f"lost: {cause}")

    def _lose(self, cause: str) -> None:
        """Note a loss; where it can't be made good, little more happens."""
        if not self.losses and self._config.grant in {"refresh", "code"}:
            self._world.after(LONG_ENOUGH, None, self._end)
        self.losses.add(cause)

    def _end(self) -> None:
        self._world.is_over = True

    def _cause_of_loss(  # noqa: PLR0911 - one for each exception
        self, issue: Issue, sender: Flight | None
    ) -> str | None:
        """Return by which exception a token, or the knowledge of it, was lost."""
        now = self._world.now
        worker = issue.worker
        if issue.is_lost:
            return "answer lost"
        current = None if sender is None else sender.worker.source.current
        has_none_left = sender is not None and (current is None or not self.can_be_sent(sender.worker, current.token))
        end = now if issue.saved_at is None else issue.saved_at
        if worker is not None and issue.saved_at is None and (worker.index, issue.epoch) in self._deaths:
            return "killed"
        if sender is not None and sender.is_dead and (sender.worker.index, sender.epoch) in self._deaths:
            return "killed"
        longest = min(self._config.lease or LEASE_OR_LOCK, LEASE_OR_LOCK)
        for stopped, at, length in self._stops:
            if stopped is worker and at <= end and at + length >= issue.sent_at and length > longest * 0.9:
                return "stopped"
        # Whoever has had the newer token must not fall back on the one before, whatever the store says.
        has_had_it = sender is not None and (sender.worker.index, sender.epoch) in issue.holders
        if issue.access in self._lost_writes and not has_had_it:
            return "write lost"
        for at, kind in self._rewound_at:
            if at >= issue.at and not has_had_it:
                return kind
        for begin, until in self.outages:
            is_just_back = until <= now < until + MOMENT  # the save is tried again each second
            if until >= issue.sent_at and (until - begin >= self.window or has_none_left or is_just_back):
                return "store out"
        return None

    def lost_answer(self) -> None:
        """Note that an answer is lost: its sender finds out when its time-out ends."""
        self.server_bad_until = max(self.server_bad_until, self._world.now + TOKEN_TIMEOUT)

    # -- The store ----------------------------------------------------------------------------------------------

    def saved(self, flight: Flight, packed: OAuthToken) -> None:
        """Judge a save, and note that the token is known from now on."""
        issue = self.server.by_access.get(packed.access_token)
        if issue is None:
            entry = unpack(packed, {})
            if entry.logged_out is not None:
                self.is_ended, self._ended_at = True, self._world.now
                self._marked_at = min(self._marked_at, self._world.now)
            return
        if issue.saved_at is None:
            issue.saved_at = self._world.now
        is_long_ago = issue.at < self._marked_at < self._world.now - MOMENT
        if is_long_ago and not self._is_excused_by_store():
            self.violation(f"{flight.worker} saved {issue.access} again after the logout")

    def lost_write(self, packed: OAuthToken) -> None:
        """Note that a save is lost."""
        self._lost_writes.add(packed.access_token)

    def went_back(self, kind: str) -> None:
        """Note that the store has lost what it had."""
        self._rewound_at.append((self._world.now, kind))

    # -- What happens to programs -------------------------------------------------------------------------------

    def died(self, worker: Worker) -> None:
        """Note when a program was killed."""
        self._deaths[worker.index, worker.epoch] = self._world.now

    def stopped(self, worker: Worker, length: float) -> None:
        """Note when a program stands still."""
        self._stops.append((worker, self._world.now, length))

    def logs_out(self, worker: Worker) -> None:
        """Note that a logout begins."""
        if not self.is_ended and self._config.grant in {"refresh", "code"}:
            self._world.after(self._config.lifetime * 1.1 + LONG_ENOUGH, None, self._end)
        self._ended_at = self._world.now
        self.is_ended = True

    def logged_out(self, worker: Worker) -> None:
        """Note that a logout is done."""

    def _clocks_differ(self) -> bool:
        offsets = [worker.wall_offset for worker in self.workers]
        return max(offsets) - min(offsets) > 0 or any(offsets)

    def check_outage(self, length: float) -> None:
        """Judge how often a server that failed was asked."""
        one = 3 * (length / LEAST_CALL + 2)
        each = self._config.workers * (length / 60 + 1)
        if self.failing_attempts > one + each and not self._is_excused_by_store():
            self.violation(f"{self.failing_attempts} attempts at a server that failed for {length:.0f} s")
        self.failing_attempts = 0

    def check_end(self) -> None:
        """Judge what the whole history cost: who adopts a token only looks, and takes no lock."""
        locks = self.store.counts["lock"]
        most = self.calls * (2 + self._config.workers / 2) + 2 * self._config.workers
        if not self.begun and not self._config.paths and locks > most:
            self.violation(f"{locks} locks for {self.calls} token calls")

    def summary(self) -> dict[str, Any]:
        """Return what was counted."""
        return dict(self.counts)
