"""The store that all programs share, and its lock. It has latency, but no queue of its own."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Any

from oauth_auth import OAuthToken
from oauth_auth._renewal.effects import Lock
from oauth_auth._renewal.entry import Entry, pack, unpack
from oauth_auth._renewal.store_entry import Locked
from oauth_auth.stores import LockTaken

from .world import World

if TYPE_CHECKING:
    from .flight import Flight
    from .invariants import Judge
    from .worker import Worker

__all__ = ["Facade", "Store"]

POLL = 0.1
"""How often a program that waits for the lock tries it, in seconds."""


class Facade:
    """What a `StoreEntry` is given as its store: it says that there is one, and that its lock takes a time-out."""

    timeout = 5.0

    def load(self, key: str) -> OAuthToken | None:
        raise AssertionError

    def save(self, key: str, token: OAuthToken) -> None:
        raise AssertionError

    def delete(self, key: str) -> None:
        raise AssertionError

    def lock(self, key: str, *, timeout: float = 30.0) -> AbstractContextManager[object]:
        raise AssertionError


class Store:
    """Keeps one entry. What is to go wrong is set by `mode` and `lose`."""

    def __init__(self, world: World, judge: Judge) -> None:
        self._world = world
        self._judge = judge
        self._config = world.config
        self.random = Random(f"{world.config.seed}-store")
        self.entry: OAuthToken | None = None
        self._read: tuple[OAuthToken | None, Entry] = (None, Entry())
        self.changed_at = world.now
        self.past: list[OAuthToken | None] = []
        self.mode = ""
        """`error`, `hang`, or empty if the store works."""
        self.lose = 0
        """How many of the next saves are confirmed and not made."""
        self.counts: Counter[str] = Counter()
        self.holders: dict[bool, Flight] = {}
        """Who has the lock, and the spare one."""
        self._hung: list[tuple[Flight, int, str, Any]] = []
        self._waiting: dict[tuple[Flight, int], tuple[float, bool]] = {}

    def unpacked(self, packed: OAuthToken | None) -> Entry:
        """Return what an entry says, as the library reads it; all read the same, so it's read once."""
        if packed is not self._read[0]:
            self._read = (packed, unpack(packed, {}))
        return self._read[1]

    def delay(self) -> float:
        """Return how long a message to or from the store is on its way."""
        return self._config.store_latency * (0.25 + self.random.random() * 0.5)

    def receive(self, flight: Flight, serial: int, action: str, argument: Any) -> None:
        """Do what a program asks for, dead or alive by now, and answer; not at all if the store hangs."""
        if action == "unlock" and self.mode:  # the kernel frees it, or the lease ends
            self._world.after(self._config.lease, None, self.release, flight)
        if self.mode == "hang":
            self._hung.append((flight, serial, action, argument))
            if serial == flight.serial and not flight.is_dead and not (action == "lock" and argument.timeout):
                flight.wait_long()
            return
        if self.mode:
            flight.answer_after(self.delay(), serial, None, OSError("the store is out of order"))
            return
        self.counts[action] += 1
        result: Any = None
        if action == "load":
            result = self.entry
        elif action == "save":
            self._save(flight, argument)
        elif action == "delete":
            self._replace(None)
        elif action == "is_held":
            result = not self._config.lease or flight in self.holders.values()
        elif action == "unlock":
            self.release(flight)
        elif action == "lock":
            self._lock(flight, serial, argument)
            return
        flight.answer_after(self.delay(), serial, result, None)

    def recover(self) -> None:
        """Work again; calls that hang return now, and those that were given up are done all the same."""
        self.mode = ""
        hung, self._hung = self._hung, []
        for flight, serial, action, argument in hung:
            if flight.is_dead:
                continue
            if flight.serial == serial:
                self.receive(flight, serial, action, argument)
                continue
            flight.come_back()
            if action == "save":
                self._world.note("store", "makes a save that was given up")
                self._save(flight, argument)

    def _save(self, flight: Flight, packed: OAuthToken) -> None:
        if self.lose:
            self.lose -= 1
            self._judge.lost_write(packed)
            self._world.note("store", f"the save of {packed.access_token} is lost")
            return
        self._judge.saved(flight, packed)
        self._replace(packed)

    def _replace(self, packed: OAuthToken | None) -> None:
        self.past.append(self.entry)
        self.entry, self.changed_at = packed, self._world.now

    def rewind(self, steps: int) -> None:
        """Go back to what was stored some saves ago."""
        if self.past:
            self.entry, self.changed_at = self.past[-min(steps, len(self.past))], self._world.now
            self._world.note("store", f"goes back to {self.entry and self.entry.access_token}")

    def restore(self, entry: Entry) -> None:
        """Come back with what another login has left."""
        self._world.note("store", f"comes back with {entry.token and entry.token.access_token}")
        self._replace(pack(entry, {}))

    def empty(self) -> None:
        """Lose everything."""
        self._world.note("store", "is emptied")
        self._replace(None)

    # -- The lock -----------------------------------------------------------------------------------------------

    def _lock(self, flight: Flight, serial: int, effect: Lock) -> None:
        if effect.is_spare not in self.holders:
            self._grant(flight, serial, effect.is_spare)
        elif effect.timeout <= 0:
            flight.answer_after(self.delay(), serial, None, LockTaken("taken"))
        else:
            self._waiting[flight, serial] = (self._world.now, effect.is_spare)
            self._world.after(effect.timeout, flight.worker, self._give_up, flight, serial)

    def _grant(self, flight: Flight, serial: int, is_spare: bool) -> None:
        self.holders[is_spare] = flight
        if flight.is_dead:
            self._world.after(self._config.lease, None, self.release, flight)
        flight.answer_after(self.delay(), serial, Locked.HELD, None)

    def _count_polls(self, since: float) -> None:
        self.counts["poll"] += int((self._world.now - since) / POLL)

    def _give_up(self, flight: Flight, serial: int) -> None:
        since, is_spare = self._waiting.pop((flight, serial), (None, False))
        if since is not None:
            self._count_polls(since)
            if is_spare not in self.holders:
                self._grant(flight, serial, is_spare)
            else:
                flight.answer_after(self.delay(), serial, None, LockTaken("taken"))

    def release(self, flight: Flight) -> None:
        """Free the lock, if it's this flight's."""
        for is_spare, holder in list(self.holders.items()):
            if holder is flight:
                del self.holders[is_spare]
                if self._waiting:
                    self._world.after(self.random.random() * POLL, None, self._next, is_spare)

    def _next(self, is_spare: bool) -> None:
        """Give the lock to one of those who wait for it, and can poll."""
        if is_spare in self.holders:
            return
        for (flight, serial), (since, waits_for) in list(self._waiting.items()):
            if flight.is_dead:
                del self._waiting[flight, serial]
            elif waits_for == is_spare and flight.worker.stopped_until <= self._world.now:
                del self._waiting[flight, serial]
                self._count_polls(since)
                self._grant(flight, serial, is_spare)
                return

    def _held_by(self, worker: Worker) -> list[Flight]:
        return [holder for holder in self.holders.values() if holder.worker is worker]

    def freed_by_death(self, worker: Worker) -> None:
        """Free the lock of a program that was killed: at once, or when its lease ends."""
        for holder in self._held_by(worker):
            self._world.after(self._config.lease, None, self.release, holder)

    def lost_by_standing_still(self, worker: Worker) -> None:
        """Let the lease of a program that stands still end, unless it wakes before."""
        if self._config.lease:
            for holder in self._held_by(worker):
                self._world.after(self._config.lease, None, self._expire, holder)

    def _expire(self, holder: Flight) -> None:
        if holder.worker.stopped_until > self._world.now:
            self.release(holder)
