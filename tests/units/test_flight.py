"""A flight, the steps around it, and the two runners that wait for them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
import trio

from oauth_auth._flight import Flight, Outcome, capture, carry_out, mark_retrying, run, run_async


class Held:
    """Work that goes on until it's let go."""

    def __init__(self, result: object = "result") -> None:
        self.result = result
        self.begun = threading.Event()
        self.calls = 0
        self._end = threading.Event()

    def __call__(self) -> object:
        self.calls += 1
        self.begun.set()
        assert self._end.wait(20)
        return self.result

    def end(self) -> None:
        self._end.set()


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[Outcome[object]]]:
    """Call a function in a thread; return it, and where its outcome will be."""
    outcomes: list[Outcome[object]] = []
    thread = threading.Thread(target=lambda: outcomes.append(capture(function)))
    thread.start()
    return thread, outcomes


def await_waiting(flight: Flight[Any], count: int) -> None:
    """Block until so many wait for the flight."""
    moment = threading.Event()
    for _ in range(10_000):
        if flight.waiting == count:
            return
        moment.wait(0.001)
    raise AssertionError(flight.waiting)


def in_asyncio(function: Callable[[], Any]) -> Any:
    return asyncio.run(function())


def in_trio(function: Callable[[], Any]) -> Any:
    return trio.run(function)


LOOPS = pytest.mark.parametrize("run_loop", [in_asyncio, in_trio], ids=["asyncio", "trio"])


# -- Steps ----------------------------------------------------------------------------------------------------------


class Step:
    """A step that brings a value, or raises an error."""

    def __init__(self, result: object) -> None:
        self.result = result

    def wait(self) -> object:
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    async def wait_async(self) -> object:
        return self.wait()


def adding(*results: object) -> Generator[Step, Any, list[object]]:
    """Yield a step for each result; return what came of each, errors included."""
    seen: list[object] = []
    for result in results:
        try:
            seen.append((yield Step(result)))
        except BaseException as error:
            seen.append(error)
    return seen


ERROR, INTERRUPT = ValueError("no"), KeyboardInterrupt()


def test_results_and_errors_are_passed_back() -> None:
    """What comes of a step is what the generator goes on with: a value, an error, Ctrl-C, too."""
    assert ["a", ERROR, INTERRUPT, None] == run(adding("a", ERROR, INTERRUPT, None))


@LOOPS
def test_tasks_go_the_same_way(run_loop: Callable[..., Any]) -> None:
    """The runner for tasks does the same."""
    assert ["a", ERROR, None] == run_loop(lambda: run_async(adding("a", ERROR, None)))


@LOOPS
def test_an_error_that_nobody_catches_is_the_callers(run_loop: Callable[..., Any]) -> None:
    """An error that the steps let through is raised."""

    def steps() -> Generator[Step, Any, None]:
        yield Step(ERROR)

    with pytest.raises(ValueError, match="no"):
        run(steps())
    with pytest.raises(ValueError, match="no"):
        run_loop(lambda: run_async(steps()))


def test_whatever_is_yielded_can_be_performed() -> None:
    """A function says what comes of each thing that is yielded."""

    def steps() -> Generator[int, Any, int]:
        return (yield 1) + (yield 2)  # type: ignore[no-any-return]

    assert 30 == carry_out(steps(), lambda number: number * 10)


def test_steps_without_a_step_return_at_once() -> None:
    """A generator that yields nothing returns."""
    assert [] == run(adding())


@LOOPS
def test_cancellation_reaches_the_steps(run_loop: Callable[..., Any]) -> None:
    """A task that's cancelled while it waits has its steps told, and the flight goes on."""
    held, told = Held(), []
    flight = Flight(held)

    class Landing:
        def wait(self) -> Any: ...

        async def wait_async(self) -> Any:
            return await flight.wait_async()

    def steps() -> Generator[Any, Any, None]:
        try:
            yield Landing()
        except BaseException as error:
            told.append(type(error))
            raise

    async def cancel_in_asyncio() -> None:
        task = asyncio.create_task(run_async(steps()))
        await asyncio.to_thread(await_waiting, flight, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def cancel_in_trio() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_async, steps())
            while flight.waiting == 0:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    if run_loop is in_asyncio:
        asyncio.run(cancel_in_asyncio())
    else:
        trio.run(cancel_in_trio)
    assert ([asyncio.CancelledError if run_loop is in_asyncio else trio.Cancelled], 0, True) == (
        told,
        flight.waiting,
        flight.is_under_way,
    )
    held.end()
    assert "result" == flight.wait()


# -- Outcomes -------------------------------------------------------------------------------------------------------


