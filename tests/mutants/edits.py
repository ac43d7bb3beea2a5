"""What a fault does to a syntax tree: source in place of other source, both read as trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from textwrap import dedent
from typing import NamedTuple, TypeAlias

__all__ = ["Edit", "Spot", "always", "drop", "insert", "never", "remove", "replace"]

Parsed: TypeAlias = list[ast.stmt] | list[ast.ExceptHandler]


class Edit(NamedTuple):
    """Source that's replaced by other source in what a mutant names; it's found as a tree, however it's written.

    `...` in `old` stands for anything: one expression, all arguments of a call, or the whole of a block.
    """

    old: str
    """An expression, an argument such as `timeout=None`, a clause such as `except OSError: ...`, or statements.

    Empty if all that's named is replaced.
    """
    new: str
    """What stands there instead; empty if nothing does. A block that's `...` is the old one."""
    is_before: bool = False
    """Whether the old stays, after the new."""

    def spots(self, named: ast.stmt, siblings: list[ast.stmt]) -> list[Spot]:
        """Return where `old` is found in what is named, which is one of its siblings."""
        pattern = parsed(self.old)
        if not pattern or _fits(pattern, [named]):
            return [Spot(ast.Module(siblings, []), "body", siblings.index(named), 1)]
        return list(_spots(named, pattern))

    def apply(self, spot: Spot) -> None:
        """Put the new in place of the old."""
        spot.put(parsed(self.new), keeps_old=self.is_before)


def replace(old: str, new: str) -> Edit:
    """Put an expression or statements in place of others."""
    return Edit(old, new)


def drop(old: str) -> Edit:
    """Leave out statements, an operand of `and` or `or`, an element of a collection, or an argument."""
    return Edit(old, "")


def insert(new: str, *, before: str) -> Edit:
    """Put statements before others."""
    return Edit(before, new, is_before=True)


def never(condition: str) -> Edit:
    """Have a condition be false."""
    return Edit(condition, "False")


def always(condition: str) -> Edit:
    """Have a condition be true."""
    return Edit(condition, "True")


def remove() -> Edit:
    """Leave out the whole of what is named, such as a method."""
    return Edit("", "")


class Spot(NamedTuple):
    """So many of a node's children, from an index on if there's a list of them."""

    parent: ast.AST
    field: str
    start: int | None
    length: int

    def put(self, new: Parsed, *, keeps_old: bool) -> None:
        """Put what was parsed in place of what stands here, or before it."""
        child = getattr(self.parent, self.field)
        if self.start is None:
            setattr(self.parent, self.field, _alike(new, child)[0])
            return
        end = self.start if keeps_old else self.start + self.length
        for one in new:
            if _is_anything(getattr(one, "body", [])):
                vars(one)["body"] = child[self.start].body
        child[self.start : end] = _alike(new, child[self.start])
        if not child and self.field == "body":
            child.append(ast.Pass())


def parsed(source: str) -> Parsed:
    """Return the statements of some source, or its `except` clauses; an expression is a statement, too."""
    text = dedent(source).strip()
    if not text.startswith("except"):
        return ast.parse(text).body
    (statement,) = ast.parse(f"try: pass\n{text}").body
    return statement.handlers if isinstance(statement, ast.Try) else []


def _alike(new: Parsed, old: ast.AST) -> Sequence[ast.AST]:
    """Return what was parsed as what it stands in place of: statements, clauses, an argument or an expression."""
    if isinstance(old, ast.stmt | ast.excepthandler):
        return new
    found = [_argument(one) if isinstance(old, ast.keyword) else _expression(one) for one in new]
    if None in found:
        raise ValueError(f"{[ast.unparse(one) for one in new]} can't stand in place of {ast.unparse(old)}")
    return [one for one in found if one is not None]


def _expression(statement: ast.AST) -> ast.expr | None:
    return statement.value if isinstance(statement, ast.Expr) else None


def _argument(statement: ast.AST) -> ast.keyword | None:
    """Return `name=value`, which is parsed as an assignment, as the argument of a call."""
    if isinstance(statement, ast.Assign) and isinstance(name := statement.targets[0], ast.Name):
        return ast.keyword(name.id, statement.value)
    return None


def _spots(root: ast.AST, pattern: Parsed) -> Iterator[Spot]:
    wanted = [one for one in (_expression(pattern[0]), _argument(pattern[0])) if one is not None and len(pattern) == 1]
    for parent in ast.walk(root):
        for field, value in ast.iter_fields(parent):
            if not isinstance(value, list):
                # An expression that is a statement is found as one.
                if not isinstance(parent, ast.Expr) and any(_fits(one, value) for one in wanted):
                    yield Spot(parent, field, None, 1)
                continue
            for index in range(len(value)):
                run = value[index : index + len(pattern)]
                if _fits(pattern, run) or any(_fits(one, value[index]) for one in wanted):
                    yield Spot(parent, field, index, len(pattern))


def _fits(pattern: object, node: object) -> bool:
    """Return whether a tree is as the pattern says, whether it's loaded or stored."""
    if isinstance(pattern, list):
        return isinstance(node, list) and (
            (_is_anything(pattern) and bool(node) and isinstance(node[0], ast.stmt))
            or (len(pattern) == len(node) and all(map(_fits, pattern, node)))
        )
    if not isinstance(pattern, ast.AST):
        return type(pattern) is type(node) and pattern == node
    if isinstance(pattern, ast.expr) and _is_anything([pattern]):
        return isinstance(node, ast.expr)
    if isinstance(pattern, ast.Call) and isinstance(node, ast.Call) and _is_anything(pattern.args):
        return _fits(pattern.func, node.func)
    return type(pattern) is type(node) and all(
        _fits(getattr(pattern, field), getattr(node, field)) for field in pattern._fields if field not in _IGNORED
    )


_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}


def _is_anything(pattern: Sequence[object]) -> bool:
    if len(pattern) != 1:
        return False
    node = pattern[0].value if isinstance(pattern[0], ast.Expr) else pattern[0]
    return isinstance(node, ast.Constant) and node.value is ...
