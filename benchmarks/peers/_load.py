"""Requests from many threads or tasks at once, or steadily: the same load for all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

RATE = 100
WORKERS = 32


class Answer(NamedTuple):
    due: float
    latency: float
    problem: str | None


class Load(NamedTuple):
    answers: list[Answer]
    seconds: float

    @property
    def failures(self) -> int:
        return sum(answer.problem is not None for answer in self.answers)

    @property
    def counts(self) -> Counter[str]:
        """How often each problem was met."""
        return Counter(answer.problem for answer in self.answers if answer.problem)

    @property
    def problems(self) -> str:
        """What failed, and how often."""
        return told(self.counts)

    def slowest(self) -> float:
        return max(answer.latency for answer in self.answers)


def told(counts: Counter[str]) -> str:
    """Return the problems as a table's note."""
    return ", ".join(f"{problem} {count} ×" for problem, count in counts.most_common(3))


class Driver:
    """Use one client from threads or from tasks of one event loop. Each `at` is a moment in seconds and what to do."""

    def __init__(self, client: Any, *, tasks: bool) -> None:
        self._client = client
        self._runner = asyncio.Runner() if tasks else None

    def get(self, url: str) -> str | None:
        """Send one request; return its problem."""
        return self.burst(url, 1).answers[0].problem

    def send(self, call: Callable[[Any], Any]) -> str | None:
        """Send one request, as `call` does with the client, in this thread and at once; return its problem."""
        try:
            answer = self._runner.run(call(self._client)) if self._runner else call(self._client)
        except Exception as error:
            return _problem(error)
        return _problem(answer.status_code)

    def burst(self, url: str, count: int) -> Load:
        """Send so many requests at once."""
        return self._run(url, [0.0] * count, count, ())

    def steady(self, url: str, rate: float, seconds: float, at: Sequence[tuple[float, Callable[[], Any]]] = ()) -> Load:
        """Send requests at a constant rate, whether or not the ones before have been answered.

        A latency counts from when the request was due, so that one that is kept from being sent is slow, too.
        """
        dues = [number / rate for number in range(int(rate * seconds))]
        return self._run(url, dues, WORKERS, at)

    def close(self) -> None:
        if self._runner:
            self._runner.run(self._client.aclose())
            self._runner.close()
        else:
            self._client.close()

    def _run(self, url: str, dues: list[float], workers: int, at: Sequence[tuple[float, Callable[[], Any]]]) -> Load:
        begun = time.perf_counter() + 0.1
        timer = threading.Thread(target=_keep_times, args=(begun, at))
        timer.start()
        if self._runner:
            answers = self._runner.run(self._run_tasks(url, begun, dues))
        else:
            answers = self._run_threads(url, begun, dues, workers)
        taken = time.perf_counter() - begun
        timer.join()
        return Load(answers, taken)

    def _run_threads(self, url: str, begun: float, dues: list[float], workers: int) -> list[Answer]:
        answers: list[Answer] = []
        lock = threading.Lock()
        waiting = iter(dues)

        def work() -> None:
            while True:
                with lock:
                    due = next(waiting, None)
                if due is None:
                    return
                time.sleep(max(0.0, begun + due - time.perf_counter()))
                try:
                    problem = _problem(self._client.get(url).status_code)
                except Exception as error:
                    problem = _problem(error)
                answers.append(Answer(due, time.perf_counter() - begun - due, problem))

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    async def _run_tasks(self, url: str, begun: float, dues: list[float]) -> list[Answer]:
        async def send(due: float) -> Answer:
            try:
                problem = _problem((await self._client.get(url)).status_code)
            except Exception as error:
                problem = _problem(error)
            return Answer(due, time.perf_counter() - begun - due, problem)

        tasks = []
        for due in dues:
            await asyncio.sleep(max(0.0, begun + due - time.perf_counter()))
            tasks.append(asyncio.create_task(send(due)))
        return await asyncio.gather(*tasks)


def _keep_times(begun: float, at: Sequence[tuple[float, Callable[[], Any]]]) -> None:
    for moment, act in at:
        time.sleep(max(0.0, begun + moment - time.perf_counter()))
        act()


def _problem(outcome: int | Exception) -> str | None:
    if isinstance(outcome, int):
        return None if outcome == 200 else f"HTTP {outcome}"
    return type(outcome).__name__
