"""What a run comes to. A failed request counts as preventable unless one of these holds:

- the token endpoint was out of order during it (failing, or within the `Retry-After` that it had asked for), and the
  worker had no valid token: the one it held before, unless that had expired by its own clock, which may be a wrong
  one, is tried again after the failure, and if the API takes it, the request could have succeeded;
- its answer is a second 401, since the replay's token, a sibling's, was issued before all tokens were revoked, or its
  family was lost for a reason below. A request is replayed once;
- its answer is a second 401, since the replay's token had expired, which the worker couldn't know from its clock,
  or by that of the worker that had got the token: it was set wrong;
- the store was out of order, and the worker's grant has no other way to a token;
- the user has to log in, because a family of refresh tokens was lost for a reason below, or hasn't done so for long.

A family of refresh tokens counts as lost without need unless

- a worker was killed between sending a refresh and having saved what it brought: either the one that got the newest
  refresh token, or the one whose request was still on its way when it was killed, while a sibling, to which the system
  gave the lock at once, used the same refresh token; or
- the store was in trouble (out of reach, left alone after it had hung, or damaged) between the renewal and the reuse.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from .troubles import Span

__all__ = ["Run", "Verdict", "judge"]

SLACK = 0.25
"""Between an event and its being noted, in seconds."""
RETRY_AFTER = 1.0
ADOPTION = 1.5
"""Within which a new login is adopted, in seconds."""
LONGEST_LOGIN = 8.0
LONGEST_WAIT = 25.0
"""A killed holder's lock takes 15 s at most, a token call 10 s."""
STORE_TROUBLES = {"unusable": 1.0, "stopped": 1.0, "hung": 8.0, "damage": 0.0}
"""How long, in seconds, after each trouble a store may still not be used: one that hung is left alone for a while."""
ENDPOINT_TROUBLES = {"outage": SLACK, "too_many": RETRY_AFTER + SLACK}


class Run(NamedTuple):
    """What happened: the server's ledger, the workers' lines, the troubles, kills by worker, and logins."""

    seconds: float
    lifetime: float
    ledger: list[dict[str, Any]]
    lines: dict[str, list[dict[str, Any]]]
    spans: list[Span]
    kills: dict[str, float]
    logins: list[float]
    dead: list[int]


class Verdict(NamedTuple):
    rows: list[tuple[str, str]]
    problems: list[str]


def judge(run: Run) -> Verdict:
    requests = [(worker, line) for worker, lines in run.lines.items() for line in lines if line["what"] == "request"]
    problems: list[str] = []
    losses = lost_families(run)
    problems += [f"a family was lost without need: {loss}" for loss in losses if loss["reason"] is None]
    reasons: Counter[str] = Counter()
    for worker, line in requests:
        if not line["ok"]:
            reason = excuse(run, losses, worker, line)
            reasons[reason or "preventable"] += 1
            if reason is None:
                problems.append(f"a failure that a token could have prevented: worker {worker}, {line}")
    waits = sorted(
        line["fields"]["duration"]
        for lines in run.lines.values()
        for line in lines
        if line["what"] == "event" and line["event"] == "waited"
    )
    if waits and waits[-1] > LONGEST_WAIT:
        problems.append(f"a request waited {waits[-1]:.1f} s for its token")
    problems += [f"worker {number} ended by itself" for number in run.dead]
    if not any(line["ok"] for _, line in requests):
        problems.append("no request succeeded")
    rows = [
        ("requests", str(len(requests))),
        ("failures that a token could have prevented", str(reasons.pop("preventable", 0))),
        *((f"other failures: {reason}", str(count)) for reason, count in sorted(reasons.items())),
        ("requests that waited for a token", waits_text(waits)),
        *((f"token calls of {group}", text) for group, text in token_calls(run)),
        ("families lost without need", str(sum(loss["reason"] is None for loss in losses))),
        *((f"families lost: {reason}", str(count)) for reason, count in sorted(causes(losses).items())),
        ("kills", str(len(run.kills))),
        ("troubles", ", ".join(f"{kind} {n}" for kind, n in sorted(Counter(s.kind for s in run.spans).items()))),
    ]
    return Verdict(rows, problems)


def excuse(run: Run, losses: list[dict[str, Any]], worker: str, line: dict[str, Any]) -> str | None:
    """Return why a request failed that no token could have helped, or None."""
    begun, ended, error = line["begun"], line["time"], line["error"]
    if line["held_a_valid_token"]:
        return None
    if error == 401:
        return why_rejected_twice(run, losses, worker, line)
    if str(error).startswith("ReauthorizationRequired"):
        needed = line["group"] == "login" and waits_for_a_person(run, losses, begun, ended)
        return "the user had to log in" if needed else None
    for kind, tail in ENDPOINT_TROUBLES.items():
        if any(span.kind == kind and span.touches(begun, ended, tail) for span in run.spans):
            return "token endpoint out of order, no valid token"
    if line["group"] == "login" and "store" in str(error) and store_trouble(run, begun, ended):
        return "store out of order, and nothing but its token helps"
    return None


