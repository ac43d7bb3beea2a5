"""The documentation's code blocks: found in the Markdown, and run as a reader would, each one alone.

```python                            run as a program of its own
```python   with `def test_…`        run by pytest
```python   after *A notebook's cell:*    run within an event loop, where `await` at the top works
```{code-block} python  :caption:    a file of that name; a later shell block must use it
```sh                                run by bash, in a folder with the files that the page has shown so far
```sh       with `pip install`       says what is installed for the page's blocks, and nothing else is
```text     after <!-- prints -->    what the block before it prints; "…" stands for anything
```…        after *Continues the block above:*    run after that one, in the same program or folder
```…        after <!-- not run: … -->    shown only, for the reason given
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from markdown_it import MarkdownIt

__all__ = ["Block", "Unit", "blocks_of", "requirements_of", "run", "units_of"]

_LANGUAGES = {"python": "python", "sh": "sh", "shell": "sh", "bash": "sh", "console": "sh", "pycon": "python"}
_OTHERS = {"text", "yaml", "ini", "html", "{eval-rst}", "{toctree}", "{image}", "{literalinclude}", "{include}"}
_CONTINUES = "*Continues the block above:*"
_CELL = "*A notebook's cell:*"
_INSTALL = "pip install "
_LIBRARIES = ("requests", "niquests", "httpx", "httpx2", "aiohttp")
_MARK = "\x1e"
"""Printed between the blocks of one program."""
_RUN_CELL = """\
import ast, asyncio, sys
code = compile(open(sys.argv[1]).read(), sys.argv[1], "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
asyncio.run(eval(code))
"""


@dataclasses.dataclass(frozen=True)
class Block:
    """A block that runs, or that says why it doesn't."""

    kind: str
    """`python`, `cell`, `tests`, `file`, `sh`, `install` or `prints`."""
    code: str
    line: int
    name: str = ""
    not_run: str | None = None
    continues: bool = False


@dataclasses.dataclass(frozen=True)
class Unit:
    """What runs alone: a block, what continues it, and what they print; and the files that the page has shown."""

    blocks: tuple[Block, ...]
    files: tuple[Block, ...]


def blocks_of(text: str) -> list[Block]:
    """Return a page's blocks in order. Raises `ValueError` for one that's marked in no known way."""
    blocks: list[Block] = []
    comment = lead = ""
    for token in MarkdownIt().parse(text):
        if token.type == "html_block":
            comment = token.content.strip()
        elif token.type == "inline":
            lead = token.content.rpartition("\n")[2]
        elif token.type == "fence":
            block = _read(token.info.split(), token.content, (token.map or [0])[0] + 1, comment, lead)
            blocks += [] if block is None else [block]
            lead = ""
        if token.type != "html_block":
            comment = ""
        if token.type not in {"html_block", "inline", "paragraph_open", "paragraph_close"}:
            lead = ""
    return blocks


def _read(info: list[str], code: str, line: int, comment: str, lead: str) -> Block | None:
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
    if kind == "sh" and _INSTALL in code:
        kind = "install"
    elif kind == "python":
        is_test = re.search(r"^(async )?def test_", code, re.MULTILINE)
        kind = "file" if name else "tests" if is_test else "cell" if lead == _CELL else "python"
    return Block(kind, code, line, name, found and found[1], lead == _CONTINUES)


def _split_options(code: str) -> tuple[dict[str, str], str]:
    options = {}
    lines = code.splitlines(keepends=True)
    while lines and (found := re.match(r":(\w+):\s*(.*)", lines[0])):
        options[found[1]] = found[2].strip()
        del lines[0]
    return options, "".join(lines).lstrip("\n")


def requirements_of(text: str, unit: Unit) -> frozenset[str]:
    """Return what the page tells to install for these blocks: of alternatives, those whose plug-in they import.

    Alternatives are extras: `pip install "oauth_auth[requests]"    # or [httpx], [aiohttp]`.
    """
    code = "".join(block.code for block in (*unit.files, *unit.blocks))
    requirements = set()
    for line in re.findall(rf"\b{_INSTALL}([^\n`]+)", text):
        what, _, alternatives = line.partition("#")
        wanted = {word.strip("\"'") for word in what.split() if not word.startswith("-")}
        if "or [" in alternatives:
            used = [name for name in _LIBRARIES if re.search(rf"\boauth_auth\.{name}\b", code)]
            extras = set(",".join(re.findall(r"\[([\w,]+)\]", what)).split(",")) - set(_LIBRARIES)
            wanted = {f"oauth_auth[{','.join([*sorted(extras), *used])}]"}
        requirements |= wanted
    return frozenset(requirements)


def units_of(blocks: Iterable[Block]) -> Iterator[Unit]:
    """Yield what runs alone, in the page's order."""
    files: list[Block] = []
    unit: list[Block] = []
    for block in blocks:
        if block.not_run is not None or block.kind == "install":
            continue
        if unit and block.kind != "prints" and not block.continues:
            yield Unit(tuple(unit), tuple(files))
            unit = []
        if block.kind == "file":
            files = [*(file for file in files if file.name != block.name), block]
        elif not unit and (block.kind == "prints" or block.continues):
            raise ValueError(f"line {block.line}: there's no block that it belongs to")
        else:
            unit.append(block)
    if unit:
        yield Unit(tuple(unit), tuple(files))


def run(page: str, unit: Unit, folder: Path, environment: Mapping[str, str], programs: Path) -> None:
    """Run what runs alone in the folder, with the environment's programs. Raises `AssertionError` for what fails."""
    for file in unit.files:
        (folder / file.name).write_text(file.code)
    blocks = list(unit.blocks)
    while blocks:
        where = f"{page}, line {blocks[0].line}"
        if blocks[0].kind in {"python", "cell"}:
            program = _until(blocks, {"python", "prints"})
            path = folder / f"line_{blocks[0].line}.py"
            path.write_text(_merge(program))
            command = ["-c", _RUN_CELL, str(path)] if blocks[0].kind == "cell" else [str(path)]
            command = [str(programs / "python"), "-W", "error", *command]
        else:
            program = _until(blocks, {"prints"})
            command = _command(program[0], folder, programs)
        printed = _run(command, where, folder, environment).split(_MARK)
        for block, text in zip(_expected(program), printed, strict=True):
            if block is not None:
                _compare(block.code, text, f"{page}, line {block.line}")
        del blocks[: len(program)]


def _until(blocks: list[Block], kinds: set[str]) -> list[Block]:
    """Return the first block and those of the kinds that follow."""
    number = next((number for number, block in enumerate(blocks) if number and block.kind not in kinds), len(blocks))
    return blocks[:number]


def _merge(blocks: list[Block]) -> str:
    """Return one program, its lines numbered as in the page, that prints a mark between its blocks."""
    lines: list[str] = []
    for block in blocks:
        if block.kind == "prints":
            continue
        if lines:
            lines.append(f"print({_MARK!r}, end='')")
        lines += [""] * (block.line - len(lines))
        lines += block.code.splitlines()
    return "\n".join(lines) + "\n"


def _expected(blocks: list[Block]) -> list[Block | None]:
    """Return for each block that prints the block with what it prints, or `None` if the page doesn't say."""
    expected: list[Block | None] = []
    for block in blocks:
        if block.kind == "prints":
            expected[-1] = block
        else:
            expected.append(None)
    return expected


def _command(block: Block, folder: Path, programs: Path) -> list[str]:
    if block.kind == "sh":
        return ["bash", "-e", "-u", "-o", "pipefail", "-c", block.code]
    file = folder / f"test_line_{block.line}.py"
    file.write_text(block.code)
    return [str(programs / "python"), "-m", "pytest", "-q", "-W", "error", file.name]


def _run(command: list[str], where: str, folder: Path, environment: Mapping[str, str]) -> str:
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if finished.returncode != 0:
        raise AssertionError(f"{where}: exit status {finished.returncode}\n{finished.stdout}{finished.stderr}")
    return finished.stdout


def _compare(expected: str, printed: str, where: str) -> None:
    pattern = ".*".join(map(re.escape, expected.strip().split("…")))
    if re.fullmatch(pattern, printed.strip(), re.DOTALL) is None:
        raise AssertionError(f"{where}: expected\n{expected}\nbut it prints\n{printed}")
