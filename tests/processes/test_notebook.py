"""A notebook, where an event loop always runs: sync sessions work in it, and so does `await` at the top."""

from __future__ import annotations

from typing import Any

from oauth_auth.testing import LocalProvider

from .running import running


def test_a_notebook(provider: LocalProvider, settings: dict[str, Any]) -> None:
    """Each library works in each way, and after a restart the kernel goes on with the stored token."""
    with running("-m", "tests.processes.programs.notebook", settings=settings) as program:
        first, second = program.read()
    expected = ["True", *["200"] * 4, "1", *["200"] * 3, "1", "True", "True"]
    assert expected == first
    assert expected == second
    # One first token for both kernels, and a renewal in each.
    assert 3 == len(provider.token_requests)
