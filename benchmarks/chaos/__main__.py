"""Put processes under load and have things go wrong: python -m benchmarks.chaos [--seconds N] [--store S] [--seed N].

Ends with status 1 if a request failed that a token could have saved, or a refresh token was lost without need.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .._server import remote_provider
from .fleet import Fleet, Person
from .judge import Run, judge
from .troubles import STORES, Troubles

LIFETIME = 3.0
SHOWN = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="for each store (default: 120)")
    parser.add_argument("--store", choices=[*STORES, "both"], default="both")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of an earlier run, to repeat it")
    parser.add_argument("--keep", type=Path, help="a folder for what the processes write down")
    arguments = parser.parse_args()
    problems = []
    for name in STORES if arguments.store == "both" else [arguments.store]:
        print(f"{name} store, {arguments.seconds:.0f} s, seed {arguments.seed}", flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.keep or Path(temporary)) / name
            folder.mkdir(parents=True)
            verdict = judge(outcome := run(name, folder, arguments.seconds, f"{name} {arguments.seed}"))
            (folder / "run.json").write_text(json.dumps(outcome._replace(lines={})._asdict()))
        for what, count in verdict.rows:
            print(f"  {what}: {count}")
        for problem in verdict.problems[:SHOWN]:
            print(f"  ✗ {problem}", flush=True)
        problems += verdict.problems
    print("all is as promised" if not problems else f"{len(problems)} problems; --seed {arguments.seed} repeats them")
    sys.exit(1 if problems else 0)


def run(name: str, folder: Path, seconds: float, seed: str) -> Run:
    """Run everything once; all processes end with it."""
    chance = random.Random(seed)
    with STORES[name](folder) as store, remote_provider(token_lifetime=LIFETIME) as provider:
        person = Person(provider, store.place)
        ended = threading.Event()
        person.log_in(ended)
        troubles = Troubles(provider, store, random.Random(chance.random()))
        with Fleet(provider, store.place, folder, random.Random(chance.random())) as fleet:
            begun = time.monotonic()
            until = begun + seconds
            watch = threading.Thread(target=person.watch, args=(ended,))
            kills = threading.Thread(target=kill, args=(fleet, ended, random.Random(chance.random())))
            for thread in (watch, kills):
                thread.start()
            try:
                while time.monotonic() < until:
                    troubles.next(until)
            finally:
                ended.set()
                for thread in (watch, kills):
                    thread.join()
            dead = fleet.dead
        return Run(
            time.monotonic() - begun,
            LIFETIME,
            provider.ledger,
            fleet.lines(),
            troubles.spans,
            fleet.kills,
            person.logins,
            dead,
        )


def kill(fleet: Any, ended: threading.Event, chance: random.Random) -> None:
    """Kill a worker every few seconds."""
    while not ended.wait(chance.uniform(1.0, 4.0)):
        fleet.kill_one()


if __name__ == "__main__":
    main()
