"""A short run of the chaos, and what its judge holds against a run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.chaos.judge import Run, judge
from benchmarks.chaos.troubles import STORES, Span
from tests.servers.programs import redis_server


@pytest.mark.parametrize("store", STORES)
def test_nothing_fails_that_need_not(store: str) -> None:
    """Processes on one store survive kills, outages, revocations and a store in trouble."""
    if store == "redis":
        redis_server()
    command = [sys.executable, "-m", "benchmarks.chaos", "--seconds", "8", "--seed", "7", "--store", store]
    # In a group of its own, so that nothing is left of it, whatever happens.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=100)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert 0 == process.returncode, said


GOOD = {"what": "request", "group": "user", "begun": 9.0, "time": 9.1, "ok": True}
FAILED = {**GOOD, "ok": False, "error": "TokenTransportError: …", "held_a_valid_token": False}


def entry(time: float, worker: str, spent: str | None, refresh: str | None) -> dict[str, Any]:
    grant = "password" if spent is None else "refresh_token"
    status = 400 if refresh is None else 200
    return {
        "time": time,
        "worker": worker,
        "group": "user",
        "grant": grant,
        "status": status,
        "spent": spent,
        "refresh": refresh,
    }


REJECTED = {**FAILED, "error": 401, "sent": "x"}
ISSUED = [{**entry(8, "2.1", None, "a"), "access": "x"}]
EXPIRED = [{**entry(5, "2.1", None, "a"), "access": "x"}]
REUSED = [entry(1, "1.1", None, "a"), entry(2, "1.1", "a", "b"), entry(4, "2.1", "a", None)]


def run_of(*lines: dict[str, Any], spans: tuple[Span, ...] = (), kills: Any = None, ledger: Any = ()) -> Run:
    return Run(10.0, 3.0, list(ledger), {"1.1": [GOOD, *lines]}, list(spans), kills or {}, [0.0], [])


@pytest.mark.parametrize(
    ("run", "problems"),
    [
        (run_of(), 0),
        (run_of(FAILED), 1),
        (run_of(FAILED, spans=(Span("outage", 8, 9.05),)), 0),
        (run_of(FAILED, spans=(Span("outage", 7, 8),)), 1),
        (run_of({**FAILED, "held_a_valid_token": True}, spans=(Span("outage", 8, 9.05),)), 1),
        (run_of(REJECTED, ledger=ISSUED), 1),
        (run_of(REJECTED, ledger=ISSUED, spans=(Span("revocation", 9, 9),)), 0),
        (run_of(REJECTED, ledger=ISSUED, spans=(Span("revocation", 7, 7),)), 1),
        (run_of(REJECTED, {"what": "jumped", "time": 5.0, "shift": -3600.0}, ledger=ISSUED), 1),
        (run_of(REJECTED, {"what": "jumped", "time": 5.0, "shift": -3600.0}, ledger=EXPIRED), 0),
        (run_of(REJECTED, ledger=EXPIRED), 1),
        (run_of({**FAILED, "error": "ReauthorizationRequired: …"}), 1),
        (run_of({"what": "event", "event": "waited", "fields": {"duration": 26.0}}), 1),
        (run_of()._replace(dead=[3]), 1),
        (run_of()._replace(lines={}), 1),
        (run_of(ledger=REUSED), 1),
        (run_of(ledger=REUSED, spans=(Span("unusable", 3, 3.5),)), 0),
        (run_of(ledger=REUSED, spans=(Span("unusable", 5, 6),)), 1),
        (run_of(ledger=REUSED, kills={"1.1": 2.1}), 0),
        (run_of({"what": "saved", "refresh": "b", "access": "x"}, ledger=REUSED, kills={"1.1": 2.1}), 1),
        (run_of(ledger=REUSED, kills={"2.1": 3.9}), 0),
        (run_of(ledger=REUSED, kills={"2.1": 4.1}), 0),
        (run_of(ledger=REUSED, kills={"2.1": 5.0}), 1),
        (run_of(ledger=REUSED, kills={"3.1": 2.1}), 1),
    ],
)
def test_the_judge_is_strict(run: Run, problems: int) -> None:
    """What a token could have prevented counts, whatever else went wrong at other times."""
    assert problems == len(judge(run).problems)
