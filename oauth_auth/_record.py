"""Immutable values of named fields (decision 16), and the one that is used everywhere: how a call has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, NoReturn, TypeVar, dataclass_transform

__all__ = ["Outcome", "Record", "asdict", "capture", "fields", "replace"]

_T = TypeVar("_T")
_RecordT = TypeVar("_RecordT", bound="Record")
_T_co = TypeVar("_T_co", covariant=True)


class _RecordType(type):
    """Makes the fields of a class slots, which must be named before there is the class."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        own = tuple(namespace.get("__annotations__", ())) if bases else ()
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        cls: Any = super().__new__(mcs, name, bases, {**namespace, "__slots__": own})
        cls._fields += own
        cls._setters += tuple(getattr(cls, field).__set__ for field in own)
        cls._defaults = cls._defaults | defaults
        return cls


@dataclass_transform(frozen_default=True)
class Record(metaclass=_RecordType):
    """A value of named fields: immutable, equal to a record of the same class with equal fields, hashed by them.

    Subclasses list their fields, and the values of those that may be left out, as dataclasses do. Nothing is compiled
    for each class, which is what a dataclass and a named tuple cost at import; and two kinds are never equal, as named
    tuples are. Arguments that don't fit raise `TypeError`, assignments `AttributeError`.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    _setters: ClassVar[tuple[Any, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *values: Any, **named: Any) -> None:
        if named or len(values) != len(self._fields):
            values = self._complete(values, named)
        for set_field, value in zip(self._setters, values):  # noqa: B905 - as many; a keyword costs a quarter more
            set_field(self, value)

    def _complete(self, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        fields, defaults = self._fields, self._defaults
        try:
            rest = [named.pop(name) if name in named else defaults[name] for name in fields[len(values) :]]
        except KeyError:
            rest = []
        if named or len(values) + len(rest) != len(fields):
            raise TypeError(f"{type(self).__name__} takes {', '.join(fields)}")
        return (*values, *rest)

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """Restore a copy, or what was pickled."""
        for name, value in state[1].items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be set: it's immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be deleted: it's immutable")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and asdict(self) == asdict(other)

    def __hash__(self) -> int:
        return hash((type(self), *asdict(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in asdict(self).items())})"


def fields(record_class: type[Record]) -> tuple[str, ...]:
    """Return the names of a class's fields."""
    return record_class._fields


def asdict(record: Record) -> dict[str, Any]:
    """Return the fields of a record by their names."""
    return {name: getattr(record, name) for name in record._fields}


def replace(record: _RecordT, **changes: Any) -> _RecordT:
    """Return a record with other values in some fields. Raises `TypeError` for a name that's none of its fields."""
    return type(record)(**asdict(record) | changes)


class Outcome(Record, Generic[_T_co]):
    """What a function returned, or the error that it raised."""

    value: _T_co | None
    error: BaseException | None = None

    def unwrap(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


def capture(function: Callable[[], _T]) -> Outcome[_T]:
    """Call a function, and return its result or error as an `Outcome`."""
    try:
        return Outcome(function())
    except BaseException as error:  # noqa: BLE001 - the caller raises or judges it
        return Outcome(None, error)
