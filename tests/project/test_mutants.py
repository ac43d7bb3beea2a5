from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import indent

import pytest

from tests.mutants import MUTANTS
from tests.mutants.edits import Edit, drop, insert, never, remove, replace
from tests.mutants.mutant import node_id
from tests.mutants.places import ROOT, Sources, places
from tests.simulation.histories import draw
from tests.simulation.mutants import MUTANTS as SIMULATED

ALL = (*MUTANTS, *SIMULATED)


def test_each_fault_can_be_made() -> None:
    """What a mutant replaces is once in what it names; what it puts there can stand there, and isn't the same."""
    sources = Sources(ROOT)
    assert {} == {mutant.name: misfits for mutant in ALL if (misfits := mutant.misfits(sources))}
    assert [] == [mutant.name for mutant in ALL if not mutant.changed_trees(sources)]
    assert [] == [mutant.name for mutant in ALL for _, edit in mutant.changes if edit.old == edit.new != ""]


def test_each_fault_is_looked_for() -> None:
    """By tests, which say which guarantee it breaks, or by the simulator, in histories of kinds that there are."""
    assert [] == [mutant.name for mutant in MUTANTS if not mutant.tests or mutant.guarantee is None or mutant.histories]
    assert [] == [mutant.name for mutant in SIMULATED if not mutant.histories or mutant.tests]
    assert all(draw(0, kind) for mutant in SIMULATED for kind in mutant.histories)


def test_no_two_mutants_have_one_name() -> None:
    """A name says which fault it is."""
    assert [] == [name for name, count in Counter(mutant.name for mutant in ALL).items() if count > 1]


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
        if (module := test.partition("::")[0]) not in rows[mutant.guarantee or 0]
    }
    assert set() == uncited


def test_only_a_test_that_fails_catches_a_mutant(tmp_path: Path) -> None:
    """What keeps the tests from running says nothing about them."""
    expected = {
        "def test_it(): pass": "SURVIVED",
        "def test_it(): assert 1 == 2": "caught",
        "def test_it(tmp_path): raise ValueError": "caught",
        "def test_it(): no_such_name": "NO VERDICT",
        "import no_such_module": "NO VERDICT",
        "def test_it(no_such_fixture): pass": "NO VERDICT",
        "no python": "NO VERDICT",
        "": "NO VERDICT",
    }
    for number, source in enumerate(expected):
        (tmp_path / f"test_{number}.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-c", _VERDICTS, *sorted(map(str, tmp_path.iterdir()))]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [*expected.values()] == [line[3:] for line in output.splitlines() if line.startswith(">> ")]


_VERDICTS = """
import os, sys
import hypothesis, oauth_auth.testing
from tests.mutants.looking import run_tests

output = os.dup(1)  # pytest captures the other
for file in sys.argv[1:]:
    if (process := os.fork()) == 0:
        run_tests([file], lambda found: (os.write(output, f"\\n>> {found.verdict}\\n".encode()), os._exit(0)))
    os.waitpid(process, 0)
"""


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ("return f(a) + 1", replace("f(a)", "b"), "return b + 1"),
        ("return f(a,\n  b = 'c')", replace('f(a, b="c")', "0"), "return 0"),
        ("return f(a, b=1)", replace("b=1", "b=2"), "return f(a, b=2)"),
        ("return f(a, b=1)", drop("b=1"), "return f(a)"),
        ("return a and b", drop("a"), "return b"),
        ("return {1, 2}", drop("1"), "return {2}"),
        ("if a: b()", drop("b()"), "if a: pass"),
        ("if a: b()\nreturn", drop("if a: ..."), "return"),
        ("if a: b()\nreturn", never("a"), "if False: b()\nreturn"),
        ("a()\nb()", replace("a()\nb()", "b()\na()"), "b()\na()"),
        ("try: a()\nexcept A: b()", replace("except A: ...", "except B: ..."), "try: a()\nexcept B: b()"),
        ("a()\nb()", insert("return", before="b()"), "a()\nreturn\nb()"),
        ("return f(a, b=1)", replace("f(...)", "0"), "return 0"),
        ("return f(a)", remove(), None),
    ],
)
def test_what_a_fault_does_to_a_tree(before: str, edit: Edit, after: str | None) -> None:
    """It's found however it's written, and what stands there instead is what was said."""
    tree, expected = (ast.parse(f"def f():\n{indent(text, '  ')}" if text else "pass") for text in (before, after))
    (place,) = (place for place in places("f.py", tree) if place.name == "f")
    (spot,) = edit.spots(place.node, place.siblings)
    edit.apply(spot)
    assert ast.unparse(expected) == ast.unparse(tree)


def test_what_fits_more_than_once_is_no_fault() -> None:
    """An edit that could be made in two spots says too little."""
    (place,) = (place for place in places("f.py", ast.parse("def f(): return a or a")) if place.name == "f")
    assert 2 == len(drop("a").spots(place.node, place.siblings))
