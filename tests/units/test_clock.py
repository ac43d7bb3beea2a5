"""Time and chance as the library reads them."""

from __future__ import annotations

import copy
import pickle
import random

import pytest
from freezegun import freeze_time

from oauth_auth._clock import CHANCE, Now
from tests.support.steps import at


@pytest.mark.parametrize(
    ("wall", "monotonic", "seconds"), [(5.0, 5.0, 5.0), (100.0, 5.0, 100.0), (5.0, 100.0, 100.0), (-100.0, 5.0, 5.0)]
)
def test_the_clock_that_counted_more_counts(wall: float, monotonic: float, seconds: float) -> None:
    """A suspended machine stops one clock and setting the time moves the other: the longer stretch is taken."""
    begun = at(0)
    assert seconds == Now(begun.wall + wall, begun.monotonic + monotonic).since(begun)


def test_the_clock_can_be_moved_by_tools() -> None:
    """Both clocks are read through the module, so that freezegun moves them."""
    with freeze_time("2030-01-01T00:00:00Z") as frozen:
        begun = Now.read()
        frozen.tick(10)
        assert 10.0 == pytest.approx(Now.read().since(begun))
    assert 1_893_456_000.0 == begun.wall


def test_chance_is_the_systems() -> None:
    """A program that seeds `random` gets its own numbers undisturbed, and its siblings don't all wait equally long."""
    random.seed(1)
    state, numbers = random.getstate(), [CHANCE.uniform(0, 1) for _ in range(5)]
    assert state == random.getstate()
    random.seed(1)
    assert numbers != [CHANCE.uniform(0, 1) for _ in range(5)]
    assert all(0 <= number <= 1 for number in numbers)


def test_chance_can_be_copied() -> None:
    """What holds it can be pickled and copied."""
    for again in (pickle.loads(pickle.dumps(CHANCE)), copy.deepcopy(CHANCE)):
        assert 2 <= again.uniform(2, 3) <= 3
