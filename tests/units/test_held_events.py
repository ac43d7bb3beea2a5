"""What a flight emits: held until its outcome is out, then told in order, in its context, whoever's thread it is."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oauth_auth import _events
from oauth_auth._events import emit
from oauth_auth._flight import Flight, attempt
from tests.support.copies import forks, in_child
from tests.support.waiting import await_silence, refuse_threads
from tests.units.test_flight import LOOPS, in_thread

Heard = list[tuple[str, Any]]


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[str], object]], Heard]]:
    """Add a listener; return what it has been told, with what it returned."""
    before = list(_events.listeners)

    def listen(about: Callable[[str], object] = lambda _: None) -> Heard:
        heard: Heard = []
        _events.listeners.append(lambda event, _: heard.append((event, about(event))))
        return heard

    yield listen
    _events.listeners[:] = before


Listen = Callable[..., Heard]


def say(event: str) -> None:
    emit(logging.DEBUG, event, "something has happened")


THREADS = pytest.mark.parametrize("has_thread", [True, False], ids=["apart", "here"])


@THREADS
def test_it_is_over_when_its_events_are_told(listen: Listen, monkeypatch: pytest.MonkeyPatch, has_thread: bool) -> None:
    """Who listens finds the flight landed, and itself no part of it; events come in order."""
    if not has_thread:
        refuse_threads(monkeypatch)

    def work() -> str:
        for event in ("one", "two", "three"):
            say(event)
        told_meanwhile.extend(heard)
        return "result"

    told_meanwhile: Heard = []
    flight = Flight(work)
    heard = listen(lambda _: (flight.is_under_way, flight.is_reentrant))
    assert "result" == flight.wait()
    assert [(event, (False, False)) for event in ("one", "two", "three")] == heard
    assert [] == told_meanwhile


@THREADS
def test_work_that_raises_is_told_of_too(listen: Listen, monkeypatch: pytest.MonkeyPatch, has_thread: bool) -> None:
    """Work must not raise; if it does, its events are told all the same."""
    if not has_thread:
        refuse_threads(monkeypatch)

    def work() -> None:
        say("one")
        raise ValueError

    heard, flight = listen(), Flight(work)
    with pytest.raises(ValueError):
        flight.wait()
    await_silence()
    assert [("one", None)] == heard


def test_they_are_told_in_the_flights_context(listen: Listen) -> None:
    """Context variables have the values that they had when the flight began: those of a request's trace, say."""
    variable = contextvars.ContextVar("variable", default="default")
    heard = listen(lambda _: variable.get())
    variable.set("mine")
    flight: Flight[None] = Flight(lambda: say("one"))
    flight.start()
    variable.set("another's")
    flight.wait()
    assert [("one", "mine")] == heard


def test_callers_leave_listeners_a_moment(listen: Listen, patience: float) -> None:
    """What's told soon is told before callers go on."""
    assert 0.05 <= patience <= 0.5
    moment, heard = threading.Event(), listen(lambda _: moment.wait(0.05))
    Flight(lambda: say("one")).wait()
    assert [("one", False)] == heard