def why_rejected_twice(run: Run, losses: list[dict[str, Any]], worker: str, line: dict[str, Any]) -> str | None:
    ended = line["time"]
    issued = next((entry for entry in run.ledger if entry["access"] == line["sent"]), None)
    if issued is None:
        return None
    ends = [span.ended for span in run.spans if span.kind == "revocation"]
    ends += [loss["time"] for loss in losses if loss["group"] == line["group"]]
    if any(issued["time"] <= time <= ended + SLACK for time in ends):
        return "rejected twice, around a revocation or a family's end"
    is_expired = issued["time"] + run.lifetime <= ended
    if is_expired and (clock_is_wrong(run, worker, ended) or clock_is_wrong(run, issued["worker"], issued["time"])):
        return "rejected twice, by a clock that was wrong"
    return None


def clock_is_wrong(run: Run, worker: str, time: float) -> bool:
    """Return whether a worker's clock was set wrong, then or some seconds before."""
    jumps = [line for line in run.lines.get(worker, ()) if line["what"] == "jumped" and line["time"] <= time]
    return any(line["shift"] != 0 for line in jumps[-2:])


def waits_for_a_person(run: Run, losses: list[dict[str, Any]], begun: float, ended: float) -> bool:
    """Return whether the login's tokens were lost before, and whether there was no new login yet to be adopted."""
    lost = [loss["time"] for loss in losses if loss["group"] == "login"]
    lost += [span.begun for span in run.spans if span.kind == "damage"]
    for time in lost:
        again = next((login for login in run.logins if login > time), float("inf"))
        until = min(again, time + LONGEST_LOGIN) + ADOPTION
        if time - SLACK <= ended and (begun <= until or store_trouble(run, until, begun)):
            return True
    return False


def store_trouble(run: Run, begun: float, ended: float) -> bool:
    return any(
        span.kind in STORE_TROUBLES and span.touches(begun, ended, STORE_TROUBLES[span.kind]) for span in run.spans
    )


def lost_families(run: Run) -> list[dict[str, Any]]:
    """Return each reuse of a refresh token that ended a family, and why it came to that."""
    saved = {line["refresh"] for lines in run.lines.values() for line in lines if line["what"] == "saved"}
    family: dict[str, str] = {}
    spent_by: dict[str, dict[str, Any]] = {}
    lost: set[str] = set()
    losses = []
    for entry in run.ledger:
        spent = entry["spent"]
        if entry["status"] == 200 and entry["refresh"] is not None:
            family[entry["refresh"]] = family.get(spent, entry["refresh"])
            if spent is not None:
                spent_by[spent] = entry
        elif spent in spent_by and family[spent] not in lost:
            lost.add(family[spent])
            first = spent_by[spent]
            losses.append(
                {
                    "time": entry["time"],
                    "group": entry["group"],
                    "spent by": (first["worker"], first["time"]),
                    "used again by": entry["worker"],
                    "reason": cause(run, first, entry, saved),
                }
            )
    return losses


def cause(run: Run, first: dict[str, Any], second: dict[str, Any], saved: set[str | None]) -> str | None:
    is_unsaved = first["worker"] in run.kills and first["refresh"] not in saved
    if is_unsaved or was_sent_by_the_dead(run, second):
        return "killed between sending a refresh and having saved what it brought"
    return "the store was in trouble" if store_trouble(run, first["time"] - SLACK, second["time"]) else None


def was_sent_by_the_dead(run: Run, entry: dict[str, Any]) -> bool:
    """Tell whether a request was served when its worker had been killed, or in that moment."""
    return entry["time"] >= run.kills.get(entry["worker"], float("inf")) - SLACK


def causes(losses: list[dict[str, Any]]) -> Counter[str]:
    return Counter(loss["reason"] for loss in losses if loss["reason"] is not None)


def token_calls(run: Run) -> list[tuple[str, str]]:
    """Return for each group the calls that brought a token, and how many lifetimes the run had."""
    groups = Counter(entry["group"] for entry in run.ledger if entry["status"] == 200)
    lifetimes = run.seconds / run.lifetime
    return [(group, f"{calls} in {lifetimes:.0f} lifetimes") for group, calls in sorted(groups.items())]


def waits_text(waits: list[float]) -> str:
    if not waits:
        return "0"
    return f"{len(waits)}; median {waits[len(waits) // 2]:.3f} s, longest {waits[-1]:.2f} s"
