"""What the run of foreign suites goes by: its list is well-formed, and each disagreement with it is noticed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.foreign.__main__ import LIBRARIES
from tests.foreign.differences import FILE, broken, judge, read

ENTRY = '[[difference]]\nlibrary = "httpx"\nreason = "{reason}"\ntests = [{tests}]\n'


def test_the_list_is_well_formed() -> None:
    """Each entry is of a suite that's run, and each reason is given once for each library."""
    entries = read(FILE.read_text(encoding="utf-8"))
    assert set(LIBRARIES) == {entry.library for entry in entries}
    assert {1} == set(Counter((entry.library, entry.reason) for entry in entries).values())
    assert [sorted(entry.tests) for entry in entries] == [entry.tests for entry in entries]


@pytest.mark.parametrize(
    "text",
    [
        ENTRY.format(reason="", tests='"tests/a.py::test"'),
        ENTRY.format(reason="so", tests=""),
        ENTRY.format(reason="so", tests='"tests/a.py"'),
        ENTRY.format(reason="so", tests='"a.py::test"'),
        ENTRY.format(reason="so", tests='"tests/a.py::test", "tests/a.py::test"'),
        2 * ENTRY.format(reason="so", tests='"tests/a.py::test"'),
    ],
    ids=["no reason", "no test", "a module", "no path", "twice in one", "twice"],
)
def test_a_list_that_is_not_well_formed_is_refused(text: str) -> None:
    """An entry names tests, each once, and says why."""
    with pytest.raises(ValueError, match=r"reason|test"):
        read(text)


@pytest.mark.parametrize(
    ("before", "after", "is_broken"),
    [
        ("passed", "passed", False),
        ("passed", "failed", True),
        ("passed", "skipped", True),
        ("passed", "xfailed", True),
        ("passed", None, True),
        ("failed", "failed", False),
        ("failed", "passed", False),
        ("skipped", "failed", False),
        ("xfailed", "passed", False),
        (None, "failed", False),
    ],
)
def test_what_passed_has_to_pass(before: str | None, after: str | None, is_broken: bool) -> None:
    """A test that passes as it is has to pass with an auth object: to be skipped, or not to run, isn't enough."""
    outcomes = [{} if outcome is None else {"test": outcome} for outcome in (before, after)]
    assert ({"test"} if is_broken else set()) == broken(*outcomes)


@pytest.mark.parametrize(
    ("tests", "listed", "unlisted", "stale"),
    [
        ("", "", "", ""),
        ("ab", "ba", "", ""),
        ("ab", "b", "a", ""),
        ("b", "ab", "", "a"),
        ("da", "cb", "ad", "bc"),
    ],
)
def test_each_disagreement_with_the_list_is_noticed(tests: str, listed: str, unlisted: str, stale: str) -> None:
    """Broken tests that aren't listed count, and so do listed ones that aren't broken."""
    assert ([*unlisted], [*stale]) == judge(tests, listed)
