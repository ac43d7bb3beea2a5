"""How a fault is looked for, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

__all__ = ["HISTORIES", "Found", "run_histories", "run_tests"]

HISTORIES = 500
"""In how many histories a fault is looked for."""
_TEST_SECONDS = 60
"""How long a test may take."""
_MISSAID = ("NameError", "ImportError", "ModuleNotFoundError", "SyntaxError")
"""What a fault raises that isn't one: its new source names what isn't there."""


class Found(NamedTuple):
    """What came of it."""

    verdict: str
    """`caught`; `SURVIVED`, if nothing noticed; `NO VERDICT`, if it couldn't be looked for."""
    where: str = ""
    """What noticed it, or what kept it from being looked for."""


def run_tests(tests: Sequence[str], tell: Callable[[Found], object]) -> None:
    """Run tests up to the first that fails, and tell it at once, since what comes after it may take its time.

    An error before or after a test says nothing of the fault.
    """
    first = _First(tell)
    # The plug-ins of other packages, which take time to load, are for their own users.
    plugins = ["pytest_timeout", "_hypothesis_pytestplugin", "oauth_auth.testing._pytest"]
    options = ["-x", "-q", "--tb=short", f"--timeout={_TEST_SECONDS}", "--disable-plugin-autoload"]
    chosen = [word for name in ("no:cacheprovider", *plugins) for word in ("-p", name)]
    status = pytest.main([*options, *chosen, *tests], plugins=[first])
    tell(Found("SURVIVED" if status == pytest.ExitCode.OK else "NO VERDICT", f"pytest: {status!r}"))


class _First:
    """Tells what the first test that fails says, or what kept one from running."""

    def __init__(self, tell: Callable[[Found], object]) -> None:
        self._tell = tell

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        crash = getattr(report.longrepr, "reprcrash", None)
        message = str(crash.message if crash is not None else report.longrepr).partition("\n")[0]
        is_missaid = message.partition(":")[0] in _MISSAID
        is_caught = report.when == "call" and not is_missaid
        self._tell(Found("caught" if is_caught else "NO VERDICT", f"{report.nodeid} ({report.when}): {message}"))


def run_histories(kinds: Sequence[str], count: int, tell: Callable[[Found], object]) -> None:
    """Simulate histories of these kinds in turn, up to the first that breaks an invariant, and tell it."""
    from tests.simulation.histories import draw, run

    for number in range(count):
        kind = kinds[number % len(kinds)]
        violations = run(draw(number, kind)).violations
        if violations:
            tell(Found("caught", f"history {number + 1}, draw({number}, {kind!r}): {violations[0][:160]}"))
            return
    tell(Found("SURVIVED", f"{count} histories"))
