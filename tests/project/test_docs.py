"""The documentation tells the truth: its code runs, its reference is complete, and what isn't run is little."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers.documented import DocumentedHosts
from tests.servers.keyring_in_files import FOLDER
from tests.servers.programs import of_machine
from tests.servers.redis import RedisServer
from tests.support.documentation import Block, blocks_of, requirements_of, run, units_of
from tests.support.environment import distributions_of, make_environment

ROOT = Path(__file__).parents[2]
PAGES = sorted({"README.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))})
PAGES = [page for page in PAGES if not page.startswith("docs/_build")]
BESIDE = (ROOT / "tests" / "support" / "sitecustomize.py", ROOT / "tests" / "servers" / "keyring_in_files.py")


@functools.cache
def blocks(page: str) -> list[Block]:
    return blocks_of((ROOT / page).read_text())


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedHosts]:
    with DocumentedHosts(tmp_path_factory.mktemp("certificates")) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def programs_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[frozenset[str]], Path]:
    """The programs of an environment with what a page tells to install, and nothing else."""
    folder = tmp_path_factory.mktemp("environments")
    numbers = itertools.count()

    @functools.cache
    def make(requirements: frozenset[str]) -> Path:
        return make_environment(folder / str(next(numbers)), requirements, *BESIDE)

    return make


@pytest.mark.parametrize("page", [page for page in PAGES if any(units_of(blocks(page)))])
def test_code_runs(
    page: str,
    hosts: DocumentedHosts,
    running_redis: RedisServer,
    programs_for: Callable[[frozenset[str]], Path],
    tmp_path: Path,
) -> None:
    """Each block of a page runs alone, with what the page tells to install and no more, and prints what it says."""
    units = list(units_of(blocks(page)))
    if any("curl " in block.code for unit in units for block in unit.blocks):
        of_machine("curl")
    text = (ROOT / page).read_text()
    # One after the other, so that two threads never make the same environment.
    programs = [programs_for(requirements_of(text, unit)) for unit in units]

    def run_one(number: int) -> None:
        folder = tmp_path / str(number)
        home = folder / "home"
        (home / "keyring").mkdir(parents=True)
        for file in hosts.folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            **hosts.environment,
            "PATH": f"{programs[number]}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_DEBUG_TEMPROOT": str(folder),  # else other suites on the machine tidy up what it's looking at
            "HOME": str(home),
            "PYTHON_KEYRING_BACKEND": "keyring_in_files.KeyringInFiles",
            FOLDER: str(home / "keyring"),
            "REDIS_URL": running_redis.url,
            "BROWSER": f"{sys.executable} {ROOT / 'tests' / 'servers' / 'approving_browser.py'} %s",
        }
        run(page, units[number], folder, environment, programs[number])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_one, range(len(units))))


@pytest.mark.parametrize("page", PAGES)
def test_files_are_used(page: str) -> None:
    """Each file that a page has its reader write is used by a command after it."""
    found = blocks(page)
    for number, block in enumerate(found):
        if block.kind == "file" and block.not_run is None:
            commands = [later.code for later in found[number:] if later.kind == "sh"]
            assert any(block.name in command or "pytest" in command for command in commands), block


def test_little_is_not_run() -> None:
    """Code that's shown and not run is counted here, and for few reasons."""
    counts = Counter(block.not_run for page in PAGES for block in blocks(page) if block.not_run is not None)

    assert {
        "another library's": 9,
        "asks your own server": 1,
        "takes the repository": 1,
    } == counts


def test_little_continues() -> None:
    """Blocks that can't be copied alone say so, and are counted here, as are those for notebooks only."""
    found = [(page, block) for page in PAGES for block in blocks(page)]
    continuing = Counter(page for page, block in found if block.continues)

    assert {
        "docs/howto/many-processes.md": 1,
    } == continuing
    assert {"docs/howto/processes.md": 1} == Counter(page for page, block in found if block.kind == "cell")