def raising(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize("error", [ERROR, INTERRUPT, SystemExit(1)], ids=lambda error: type(error).__name__)
def test_whatever_is_raised_is_captured(error: BaseException) -> None:
    """An error of any kind is an outcome, and is raised where it's unwrapped."""
    outcome = capture(lambda: raising(error))
    assert Outcome(None, error) == outcome
    with pytest.raises(type(error)):
        outcome.unwrap()


def test_what_is_returned_is_captured() -> None:
    """A value is an outcome, and is returned where it's unwrapped."""
    assert "value" == capture(lambda: "value").unwrap()


# -- A flight -------------------------------------------------------------------------------------------------------


def test_all_who_wait_get_one_outcome() -> None:
    """The work is done once, however many wait, and each of them is counted while it waits."""
    held = Held()
    flight = Flight(held)
    waiting = [in_thread(flight.wait) for _ in range(5)]
    await_waiting(flight, 5)
    held.end()
    for thread, _ in waiting:
        thread.join(20)
    assert [Outcome("result")] * 5 == [outcome for _, [outcome] in waiting]
    assert (1, 0) == (held.calls, flight.waiting)
    assert not flight.is_under_way


@LOOPS
def test_tasks_wait_and_are_counted(run_loop: Callable[..., Any]) -> None:
    """Tasks of either kind of event loop wait for a flight, and get its outcome when it has landed, too."""
    held = Held()
    flight = Flight(held)

    async def wait() -> object:
        return await flight.wait_async()

    thread, outcomes = in_thread(lambda: run_loop(wait))
    await_waiting(flight, 1)
    held.end()
    thread.join(20)
    assert ([Outcome("result")], 0) == (outcomes, flight.waiting)
    assert "result" == run_loop(wait)


@LOOPS
def test_a_wait_may_end_before_the_flight(run_loop: Callable[..., Any]) -> None:
    """Who waits for so long only gets None, is counted no more, and the flight goes on."""
    held = Held()
    flight = Flight(held)

    async def wait() -> object:
        return await flight.wait_async(0.0)

    assert (None, None) == (flight.wait(0.0), run_loop(wait))
    assert (0, True) == (flight.waiting, flight.is_under_way)
    held.end()
    assert "result" == flight.wait()


def test_a_wait_tells_that_it_waits() -> None:
    """Who waits with a time-out is called meanwhile, so that it notices if the program stood still."""
    held, ticks = Held(), []
    flight = Flight(held)
    assert None is flight.wait(0.0, lambda: ticks.append("tick"))
    held.end()
    flight.wait(20.0, lambda: ticks.append("late"))
    assert ["tick"] == ticks


@LOOPS
def test_work_that_raises_is_raised_by_all_who_wait(run_loop: Callable[..., Any]) -> None:
    """Work must not raise; if it does, nobody waits for ever."""
    flight: Flight[object] = Flight(lambda: raising(ERROR))

    async def wait() -> object:
        return await flight.wait_async()

    with pytest.raises(ValueError, match="no"):
        flight.wait()
    with pytest.raises(ValueError, match="no"):
        run_loop(wait)


def test_it_starts_once() -> None:
    """However often it's begun, the work is done once, in a thread that's named."""
    names = []
    flight = Flight(lambda: names.append(threading.current_thread().name))
    assert (False, True) == (flight.has_started, flight.is_under_way)
    for _ in range(3):
        flight.start(in_background=True)
    flight.wait()
    assert (["oauth_auth-flight"], True) == (names, flight.has_started)


@pytest.mark.parametrize("is_daemon", [False, True])
def test_only_what_may_hang_is_a_daemon(is_daemon: bool) -> None:
    """The interpreter waits at its exit for a flight, but not for work that may hang."""
    flight = Flight(lambda: threading.current_thread().daemon, daemon=is_daemon)
    assert is_daemon is flight.wait()


def test_a_flight_sees_its_callers_context() -> None:
    """Context variables have in the work the values that they had where it was begun."""
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("mine")
    assert "mine" == Flight(variable.get).wait()


def test_where_no_thread_can_start_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """At exit there are no threads any more: who waits does the work, and what's in the background waits for that."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    flight = Flight(threading.current_thread)
    flight.start(in_background=True)
    assert not flight.has_started
    assert threading.current_thread() is flight.wait()


# -- Within a flight ------------------------------------------------------------------------------------------------


def test_a_callback_knows_its_flight() -> None:
    """Code that is part of a flight would wait for itself; so would what it runs in its context."""
    seen: list[bool] = []

    def work() -> None:
        seen.append(flight.is_reentrant)
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(lambda: seen.append(flight.is_reentrant),))
        thread.start()
        thread.join(20)

    flight: Flight[None] = Flight(work)
    flight.wait()
    assert [True, True] == seen
    assert not flight.is_reentrant


def test_a_flight_within_a_flight_is_both() -> None:
    """Code in an inner flight would wait for itself in the outer one, too; one that has landed is of no matter."""
    seen: dict[str, bool] = {}
    ended: Flight[None] = Flight(lambda: None)

    def inner_work() -> None:
        seen.update(outer=outer.is_reentrant, inner=inner.is_reentrant, ended=ended.is_reentrant)

    inner: Flight[None] = Flight(inner_work)

    def work() -> None:
        ended.wait()
        inner.wait()

    outer: Flight[None] = Flight(work)
    outer.wait()
    assert {"outer": True, "inner": True, "ended": False} == seen


def test_those_around_know_that_it_is_tried_again() -> None:
    """Work that has failed once marks all flights that it's part of, and no other."""
    other: Flight[None] = Flight(lambda: None)
    inner: Flight[None] = Flight(mark_retrying)
    outer: Flight[object] = Flight(inner.wait)
    mark_retrying()
    outer.wait()
    assert (True, True, False) == (outer.is_retrying, inner.is_retrying, other.is_retrying)


# -- Ctrl-C ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [1, 2], ids=["of the thread's start", "for the result"])
def test_ctrl_c_between_two_steps_of_a_condition(monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    """Ctrl-C that meets a condition without its lock comes out as what it is, and the work goes on for the next."""
    real, caller, waits = threading.Condition.wait, threading.current_thread(), 0

    def wait(condition: threading.Condition, timeout: float | None = None) -> bool:
        nonlocal waits
        if threading.current_thread() is caller:
            waits += 1
            if waits == which:
                condition.release()
                raise KeyboardInterrupt
        return real(condition, timeout)

    work = Held()
    flight = Flight(work)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Condition, "wait", wait)
        with pytest.raises(KeyboardInterrupt):
            flight.wait()
    work.end()
    assert "result" == flight.wait(20)
    assert (0, 1) == (flight.waiting, work.calls)
