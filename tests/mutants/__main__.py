"""Puts each fault into a copy of the package and looks for it where it must be noticed; says which go unnoticed.

    python -m tests.mutants             all of them
    python -m tests.mutants 7 9         those of these guarantees
    python -m tests.mutants --check     put none anywhere: only say which can't be put where they belong, and why

First all is run without any fault, and must pass. A fault counts as caught if a test fails, or an invariant of a
simulated history; an error before or after a test counts for nothing.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence

from tests.mutants import MUTANTS
from tests.mutants.looking import HISTORIES, Found, run_histories, run_tests
from tests.mutants.mutant import Mutant, node_id
from tests.mutants.places import ROOT, Sources
from tests.mutants.running import Job, copies, run, warm_up
from tests.mutants.suggestions import suggestions
from tests.simulation.mutants import MUTANTS as SIMULATED


def look_for(mutant: Mutant, histories: int) -> Callable[[Callable[[Found], object]], None]:
    """Return what looks for a fault."""
    if mutant.histories:
        return functools.partial(run_histories, mutant.histories, histories)
    return functools.partial(run_tests, [node_id(test) for test in mutant.tests])


def without_fault(mutants: Sequence[Mutant], shares: int) -> list[Job]:
    """Return the jobs that look for faults where there are none."""
    tests = sorted({node_id(test) for mutant in mutants for test in mutant.tests})
    kinds = sorted({kind for mutant in mutants for kind in mutant.histories})
    looks = [functools.partial(run_histories, [kind], 20) for kind in kinds]
    looks += [functools.partial(run_tests, share) for number in range(shares) if (share := tests[number::shares])]
    return [Job("without a fault", look, {}) for look in looks]


def misfits(mutants: Sequence[Mutant]) -> int:
    """Say which faults can't be put where they belong, and where that may be now; return how many."""
    sources = Sources(ROOT)
    count = 0
    for mutant in mutants:
        for name, edit, fits in mutant.misfits(sources):
            count += 1
            there = f"fits {fits} times" if sources.find(name) else "isn't there"
            print(f"{mutant.name}: {name} {there}: {edit.old!r}")
            for line in suggestions(sources, name, edit):
                print(f"    {line}")
    return count


def main() -> int:
    """Try the faults, print a table, and return 1 if one of them goes unnoticed."""
    parser = argparse.ArgumentParser(description="Put faults into copies of the package, and look for them.")
    parser.add_argument("guarantees", nargs="*", type=int, help="numbers of guarantees; all if there are none")
    parser.add_argument("-k", metavar="TEXT", default="", help="only faults whose name or place has this in it")
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, help="how many run at once")
    parser.add_argument("-v", action="store_true", help="show what noticed a fault")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="how many a fault is looked for in")
    parser.add_argument("--check", action="store_true", help="only say which faults can't be put where they belong")
    parser.add_argument("--no-check", action="store_true", help="don't look where there's no fault first")
    asked = parser.parse_args()
    mutants = [
        mutant
        for mutant in (*MUTANTS, *SIMULATED)
        if (not asked.guarantees or mutant.guarantee in asked.guarantees) and asked.k in f"{mutant.name} {mutant.place}"
    ]
    if (count := misfits(mutants)) or asked.check:
        print(f"{count} of {len(mutants)} faults can't be put where they belong")
        return 1 if count else 0
    begun, cpu = time.monotonic(), 0.0
    sources = Sources(ROOT)
    warm_up()
    unnoticed: list[str] = []
    harmless = 0
    with copies() as unchanged:
        for _, outcome in () if asked.no_check else run(without_fault(mutants, 2 * asked.j), unchanged, asked.j):
            cpu += outcome.cpu
            if outcome.found.verdict != "SURVIVED":
                sys.exit(f"{outcome.output}\nwithout any fault: {outcome.found.where}")
        print(f"without any fault nothing fails ({time.monotonic() - begun:.0f} s)", flush=True)
        jobs = [Job(one.name, look_for(one, asked.histories), one.changed(sources)) for one in mutants]
        known = {mutant.name: mutant for mutant in mutants}
        for job, outcome in run(jobs, unchanged, asked.j):
            mutant, (verdict, where) = known[job.name], outcome.found
            cpu += outcome.cpu
            if verdict == "SURVIVED" and mutant.why_not and not mutant.is_defect:
                verdict, where = "harmless", mutant.why_not
                harmless += 1
            if verdict not in {"caught", "harmless"}:
                unnoticed.append(mutant.name)
            number = "" if mutant.guarantee is None else mutant.guarantee
            print(
                f"{number:2}  {verdict:10}  {outcome.seconds:5.1f} s ({outcome.cpu:4.1f} of CPU)  {mutant.name}",
                flush=True,
            )
            if asked.v or verdict == "NO VERDICT":
                print(f"      {where}")
            if asked.v and verdict == "NO VERDICT":
                print(outcome.output)
    taken = f"{(time.monotonic() - begun) / 60:.1f} minutes, {cpu / 60:.1f} of CPU"
    caught = len(mutants) - harmless - len(unnoticed)
    print(f"{len(mutants)} faults: {caught} caught, {harmless} harmless, {len(unnoticed)} not caught, in {taken}")
    for name in unnoticed:
        print(f"not caught: {name}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
