"""The reference of the command has what the command has."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from oauth_auth import cli

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "command.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


def rows(text: str) -> list[list[str]]:
    return [row for row in ROWS if text in re.findall(r"`([^`]+)`", row[0])]


@pytest.mark.parametrize("command", cli.main.commands.values(), ids=lambda command: command.name)
def test_each_option_is_in_the_reference(command: click.Command) -> None:
    """Options of all commands with their variables, and those of one with its name."""
    common = {parameter.name for other in cli.main.commands.values() for parameter in other.params}
    for other in cli.main.commands.values():
        common &= {parameter.name for parameter in other.params}
    for parameter in command.params:
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
    parameters = [parameter for command in cli.main.commands.values() for parameter in command.params]
    there_are = {option for parameter in parameters for option in parameter.opts}
    told = {option for row in ROWS for option in re.findall(r"`(--[a-z-]+)`", row[0])}
    assert there_are | {"--help"} == told
