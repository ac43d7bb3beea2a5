"""Put faults into a copy of the package, one at a time, and see whether the simulator finds them.

python -m tests.simulation.mutants [--histories 500] [NAME ...]. Each is a text replaced in one file, and runs in a
process of its own. Ends with status 1 if too few are found, or one of the defects that a review had found isn't.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["MUTANTS", "Mutant"]

ROOT = Path(__file__).parents[2]
HISTORIES = 500
MOST_UNFOUND = 5
NO_SHARING = (
    "        failure = self._stored.entry.failure\n        if failure is None or",
    "        failure = None\n        if failure is None or",
)
RENEWAL, SERVER = "oauth_auth/_renewal", "oauth_auth/_server"


class Mutant(NamedTuple):
    """A fault: what is replaced by what, and in histories of which kinds it's looked for."""

    name: str
    file: str
    old: str
    new: str
    kinds: tuple[str, ...]
    is_defect: bool = False
    more: tuple[tuple[str, str, str], ...] = ()
    """What else is replaced: a file, and the texts as above."""
    why_not: str = ""
    """If no history can find it: why it changes nothing that is promised."""


MUTANTS = [
    # -- Defects of before --------------------------------------------------------------------------------------
    Mutant(
        "1: a refresh asks for the scope that was asked for at first",
        f"{SERVER}/grants.py",
        "                if scope is None or error.error != OAuthProviderError.INVALID_SCOPE:\n"
        "                    raise\n"
        "                token = yield from self._operate(operation, refresh_token, None, key=key)\n",
        "                self.bury([digest(refresh_token)])\n                raise\n",
        ("calm",),
        is_defect=True,
    ),
    Mutant(
        "2: what couldn't be saved isn't tried again",
        f"{RENEWAL}/renewer.py",
        "        if saver is None and is_at_stake:",
        "        if False:",
        ("store",),
        is_defect=True,
    ),
    Mutant(
        "3: what a store brings is newer, though it's known to have been replaced",
        f"{RENEWAL}/merge.py",
        "    if known.has_superseded(token):",
        "    if False:",
        ("store loses",),
        is_defect=True,
    ),
    Mutant(
        "4: a logout leaves no mark",
        f"{RENEWAL}/logins.py",
        "        if ended and (yield Save(",
        "        if False and (yield Save(",
        ("logout",),
        is_defect=True,
    ),
    Mutant(
        "5: any request that is accepted ends the spacing of renewals",
        f"{RENEWAL}/source.py",
        "                if is_replay or path in breaker.vain_paths or breaker.is_over(self._clock()):",
        "                if True:",
        ("api",),
        is_defect=True,
    ),
    Mutant(
        "23: a flight is over before what it brings is published",
        f"{RENEWAL}/renewer.py",
        "        self._publish(state)\n        self._flight = None\n",
        "        self._flight = None\n        self._publish(state)\n",
        ("calm",),
        is_defect=True,
    ),
    Mutant(
        "38: the judge knows nothing of programs that are killed with a refresh on its way",
        "tests/simulation/invariants.py",
        "        self._deaths[worker.index, worker.epoch] = self._world.now\n",
        "        return\n",
        ("killed",),
        is_defect=True,
    ),
    Mutant(
        "A: a lock is gone without after 30 s, whether or not it changes hands",
        f"{RENEWAL}/token_making.py",
        "            if self._stored.entry != seen:\n"
        "                begun, seen = self._clock().monotonic, self._stored.entry\n"
        "            if self._clock().monotonic >= begun + self._entry.lock_wait:\n"
        "                if is_spare:\n                    break\n"
        "                is_spare, begun = True, self._clock().monotonic\n",
        "            if self._clock().monotonic >= begun + self._entry.lock_wait:\n                break\n",
        ("crowd",),
        is_defect=True,
        more=((f"{RENEWAL}/known_tokens.py", *NO_SHARING),),
    ),
    Mutant(
        "B: an adopted token that is rejected is final",
        f"{RENEWAL}/landing.py",
        "        return FlightOutcome(credential, None, is_replacement, is_new)",
        "        return FlightOutcome(credential, None, True, is_new)",
        ("revoked",),
        is_defect=True,
    ),
    Mutant(
        "C: who was held up sends what may be spent by now",
        f"{RENEWAL}/effects.py",
        "        is_spending = isinstance(effect, Ask) and effect.is_single_use",
        "        is_spending = False",
        ("stopped",),
        is_defect=True,
    ),
    # -- Decisions ----------------------------------------------------------------------------------------------
    Mutant(
        "a decision writes while a flight is under way",
        f"{RENEWAL}/decisions.py",
        "        return (Wait(), state) if around.is_running else _launch",
        "        return (Wait(), state._replace()) if around.is_running else _launch",
        ("calm",),
    ),
    Mutant(
        "tokens are sent after they have expired",
        f"{RENEWAL}/decisions.py",
        "        return current if current is not None and now.wall < current.expires_at else None",
        "        return current",
        ("calm", "server"),
    ),
    Mutant(
        "callers wait as soon as the window begins",
        f"{RENEWAL}/decisions.py",
        "    if now.wall >= current.stale_at and failure is None and",
        "    if now.wall >= current.due_at and failure is None and",
        ("calm",),
    ),
    Mutant(
        "no renewal before callers have to wait",
        f"{RENEWAL}/decisions.py",
        "    return Send(current, Purpose(Reason.DUE, can_wait=now.wall < current.stale_at)), later",
        "    return Send(current), later",
        ("calm",),
    ),
    Mutant(
        "a refresh token is used in the window though the store is in trouble",
        f"{RENEWAL}/decisions.py",
        "can_wait=now.wall < current.stale_at)",
        "can_wait=False)",
        ("store",),
    ),
    Mutant(
        "a late 401 for an old token is renewed for",
        f"{RENEWAL}/decisions.py",
        "    newer = current if current is not None and current.header != rejected else None",
        "    newer = None",
        ("api", "revoked"),
    ),
    Mutant(
        "Retry-After holds no callers",
        f"{RENEWAL}/backoff.py",
        "        return is_final(self.error) or asked.remaining(now) > 0",
        "        return is_final(self.error)",
        ("server",),
    ),
    Mutant(
        "every failure holds callers",
        f"{RENEWAL}/backoff.py",
        "        return is_final(self.error) or asked.remaining(now) > 0",
        "        return True",
        ("server",),
    ),
    Mutant(
        "a failed renewal takes the token away",
        f"{RENEWAL}/decisions.py",
        "        state = self._replace(failure=failure)\n",
        "        return State(failure=failure)\n",
        ("server",),
    ),
    Mutant(
        "a failure puts nothing off",
        f"{RENEWAL}/decisions.py",
        "        return state.due_again_at(min(max(current.stale_at, now.wall), now.wall + failure.cooldown.length))",
        "        return state._replace_failure() if False else State(current)",
        ("server",),
    ),
    Mutant(
        "callers in the last seconds wait though the last renewal has just failed",
        f"{RENEWAL}/decisions.py",
        "        return has_failed or self.deferred_at >= due_at or around.is_retrying",
        "        return False",
        ("server", "store", "stopped"),
        why_not="callers in the last seconds wait for a limited time, and the old token is sent after it: they "
        "wait longer, and for less than the bounds of a wait",
    ),
    Mutant(
        "no time-out in the last seconds",
        f"{RENEWAL}/decisions.py",
        "        return Wait(launch, timeout=(current.expires_at - now.wall) / 2), state",
        "        return Wait(launch), state",
        ("server", "calm"),
        why_not="a wait without a limit ends with the flight, within token_timeout, and then the old token has expired "
        "at worst: a caller that decides anew waits no longer than the bounds of a wait",
    ),
    # -- Backoff ------------------------------------------------------------------------------------------------
    Mutant(
        "Retry-After is ignored",
        f"{RENEWAL}/backoff.py",
        '    return min(getattr(error, "retry_after", None) or 0.0, _LONGEST_RETRY_AFTER)',
        "    return 0.0",
        ("server",),
    ),
    Mutant(
        "pauses after a failure don't exist",
        f"{RENEWAL}/backoff.py",
        "        seconds = chance.uniform(longest / 2, longest)",
        "        seconds = 0.0",
        ("server",),
    ),
    Mutant(
        "a pause has no end",
        f"{RENEWAL}/backoff.py",
        "        seconds = chance.uniform(longest / 2, longest)",
        "        seconds = 100_000.0",
        ("server",),
    ),
    Mutant(
        "renewals for an origin that rejects everything aren't spaced",
        f"{RENEWAL}/backoff.py",
        "        if times >= free:",
        "        if False:",
        ("api",),
    ),
    Mutant(
        "a path that has accepted the token is refused a renewal, too",
        f"{RENEWAL}/backoff.py",
        "        return self.cooldown.remaining(now) > 0 and (path, header) not in self.accepting",
        "        return self.cooldown.remaining(now) > 0",
        ("api",),
    ),
    # -- Merge --------------------------------------------------------------------------------------------------
    Mutant(
        "what a sibling stored isn't taken",
        f"{RENEWAL}/merge.py",
        "    if trusts_store or known.last is None or _expiry(token) >= _expiry(known.last):",
        "    if known.last is None:",
        ("calm",),
    ),
    Mutant(
        "the store is always right",
        f"{RENEWAL}/merge.py",
        "    trusts_store = known.has_read and not known.is_unsaved",
        "    trusts_store = True",
        ("store", "mixed"),
        why_not="a stored token that isn't known to be replaced, beside an unsaved one of ours, is one that a sibling "
        "made meanwhile: whichever is taken, the other stays as the previous one and is asked if this one is refused",
    ),
    Mutant(
        "the store is never trusted",
        f"{RENEWAL}/merge.py",
        "    trusts_store = known.has_read and not known.is_unsaved",
        "    trusts_store = False",
        ("calm", "store", "clocks"),
        why_not="a sibling's newer token expires later than the one before wherever lifetimes are alike and clocks "
        "agree to a renewal's length, so the later expiry says the same",
    ),
    Mutant(
        "the token that a sibling's has replaced is forgotten",
        f"{RENEWAL}/merge.py",
        "            token, previous, token, has_read=True",
        "            token, None, token, has_read=True",
        ("store", "store loses", "mixed"),
        why_not="the previous token is of use only if the server still takes it though its successor is refused, which "
        "none of the simulated servers does",
    ),
    Mutant(
        "a mark of a logout is overlooked",
        f"{RENEWAL}/merge.py",
        "        return ended if known.is_ended_by(stored.logged_out) else known._replace(in_store=None)",
        "        return known._replace(in_store=None)",
        ("logout",),
    ),
    # -- Acquisition --------------------------------------------------------------------------------------------
    Mutant(
        "no look before the lock",
        f"{RENEWAL}/acquisition.py",
        "        token = yield from self._look(excluded)\n        if purpose.reason is Reason.LOGIN:",
        "        token = None\n        if purpose.reason is Reason.LOGIN:",
        ("calm",),
    ),
    Mutant(
        "no second look under the lock",
        f"{RENEWAL}/token_making.py",
        "                    if token is not None:\n"
        "                        return Acquired(token, is_own=False)\n"
        "                    self._raise_shared_failure(purpose)\n            try:",
        "                    self._raise_shared_failure(purpose)\n            try:",
        ("calm", "revoked"),
    ),
    Mutant(
        "no lock",
        f"{RENEWAL}/token_making.py",
        "            found = yield from self._take_lock(purpose, excluded)\n",
        "            found = None\n",
        ("calm", "revoked"),
    ),
    Mutant(
        "a lock that's taken is gone without at once",
        f"{RENEWAL}/token_making.py",
        "            if not may_wait:\n                return Deferred()\n",
        "            if not may_wait:\n                return None\n",
        ("calm", "server"),
    ),
    Mutant(
        "all that wait for a stopped holder go on at once",
        f"{RENEWAL}/token_making.py",
        "                if is_spare:\n                    break\n                is_spare, begun",
        "                break\n                is_spare, begun",
        ("standstill",),
    ),
    Mutant(
        "who waits for the lock doesn't look meanwhile",
        f"{RENEWAL}/token_making.py",
        "                if token is not None:\n                    return Acquired(token, is_own=False)\n"
        "                self._raise_shared_failure(purpose)\n            if self._stored",
        "                pass\n            if self._stored",
        ("crowd", "calm"),
        why_not="whoever gets the lock looks then: the wait is longer in a large fleet, which the fleet's figures show",
    ),
    Mutant(
        "a new token isn't saved",
        f"{RENEWAL}/token_making.py",
        "        yield from self._save()\n        return Acquired(token, is_own=True)",
        "        return Acquired(token, is_own=True)",
        ("calm",),
    ),
    Mutant(
        "the lock is released before the token is saved",
        f"{RENEWAL}/token_making.py",
        "        yield from self._save()\n        return Acquired(token, is_own=True)",
        "        yield Unlock()\n        yield from self._save()\n        return Acquired(token, is_own=True)",
        ("calm", "revoked", "crowd"),
    ),
    Mutant(
        "no look after a refusal",
        f"{RENEWAL}/token_making.py",
        "            if (adopted := (yield from self._look(excluded))) is not None:",
        "            if (adopted := None) is not None:",
        ("store", "store loses", "stopped", "mixed"),
        why_not="who holds the lock has looked under it, so only a sibling that went on without the lock can have been "
        "faster: by then the login is lost, by (2), or the store can't be read in this look either",
    ),
    Mutant(
        "a lock that was lost isn't noticed before saving",
        f"{RENEWAL}/token_making.py",
        "        is_ours = yield StillHeld()\n        self.known",
        "        is_ours = True\n        self.known",
        ("stopped", "mixed"),
        why_not="a lock that's lost here is exception (2): where refresh tokens rotate the sibling's refresh has ended "
        "the login; elsewhere both tokens are good, and the one that expires earlier is stored",
    ),
    Mutant(
        "failures aren't shared",
        f"{RENEWAL}/known_tokens.py",
        *NO_SHARING,
        ("crowd", "server"),
    ),
    Mutant(
        "a shared failure is shared again",
        f"{RENEWAL}/token_making.py",
        "        result = yield from self._under_lock(purpose, excluded, make)\n        if isinstance(result, Auth",
        "        try:\n            result = yield from self._under_lock(purpose, excluded, make)\n"
        "        except TokenError as error:\n            yield from self._share_failure(error, excluded)\n"
        "            raise\n        if isinstance(result, Auth",
        ("crowd", "server"),
    ),
    Mutant(
        "what is unsaved waits for the lock",
        f"{RENEWAL}/acquisition.py",
        "        if (yield Lock(0.0)) is Locked.TAKEN and not self.known.is_only_here:",
        "        if (yield Lock(0.0)) is Locked.TAKEN:",
        ("store",),
    ),
    Mutant(
        "what can't be read is overwritten",
        f"{RENEWAL}/known_tokens.py",
        "        if self._stored.is_ok and (yield Save(entry)):",
        "        if (yield Save(entry)):",
        ("store", "mixed"),
        why_not="a store that can't be read can't be written either in the simulated outages, and a save that works "
        "puts the newest token there",
    ),
    Mutant(
        "a second logout deletes the first one's mark",
        f"{RENEWAL}/logins.py",
        " | (stored.logged_out or frozenset())",
        "",
        ("logout",),
    ),
    # -- Landing ------------------------------------------------------------------------------------------------
    Mutant(
        "a landing publishes, but the flight isn't over",
        f"{RENEWAL}/renewer.py",
        "        self._publish(state)\n        self._flight = None\n",
        "        self._publish(state)\n",
        ("calm",),
        why_not="a flight that has ended counts as none, whether or not it's still referred to",
    ),
    Mutant(
        "a look that found the lock taken is not repeated",
        f"{RENEWAL}/landing.py",
        "        self._conclude(self._still_valid().deferred(self._clock()))",
        "        state = self._still_valid()\n"
        "        self._conclude(state.due_again_at(state.credential.stale_at) if state.credential else state)",
        ("calm",),
        why_not="exception (8): the next request may come after the window, too",
    ),
    Mutant(
        "a flight that has failed for good lands as deferred",
        f"{RENEWAL}/landing.py",
        "        state = state.failed(ours, self._clock(), self._chance, times=self.acquisition.shared_times)",
        "        state = state.deferred(self._clock())",
        ("server",),
    ),
    # -- Token calls and grants ---------------------------------------------------------------------------------
    Mutant(
        "no pause before another attempt",
        f"{SERVER}/calls.py",
        "            yield Sleep(pause)\n",
        "",
        ("server",),
    ),
    Mutant(
        "Retry-After is ignored within a call",
        f"{SERVER}/calls.py",
        "            pause = max(self._chance.uniform(*bounds), failure.retry_after or 0.0)",
        "            pause = self._chance.uniform(*bounds)",
        ("server",),
    ),
    Mutant(
        "a refresh token isn't waited for as long as there's time",
        f"{SERVER}/calls.py",
        "half, left if single_use else half, single_use)",
        "half, 0.2 if single_use else half, single_use)",
        ("calm", "answers"),
    ),
    Mutant(
        "a spent refresh token isn't remembered as dead",
        f"{SERVER}/grants.py",
        "        if token.refresh_token != refresh_token:\n            self.bury([digest(refresh_token)])\n",
        "",
        ("logout", "store", "mixed"),
        why_not="a token that was replaced is remembered by merge as well, and the one that was given is asked last",
    ),
    Mutant(
        "an answer without a refresh token ends the old one",
        f"{SERVER}/grants.py",
        "            return dataclasses.replace(token, refresh_token=refresh_token)",
        "            return token",
        ("calm",),
    ),
    Mutant(
        "a refresh that isn't answered with a token ends the refresh token",
        f"{SERVER}/grants.py",
        "            if ends_refresh_token(error):\n                self.bury([digest(refresh_token)])\n"
        "            raise\n        if token",
        "            self.bury([digest(refresh_token)])\n            raise\n        if token",
        ("server",),
    ),
]


