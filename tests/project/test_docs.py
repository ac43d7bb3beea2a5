"""The documentation tells the truth: its code runs, its reference is complete, and what isn't run is little."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.documented import DocumentedHosts
from tests.servers.keyring_in_files import FOLDER
from tests.servers.programs import of_machine
from tests.servers.redis import RedisServer
from tests.support.documentation import Block, blocks_of, run

ROOT = Path(__file__).parents[2]
PAGES = sorted({"README.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))})
PAGES = [page for page in PAGES if not page.startswith("docs/_build")]


def blocks(page: str) -> list[Block]:
    return blocks_of((ROOT / page).read_text())


def runs(block: Block) -> bool:
    return block.not_run is None


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedHosts]:
    with DocumentedHosts(tmp_path_factory.mktemp("certificates")) as hosts:
        yield hosts


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(runs, blocks(page)))])
def test_code_runs(page: str, hosts: DocumentedHosts, running_redis: RedisServer, tmp_path: Path) -> None:
    """Each block of a page runs as it stands, in order, and prints what the page says."""
    if any("curl " in block.code for block in blocks(page) if runs(block)):
        of_machine("curl")
    home = tmp_path / "home"
    home.mkdir()
    (home / "keyring").mkdir()
    for name in ("ca.pem", "client.pem"):
        (tmp_path / name).write_bytes((hosts.folder / name).read_bytes())
    environment = {
        **os.environ,
        **hosts.environment,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "PYTHON_KEYRING_BACKEND": "tests.servers.keyring_in_files.KeyringInFiles",
        FOLDER: str(home / "keyring"),
        "REDIS_URL": running_redis.url,
        "BROWSER": f"{sys.executable} {ROOT / 'tests' / 'servers' / 'approving_browser.py'} %s",
    }
    steps = [dataclasses.asdict(block) for block in blocks(page) if runs(block)]
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.documentation"],
        input=json.dumps({"page": page, "blocks": steps}),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert finished.returncode == 0, f"{page}\n{finished.stdout}{finished.stderr}"


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
        "installs packages": 3,
        "another library's": 7,
        "takes the repository": 1,
    } == counts


def test_the_runner_sees_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that raises, a command that fails, a test that fails and another output than the page's are noticed."""
    monkeypatch.chdir(tmp_path)
    for text in (
        "```python\n1 / 0\n```",
        "```sh\nfalse\n```",
        "```python\ndef test_it():\n    assert False\n```",
        "```python\nprint(1)\n```\n\n<!-- prints -->\n```text\n2\n```",
        "```python\nimport asyncio\nawait asyncio.sleep(0)\nraise LookupError\n```",
    ):
        with pytest.raises((ZeroDivisionError, AssertionError, LookupError)):
            run("page", blocks_of(text))
    with pytest.raises(ValueError, match="without a known language"):
        blocks_of("```\nx\n```")


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
    from oauth_auth.requests import DeviceCodeAuth

    text = (ROOT / "docs" / f"{table}.md").read_text()
    names = (
        set(inspect.signature(DeviceCodeAuth.__init__).parameters) - {"self"}
        if table == "options"
        else set(oauth_auth.errors.__all__)
    )

    assert {name for name in names if f"`{name}`" not in text} == set()