def test_what_is_installed_exists() -> None:
    """What the pages tell to install is known by that name, extras included, in a version that's tested."""
    texts = {page: (ROOT / page).read_text() for page in PAGES}
    wanted = {requirements_of(text, unit) for page, text in texts.items() for unit in units_of(blocks(page))}
    lines = [line for text in texts.values() for line in re.findall("pip install .*", text)]
    extras = {extra for line in lines for extra in re.findall(r"\[([\w,]+)\]", line)}
    for requirements in (*wanted, {f"oauth_auth[{extra}]" for extra in extras}):
        distributions_of(requirements)
    with pytest.raises(LookupError, match="oauth_auth has no extra curl"):
        distributions_of(["oauth_auth[curl]"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```python\n1\n```\n\n*Continues the block above:*\n\n```python\n1 / 0\n```", "line 8, in <module>"),
        ("```sh\nfalse\n```", "exit status 1"),
        ("```python\ndef test_it():\n    assert False\n```", "assert False"),
        ("```python\nprint(1)\n```\n\n<!-- prints -->\n```text\n2\n```", "but it prints\n1"),
        ("```python\nx = 1\n```\n\n```python\nprint(x)\n```", "name 'x' is not defined"),
        ("```python\nimport asyncio\nawait asyncio.sleep(0)\n```", "'await' outside function"),
        ("*A notebook's cell:*\n\n```python\nimport asyncio\nawait asyncio.sleep(0)\nmissing\n```", "'missing'"),
        ("```python\nimport httpx\n```", "No module named 'httpx'"),
        ("```python\nimport tests\n```", "No module named 'tests'"),
    ],
)
def test_the_runner_sees_failures(
    text: str, reason: str, programs_for: Callable[[frozenset[str]], Path], tmp_path: Path
) -> None:
    """A block that fails, alone or with what is installed, or prints something else than the page says, is noticed."""
    units = list(units_of(blocks_of(text)))
    programs = programs_for(frozenset({"oauth_auth[requests]", "pytest"}))
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for unit in units[:-1]:
        run("page", unit, tmp_path, environment, programs)
    with pytest.raises(AssertionError, match=re.escape(reason)):
        run("page", units[-1], tmp_path, environment, programs)


def test_what_the_runner_does_not_know() -> None:
    """A block of no known language, and one that belongs to none, is an error, not left out."""
    for text in ("```\nx\n```", "*Continues the block above:*\n\n```python\n```", "<!-- prints -->\n```text\n```"):
        with pytest.raises(ValueError, match="line"):
            list(units_of(blocks_of(text)))


def test_each_provider_has_its_facts() -> None:
    """Each provider of the table has a block that makes an auth object, links to where it was read, and the date."""
    text = (ROOT / "docs" / "providers.md").read_text()
    names = re.findall(r"^\| \[([^]]+)\]\(#", text, re.MULTILINE)
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))

    assert names == list(sections)
    for section in sections.values():
        assert [block.kind for block in blocks_of(section)] == ["python"]
        assert re.search(r"\]\(https://", section)
        assert "*Read on 28 November 2026, not run here.*" in section


def test_no_words_from_inside() -> None:
    """Pages are for users: they don't speak of how the project came about."""
    for page in PAGES:
        text = re.sub(r"store[ _]contract|StoreContract", "", (ROOT / page).read_text())
        assert not re.search(r"\b(contract|goals?|defects?|acceptance checks?|issue \d+)\b", text, re.IGNORECASE), page


@pytest.mark.parametrize(
    "module",
    ["", ".requests", ".stores", ".login", ".testing", ".testing.store_contract", ".otel", ".errors", ".controller"],
)
def test_the_reference_is_complete(module: str) -> None:
    """Each public name is in the reference."""
    reference = "".join(path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: \S*?(\w+)(?:\(\))?$", reference, re.MULTILINE))

    assert set(importlib.import_module(f"oauth_auth{module}").__all__) - documented == set()


@pytest.mark.parametrize("table", ["options", "errors"])
def test_no_option_or_error_is_left_out(table: str) -> None:
    """The page of options has each option, and that of errors each error."""
    import inspect

    import oauth_auth
    from oauth_auth.requests import DeviceCodeAuth, ResourceAuth

    text = (ROOT / "docs" / f"{table}.md").read_text()
    names = (
        {*inspect.signature(DeviceCodeAuth).parameters, *inspect.signature(ResourceAuth).parameters}
        if table == "options"
        else set(oauth_auth.errors.__all__)
    )

    assert {name for name in names if f"`{name}`" not in text} == set()
