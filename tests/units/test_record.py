"""Immutable values of named fields."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import pytest

from oauth_auth._record import Record, replace


class Point(Record):
    """A place, with a field that may be left out."""

    x: int
    y: int = 0


class Place(Record):
    """A record of another class with the same fields."""

    x: int
    y: int = 0


class Named(Point):
    """A record with the fields of another and one of its own."""

    name: str = ""


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (Point(1), "Point(x=1, y=0)"),
        (Point(1, 2), "Point(x=1, y=2)"),
        (Point(y=2, x=1), "Point(x=1, y=2)"),
        (Named(1, name="home"), "Named(x=1, y=0, name='home')"),
        (replace(Point(1), y=3), "Point(x=1, y=3)"),
    ],
)
def test_fields_are_given_by_place_or_name(record: Point, text: str) -> None:
    """Fields come in their order or by name; those with a value may be left out."""
    assert text == repr(record)


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (Point, "x, y"),
        (lambda: Point(1, 2, 3), "x, y"),  # type: ignore[call-arg]
        (lambda: Point(1, 2, y=3), "x, y"),  # type: ignore[misc]
        (lambda: Point(1, z=3), "x, y"),  # type: ignore[call-arg]
        (lambda: replace(Point(1), z=3), "x, y"),
        (lambda: Named(y=1, name="home"), "x, y, name"),  # type: ignore[call-arg]
    ],
)
def test_arguments_that_do_not_fit_raise(make: Callable[[], Point], fields: str) -> None:
    """Too few, too many, two for one field and unknown ones raise TypeError, which names the fields."""
    with pytest.raises(TypeError, match=re.escape(f"takes {fields}")):
        make()


def test_records_are_equal_by_class_and_fields() -> None:
    """Records of two classes are never equal, as named tuples are."""
    assert Point(1) == Point(1, 0)
    assert hash(Point(1)) == hash(Point(1, 0))
    assert len({Point(1), Point(1, 1), Point(2), Place(1), Named(1)}) == 5
    assert Point(1) != Point(1, 1)
    assert Point(1) != Place(1)
    assert Point(1) != Named(1)
    assert Point(1) != (1, 0)


def test_records_do_not_change() -> None:
    """A field can be neither set nor deleted, nor can another attribute be added."""
    point = Point(1)
    for name in ("x", "z"):
        with pytest.raises(AttributeError, match=rf"Point\.{name} can't be set"):
            setattr(point, name, 2)
        with pytest.raises(AttributeError, match=rf"Point\.{name} can't be deleted"):
            delattr(point, name)
    assert Point(1) == point


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda point: pickle.loads(pickle.dumps(point))])
def test_records_are_copied_and_pickled(duplicate: Callable[[Point], Point]) -> None:
    """Copies are equal."""
    assert Named(1, 2, "home") == duplicate(Named(1, 2, "home"))
