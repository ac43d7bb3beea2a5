"""Compares the outcomes of a suite with what `differences.toml` lists."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["FILE", "Difference", "Judgement", "broken", "judge", "read"]

FILE = Path(__file__).with_name("differences.toml")


class Difference(NamedTuple):
    """Tests of a library that pass, and fail where sessions and clients have an auth object, for a reason."""

    library: str
    reason: str
    tests: list[str]


class Judgement(NamedTuple):
    """How a list and a suite's outcomes differ: both are empty if they agree."""

    unlisted: list[str]
    """Tests that are broken, and not listed."""
    stale: list[str]
    """Tests that are listed, and not broken."""


def read(text: str) -> list[Difference]:
    """Read the list. Raises `ValueError` for one that isn't well-formed."""
    differences = [Difference(**fields) for fields in tomllib.loads(text)["difference"]]
    tests = [(one.library, test) for one in differences for test in one.tests]
    if len(tests) != len(set(tests)):
        raise ValueError("a test is listed twice")
    for one in differences:
        if not one.reason or not one.tests:
            raise ValueError(f"an entry for {one.library} has no reason, or no test")
        if wrong := [test for test in one.tests if not test.startswith("tests/") or "::" not in test]:
            raise ValueError(f"no ids of tests: {wrong}")
    return differences


def broken(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """Return the tests that passed before, and don't any more; one that isn't run any more is among them."""
    return {test for test, outcome in before.items() if outcome == "passed" and after.get(test) != "passed"}


def judge(tests: Iterable[str], listed: Iterable[str]) -> Judgement:
    """Compare the broken tests with those that are listed."""
    tests, listed = set(tests), set(listed)
    return Judgement(sorted(tests - listed), sorted(listed - tests))
