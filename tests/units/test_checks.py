"""Checks of what users pass: the value, or a `ConfigurationError` that names it and says what to write instead."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oauth_auth import ConfigurationError
from oauth_auth._wire.checks import require_encodable, require_flag, require_seconds, require_text


@pytest.mark.parametrize("value", ["x", " ", "ü", "🙂", "a\nb"])
def test_text_is_taken(value: str) -> None:
    """Any text that isn't empty can be sent."""
    assert value == require_text("name", value) == require_encodable("name", value)


@pytest.mark.parametrize(
    ("value", "kind"), [("", "empty"), (None, "NoneType"), (5, "int"), (b"x", "bytes"), (["x"], "list")]
)
def test_what_is_no_text_is_refused(value: Any, kind: str) -> None:
    """The error names the option, says what it must be, and what it is; not its value."""
    with pytest.raises(ConfigurationError) as caught:
        require_text("name", value, "a hint")
    assert f"name must be a hint, not {kind}" == str(caught.value)


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\ud800\ud800"])
def test_half_a_surrogate_pair_is_refused_unseen(value: str) -> None:
    """Text that can't be encoded is refused by an error that doesn't hold it."""
    for check in (require_text, require_encodable):
        with pytest.raises(ConfigurationError) as caught:
            check("name", value)
        assert str(caught.value).isprintable()
        assert (None, None) == (caught.value.__cause__, caught.value.__context__)


@pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), (1, 1.0), (0.5, 0.5), (999_999_999, 999_999_999.0)])
def test_seconds_are_taken(value: float, seconds: float) -> None:
    """Seconds are any number from 0 on, and become a float."""
    found = require_seconds("name", value, 10.0)
    assert (seconds, float) == (found, type(found))


@pytest.mark.parametrize(
    "value", [-1, -0.001, 1e9, float("inf"), float("nan"), True, False, "5", None, [5], Decimal(5), 10**400]
)
def test_what_is_no_number_of_seconds_is_refused(value: Any) -> None:
    """The error names the option and gives an example."""
    with pytest.raises(ConfigurationError, match=r"name must be a number of seconds, 0 or more, such as 7\.0"):
        require_seconds("name", value, 7.0)


def test_a_call_takes_time() -> None:
    """A time-out must be more than nothing."""
    assert 0.1 == require_seconds("name", 0.1, 10.0, is_positive=True)
    with pytest.raises(ConfigurationError, match="name must be more than 0 seconds"):
        require_seconds("name", 0, 10.0, is_positive=True)


@pytest.mark.parametrize("value", [True, False])
def test_flags_are_taken(value: bool) -> None:
    """A flag is True or False."""
    assert value is require_flag("name", value)


@pytest.mark.parametrize("value", [0, 1, None, "yes", "False", [], [True]])
def test_what_only_counts_as_a_flag_is_refused(value: Any) -> None:
    """Nothing else is taken for a flag: «False» as text would count as true."""
    with pytest.raises(ConfigurationError, match="name must be True or False"):
        require_flag("name", value)
