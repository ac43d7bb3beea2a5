"""The documentation's code blocks: found in the Markdown, and run as a reader would, page by page.

Run as a program it runs the steps of one page, which it gets as JSON: in one process and one folder, in order.

    ```python                            run; all blocks of a page share their names; `await` at the top works
    ```python   with `def test_…`        run by pytest
    ```{code-block} python  :caption:    a file of that name; a later shell block must use it
    ```sh                                run by bash
    ```text     after <!-- prints -->    what the block before it prints; "…" stands for anything
    ```…        after <!-- not run: … -->    shown only, for the reason given
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import inspect
import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
from markdown_it import MarkdownIt

__all__ = ["Block", "blocks_of", "run"]

# Without the plug-ins of others that no page uses: to load them takes longer than most tests.
_UNUSED = ("aiointercept", "hypothesispytest", "niquests-mock", "pytest-betamax", "pytest_httpx", "pytest_httpx2")
_PYTEST = [sys.executable, "-m", "pytest", "-q", "-W", "error", *(f"-pno:{name}" for name in _UNUSED)]
_LANGUAGES = {"python": "python", "sh": "sh", "shell": "sh", "bash": "sh", "console": "sh", "pycon": "python"}
_OTHERS = {"text", "yaml", "ini", "{eval-rst}", "{toctree}", "{image}", "{literalinclude}"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A block that runs, or that says why it doesn't."""

    kind: str
    """`python`, `tests`, `file`, `sh`, or `prints`."""
    code: str
    line: int
    name: str = ""
    not_run: str | None = None


def blocks_of(text: str) -> list[Block]:
    """Return a page's blocks in order. Raises `ValueError` for one that's marked in no known way."""
    blocks: list[Block] = []
    comment = ""
    for token in MarkdownIt().parse(text):
        if token.type == "html_block":
            comment = token.content.strip()
        elif token.type == "fence":
            block = _read(token.info.split(), token.content, (token.map or [0])[0] + 1, comment)
            blocks += [] if block is None else [block]
        if token.type != "html_block":
            comment = ""
    return blocks


def _read(info: list[str], code: str, line: int, comment: str) -> Block | None:
    language, name = (info or [""])[0], ""
    if language == "{code-block}":
        language = ([*info, ""])[1]
        options, code = _split_options(code)
        line += len(options) + bool(options)
        name = options.get("caption", "")
    if comment == "<!-- prints -->":
        return Block("prints", code, line)
    if language in _OTHERS:
        return None
    if language not in _LANGUAGES:
        raise ValueError(f"line {line}: a code block without a known language: {language!r}")
    found = re.fullmatch(r"<!-- not run: (.+) -->", comment)
    kind = _LANGUAGES[language]
    if kind == "python":
        kind = "file" if name else "tests" if re.search(r"^(async )?def test_", code, re.MULTILINE) else "python"
    return Block(kind, code, line, name, found and found[1])


def _split_options(code: str) -> tuple[dict[str, str], str]:
    options = {}
    lines = code.splitlines(keepends=True)
    while lines and (found := re.match(r":(\w+):\s*(.*)", lines[0])):
        options[found[1]] = found[2].strip()
        del lines[0]
    return options, "".join(lines).lstrip("\n")


def run(page: str, blocks: list[Block]) -> None:
    """Run a page's blocks in the current folder. Raises what they raise."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks:
        where = f"{page}, line {block.line}"
        if block.kind == "prints":
            _compare(block.code, printed, where)
        elif block.kind == "file":
            Path(block.name).write_text(block.code)
        elif block.kind == "sh":
            printed = _run_command(["bash", "-e", "-u", "-o", "pipefail", "-c", block.code], where)
        elif block.kind == "tests":
            file = Path(f"test_line_{block.line}.py")
            file.write_text(block.code)
            printed = _run_command([*_PYTEST, str(file)], where)
        else:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                _run_code(block, page, names)
            printed = output.getvalue()


def _run_code(block: Block, page: str, names: dict[str, Any]) -> None:
    """Run Python code, its lines numbered as in the page."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * block.line + block.code, page, "exec", flags)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)


def _run_command(command: list[str], where: str) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if finished.returncode != 0:
        raise AssertionError(f"{where}: exit status {finished.returncode}\n{finished.stdout}{finished.stderr}")
    return finished.stdout


def _compare(expected: str, printed: str, where: str) -> None:
    pattern = ".*".join(map(re.escape, expected.strip().split("…")))
    if re.fullmatch(pattern, printed.strip(), re.DOTALL) is None:
        raise AssertionError(f"{where}: expected\n{expected}\nbut it prints\n{printed}")


def _know_proxy(port: int) -> None:
    """Have the documentation's proxy be where it is here."""
    getaddrinfo = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        if host == "proxy.example.com":
            return getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        return getaddrinfo(host, *args, **options)

    socket.getaddrinfo = look_up


def _have_aiohttp_use_the_proxy() -> None:
    """Have sessions of aiohttp read the environment, as those of the other libraries do."""
    defaults = aiohttp.ClientSession.__init__.__kwdefaults__
    assert defaults is not None
    assert defaults["trust_env"] is False
    defaults["trust_env"] = True


if __name__ == "__main__":
    _have_aiohttp_use_the_proxy()
    _know_proxy(int(os.environ["DOCUMENTED_PROXY"].rpartition(":")[2]))
    steps = json.load(sys.stdin)
    run(steps["page"], [Block(**fields) for fields in steps["blocks"]])
