"""Mistakes of ours in a procedure of effects, each of which mypy and pyright find. Checked by both, never run."""

from __future__ import annotations

from oauth_auth._flight import do
from oauth_auth._renewal.effects import Load, Loaded, Save
from oauth_auth._renewal.entry import Entry
from oauth_auth._server.calls import Run, Steps


def save_taken_for_a_load() -> Steps[Loaded]:
    return (yield from do(Save(Entry())))  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def load_taken_for_its_entry() -> Steps[Entry]:
    entry: Entry = yield from do(Load())  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    return entry


def a_result_taken_for_an_effect() -> Steps[None]:
    yield from do(Loaded(Entry(), is_ok=True))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def what_users_code_returns() -> Steps[None]:
    text: str = yield from do(Run(lambda: 5, 1.0))  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del text
