"""The section `Args:` of a class's documentation: the meanings of its options, from where they stand."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping

from . import option_types

__all__ = ["describe_arguments"]

_ELSEWHERE = "what each option means is in the project's documentation, docs/options.md."


def describe_arguments(auth_class: type, family: type) -> str:
    """Return the section for the constructor of an auth class, all of whose parameters are in a typed dictionary.

    Where a program comes without the package's source, it says where the meanings are.
    """
    meanings = _meanings()
    if not meanings:
        return f"Args:\n    options: {_ELSEWHERE}"
    lines = ["Args:"]
    for name in inspect.signature(auth_class).parameters:
        meaning = next(meanings[kind.__name__][name] for kind in family.__mro__ if name in meanings[kind.__name__])
        lines.append(
            textwrap.fill(
                f"{name}: {meaning}",
                width=112,
                initial_indent=" " * 4,
                subsequent_indent=" " * 8,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    return "\n".join(lines)


@functools.cache
def _meanings() -> Mapping[str, Mapping[str, str]]:
    """Return the meanings of the fields of each typed dictionary; none if the source isn't there."""
    try:
        source = inspect.getsource(option_types)
    except (OSError, TypeError):
        return {}
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            fields = found[node.name] = {}
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    fields[field.target.id] = _text_of(text)
    return found


def _text_of(statement: ast.stmt) -> str:
    return " ".join(ast.literal_eval(statement.value).split()) if isinstance(statement, ast.Expr) else ""
