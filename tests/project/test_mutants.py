from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from tests.mutants import MUTANTS
from tests.mutants.__main__ import Run
from tests.mutants.mutant import ROOT, node_id
from tests.simulation.mutants import MUTANTS as SIMULATED


def test_each_mutant_can_be_made() -> None:
    """The text that a mutant replaces is in its file once."""
    assert {} == {mutant.name: mutant.occurrences() for mutant in MUTANTS if mutant.occurrences() != 1}
    assert [] == [mutant.name for mutant in MUTANTS if mutant.text == mutant.replacement]


def test_each_fault_for_the_simulator_can_be_made() -> None:
    """The texts that it replaces, too, are in their files once."""
    replaced = [(fault.name, *one) for fault in SIMULATED for one in ((fault.file, fault.old, fault.new), *fault.more)]
    counts = {(name, old): (ROOT / file).read_text(encoding="utf-8").count(old) for name, file, old, _ in replaced}
    assert {} == {key: count for key, count in counts.items() if count != 1}
    assert [] == [name for name, _, old, new in replaced if old == new]


def test_no_two_mutants_have_one_name() -> None:
    """A name says which fault it is."""
    assert [] == [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1]


def test_each_guarantee_has_mutants() -> None:
    """Each promise about the package has faults that would break it; that documentation runs is its own test."""
    assert {*range(1, 19), *range(20, 40)} == {mutant.guarantee for mutant in MUTANTS}


def test_the_tests_that_notice_mutants_exist() -> None:
    """Each node id is that of a test, in a mode in which `make test` runs it: so that finds them all."""
    tests = sorted({node_id(test) for mutant in MUTANTS for test in mutant.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *tests]
    collected = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == collected.returncode, collected.stdout[-2000:] + collected.stderr[-2000:]


def test_the_promises_cite_the_tests_that_notice() -> None:
    """docs/guarantees.md names, for each promise, the modules whose tests notice when it's broken."""
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    rows = {int(line.split("|")[1]): line for line in page.splitlines() if line.startswith("| ") and line[2].isdigit()}
    uncited = {
        (mutant.guarantee, module)
        for mutant in MUTANTS
        for test in mutant.tests
        if (module := test.partition("::")[0]) not in rows[mutant.guarantee]
    }
    assert set() == uncited


@pytest.mark.parametrize(
    ("status", "output", "verdict"),
    [
        (0, "3 passed", "SURVIVED"),
        (1, "FAILED tests/a.py::test_b - assert 1 == 2\n1 failed", "caught"),
        (1, "ERROR tests/a.py::test_b - a fixture raised\n1 error", "NO VERDICT"),
        (2, "ERROR tests/a.py - SyntaxError\n1 error", "NO VERDICT"),
        (4, "ERROR: not found", "NO VERDICT"),
        (None, "FAILED tests/a.py::test_b, and then it hung", "NO VERDICT"),
    ],
)
def test_only_a_test_that_fails_catches_a_mutant(status: int | None, output: str, verdict: str) -> None:
    """What keeps the tests from running says nothing about them."""
    assert verdict == Run(status, output, 1.0).verdict
