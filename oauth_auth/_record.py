"""Immutable values of named fields (decision 16)."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Self, dataclass_transform

__all__ = ["Record"]


@dataclass_transform(frozen_default=True)
class Record:
    """A value of named fields: immutable, equal to a record of the same class with equal fields, hashed by them.

    Subclasses list their fields, and the values of those that may be left out, as dataclasses do. Nothing is compiled
    for each class, which is what a dataclass and a named tuple cost at import; and two kinds are never equal, as named
    tuples are. Arguments that don't fit raise `TypeError`, assignments `AttributeError`.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = cls.__annotations__
        cls._fields = (*cls._fields, *own)
        cls._defaults = cls._defaults | {name: cls.__dict__[name] for name in own if name in cls.__dict__}

    def __init__(self, *values: Any, **named: Any) -> None:
        fields, own = self._fields, vars(self)
        own.update(self._defaults)
        own.update(zip(fields, values, strict=False), **named)
        given_twice = named and not named.keys().isdisjoint(fields[: len(values)])
        if len(own) != len(fields) or len(values) > len(fields) or given_twice:
            raise TypeError(f"{type(self).__name__} takes {', '.join(fields)}")

    def _asdict(self) -> dict[str, Any]:
        own = vars(self)
        return {name: own[name] for name in self._fields}

    def _replace(self, **changes: Any) -> Self:
        return type(self)(**vars(self) | changes)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be set: use _replace")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be deleted")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *self._asdict().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"
