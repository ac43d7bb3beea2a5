"""The reference of the command has what the command has."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from oauth_auth import cli

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "command.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


COMMANDS = cli.main.commands.values()


def options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def rows(text: str) -> list[list[str]]:
    return [row for row in ROWS if text in re.findall(r"`([^`]+)`", row[0])]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_option_is_in_the_reference(command: click.Command) -> None:
    """Options of all commands with their variables, and those of one with its name."""
    common = set.intersection(*({option.name for option in options(other)} for other in COMMANDS))
    for parameter in options(command):
        name = f"--{(parameter.opts[0]).lstrip('-')}"
        if parameter.name in common:
            (row,) = rows(name)
            variable = "" if name == "--verbose" else f"`OAUTH_{name[2:].replace('-', '_').upper()}`"
            assert variable == row[1]
        else:
            (row,) = [row for row in rows(name) if f"`{command.name}`" == row[1]]
        if isinstance(parameter.type, click.Choice):
            assert [] == [choice for choice in parameter.type.choices if f"`{choice}`" not in row[2]]


def test_the_reference_has_no_other_options() -> None:
    """Nor does it promise what isn't there."""
    there_are = {name for command in COMMANDS for option in options(command) for name in option.opts}
    told = {option for row in ROWS for option in re.findall(r"`(--[a-z-]+)`", row[0])}
    assert there_are | {"--help"} == told
