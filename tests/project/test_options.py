"""Where an option stands: once with its meaning, and in few files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import oauth_auth
from oauth_auth._plugins import option_types
from tests.project.test_architecture import PLUGINS

PACKAGE = Path(oauth_auth.__file__).parent
TEXTS = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}
FAMILIES = [
    node
    for node in ast.parse(TEXTS["_plugins/option_types.py"]).body
    if isinstance(node, ast.ClassDef) and node.keywords
]


def fields() -> list[tuple[str, str, ast.stmt | None]]:
    """Return each typed dictionary's name, a field's, and what stands below the field."""
    return [
        (family.name, ast.unparse(field.target), below)
        for family in FAMILIES
        for field, below in zip(family.body, [*family.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign)
    ]


def test_each_option_has_its_meaning_below_it() -> None:
    """No option goes without one: `help()` and editors show it."""
    assert len(fields()) > 40
    assert [] == [
        (family, name)
        for family, name, below in fields()
        if not (isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant))
    ]


def test_no_meaning_stands_twice() -> None:
    """What an option means is said in one place of the package."""
    whole = re.sub(r"\s+", " ", "".join(TEXTS.values()))
    meanings = [
        " ".join(ast.literal_eval(below.value).split()) for *_, below in fields() if isinstance(below, ast.Expr)
    ]
    assert [] == [text for text in meanings if whole.count(text) != 1]


@pytest.mark.parametrize("name", ["token_response_hook", "token_request_hook"])
def test_an_option_stands_in_few_files(name: str) -> None:
    """One that all classes with a server have, with its type, its check and its work, is in five files at most."""
    places = [path for path, text in TEXTS.items() if re.search(rf"\b{name}\b", text)]
    assert {"_plugins/option_types.py", "_plugins/options.py"} <= {*places}
    assert len(places) <= 5
    assert not {f"{plugin}.py" for plugin in PLUGINS} & {*places}


def test_a_default_stands_in_one_place() -> None:
    """The table has the defaults of fields that there are; the type of a setting is written where it's kept."""
    assert option_types.DEFAULTS.keys() <= {name for _, name, _ in fields()}
    assert sum(text.count("refresh_window: float") for text in TEXTS.values()) <= 3