def test_callers_wait_for_listeners_no_longer(listen: Listen, patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that blocks holds up nobody who waits in a thread."""
    monkeypatch.setattr(Flight, "patience", patience)
    go_on = threading.Event()
    heard = listen(lambda _: go_on.wait(20))
    assert None is Flight(lambda: say("one")).wait()
    assert [] == heard
    go_on.set()
    await_silence()
    assert [("one", True)] == heard


@LOOPS
def test_tasks_wait_for_listeners_no_longer(
    listen: Listen, patience: float, monkeypatch: pytest.MonkeyPatch, run_loop: Callable[..., Any]
) -> None:
    """Nor anybody who waits in a task."""
    monkeypatch.setattr(Flight, "patience", patience)
    go_on = threading.Event()
    heard = listen(lambda _: go_on.wait(20))
    assert None is run_loop(Flight(lambda: say("one")).wait_async)
    assert [] == heard
    go_on.set()
    await_silence()
    assert [("one", True)] == heard


def test_telling_here_holds_up_nobody_else(listen: Listen, monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    """Where no thread can begin, others who wait for the flight get its outcome while one who waited tells."""
    refuse_threads(monkeypatch)
    monkeypatch.setattr(Flight, "patience", patience)
    works, go_on, tells = threading.Event(), threading.Event(), threading.Event()

    def work() -> str:
        assert works.wait(20)
        say("one")
        return "result"

    def tell(_: str) -> bool:
        tells.set()
        return go_on.wait(20)

    heard, flight = listen(tell), Flight(work)
    thread, _ = in_thread(flight.wait)
    other, outcomes = in_thread(flight.wait)
    works.set()
    assert tells.wait(20)
    assert "result" == flight.wait()
    go_on.set()
    for waiting in (thread, other):
        waiting.join(20)
    assert ["result"] == [outcome.value for outcome in outcomes]
    assert [("one", True)] == heard


# -- Work within work -----------------------------------------------------------------------------------------------


def test_an_attempt_belongs_to_its_flight(listen: Listen) -> None:
    """What an attempt emits in its thread is held with the rest; what one that was given up emits later is told."""
    has_said, is_given_up = threading.Event(), threading.Event()

    def say_twice() -> None:
        say("in time")
        has_said.set()
        assert is_given_up.wait(20)
        say("late")

    def work() -> None:
        say("before")
        attempts.append(attempt(say_twice))
        attempts[0].start()
        assert has_said.wait(20)
        told_meanwhile.extend(heard)

    attempts: list[Flight[Any]] = []
    told_meanwhile: Heard = []
    heard = listen()
    Flight(work).wait()
    assert ["before", "in time"] == [event for event, _ in heard]
    assert [] == told_meanwhile
    is_given_up.set()
    attempts[0].wait()
    assert ["before", "in time", "late"] == [event for event, _ in heard]


def test_a_flight_in_another_is_told_first(listen: Listen) -> None:
    """Work that waits for other work goes on when that has landed, which is told apart from it."""
    heard = listen()

    def inner_work() -> None:
        say("inner")

    def work() -> None:
        say("outer")
        Flight(inner_work).wait()

    Flight(work).wait()
    assert [("inner", None), ("outer", None)] == heard


def test_a_flight_in_another_is_told_with_it_if_it_has_no_thread(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done in the very thread of work that's waited for must not be told there before that has landed."""
    told_meanwhile: Heard = []
    heard = listen()

    def work() -> None:
        say("before")
        refuse_threads(monkeypatch)
        Flight(lambda: say("inner")).wait()
        say("after")
        told_meanwhile.extend(heard)

    Flight(work).wait()
    assert ["before", "inner", "after"] == [event for event, _ in heard]
    assert [] == told_meanwhile


def test_what_nobody_waits_for_is_told_at_once(listen: Listen) -> None:
    """Work that goes on for long, begun in a flight, tells each event when it happens, once that flight has landed."""
    go_on, has_said, has_landed = (threading.Event() for _ in range(3))
    heard = listen()

    def long_work() -> None:
        say("held")
        has_said.set()
        assert has_landed.wait(20)
        say("at once")
        told_meanwhile.extend(event for event, _ in heard)
        assert go_on.wait(20)

    def work() -> None:
        long.start()
        assert has_said.wait(20)
        assert [] == heard

    told_meanwhile: list[str] = []
    long = Flight(long_work, holds_events=False)
    Flight(work).wait()
    has_landed.set()
    go_on.set()
    long.wait()
    assert ["held", "at once"] == told_meanwhile


@forks
def test_a_child_holds_nothing(listen: Listen) -> None:
    """A child of a fork that's made in a flight has no thread that would tell: it tells at once."""
    heard = listen()

    def child() -> Heard:
        say("in the child")
        return heard

    assert [("in the child", None)] == Flight(lambda: in_child(child)).wait()


# -- What comes of telling ------------------------------------------------------------------------------------------


def test_events_that_come_of_events_come_to_an_end(listen: Listen) -> None:
    """A listener that causes an event with each event is told of the first such, and no more."""
    flights: list[Flight[None]] = []

    def cause_another(event: str) -> None:
        flights.append(Flight(lambda: say(f"{event}+")))
        flights[-1].wait()

    heard = listen(cause_another)
    Flight(lambda: say("event")).wait()
    await_silence()
    assert {("event", None), ("event+", None)} == set(heard)
    assert (2, 2) == (len(heard), len(flights))
    say("next")
    await_silence()
    assert {("next", None), ("next+", None)} == set(heard[2:])


def test_a_listener_leaves_no_time_to_others(listen: Listen) -> None:
    """A listener that waits for another flight goes on at once, since what that has to tell may wait for it."""
    go_on = threading.Event()

    def listener(event: str) -> object:
        if event == "two":
            return go_on.wait(10)
        Flight(lambda: say("two")).wait()
        go_on.set()
        return None

    heard = listen(listener)
    Flight(lambda: say("one")).wait()
    await_silence()
    assert {("one", None), ("two", True)} == set(heard)


def test_a_record_is_made_when_it_happens(caplog: pytest.LogCaptureFixture) -> None:
    """A record has the time, the thread and the place of its event, not those of telling, and obeys the level then."""
    goes_on = threading.Event()

    def work() -> None:
        with caplog.at_level(logging.DEBUG, "oauth_auth"):
            say("one")
        say("not at this level")
        goes_on.wait(0.05)
        after.append(time.time())

    after: list[float] = []
    Flight(work).wait()
    [record] = [record for record in caplog.records if record.name == "oauth_auth"]
    assert ("one", "say", "oauth_auth-flight") == (vars(record)["oauth_event"], record.funcName, record.threadName)
    assert record.created <= after[0] - 0.04


def test_listeners_know_when_it_happened(listen: Listen) -> None:
    """A listener can tell when the event happened that it's told of; outside of that it's now."""
    heard = listen(lambda _: _events.happened_at())

    def work() -> int:
        say("one")
        return time.time_ns()

    before = time.time_ns()
    after = Flight(work).wait()
    assert after is not None
    assert before <= heard[0][1] <= after <= _events.happened_at()