def search(kinds: tuple[str, ...], histories: int) -> dict[str, Any]:
    """Return the first history that breaks an invariant, and how many it took: in the process of a mutant."""
    from .histories import draw, run, shorten

    begun = time.process_time()
    for number in range(histories):
        kind = kinds[number % len(kinds)]
        config = draw(number, kind)
        result = run(config)
        if result.violations:
            shortest = shorten(config)
            return {
                "number": number + 1,
                "kind": kind,
                "seed": number,
                "violation": result.violations[0],
                "seconds": time.process_time() - begun,
                "shortest": str(shortest),
            }
    return {"number": None, "seconds": time.process_time() - begun}


def try_out(mutant: Mutant, histories: int) -> dict[str, Any]:
    """Put the fault into a copy, and look for it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("oauth_auth", "tests/simulation"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "tests/__init__.py").touch()
        for file, old, new in ((mutant.file, mutant.old, mutant.new), *mutant.more):
            path = copy / file
            text = path.read_text(encoding="utf-8")
            if text.count(old) != 1:
                return {"number": None, "stale": old}
            path.write_text(text.replace(old, new), encoding="utf-8")
        call = f"search({mutant.kinds!r}, {histories})"
        code = f"import json; from tests.simulation.mutants import search; print(json.dumps({call}))"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode != 0:
            return {"number": None, "crashed": done.stderr.strip().splitlines()[-1:]}
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def main() -> None:
    """Try all mutants, or those whose names contain one of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="how many histories each is looked for in")
    arguments = parser.parse_args()
    chosen = [one for one in MUTANTS if not arguments.names or any(name in one.name for name in arguments.names)]
    missed: list[Mutant] = []
    for mutant in chosen:
        found = try_out(mutant, arguments.histories)
        if found["number"] is None:
            missed.append(mutant)
            reason = mutant.why_not if found.keys() == {"number", "seconds"} else str(found)
            print(f"- {mutant.name}: not found: {reason or '**no reason is known**'}", flush=True)
        else:
            where = f"draw({found['seed']}, {found['kind']!r}), {found['seconds']:.1f} s"
            print(f"✓ {mutant.name}: after {found['number']} histories ({where})")
            print(f"    {found['violation'][:160]}\n    {found['shortest']}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} found")
    unexplained = [mutant.name for mutant in missed if mutant.is_defect or not mutant.why_not]
    if unexplained:
        raise SystemExit(f"not found: {', '.join(unexplained)}")


if __name__ == "__main__":
    main()
