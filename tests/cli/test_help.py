"""Help, usage errors, and that the examples shown can be typed."""

from __future__ import annotations

import shlex

import pytest
import typer
from typer.testing import CliRunner

from hinterland import __version__
from hinterland.cli.main import EXAMPLES, app

COMMANDS = sorted(command.__name__ for command in EXAMPLES)


def test_all_commands_of_the_foundation_are_there():
    expected = "check compare demo evaluate export plan predict resume train"
    assert expected.split() == COMMANDS
    listing = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f"\n  {name} " in listing for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_of_the_command(name):
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"Example: hinterland {name}" in result.stdout


@pytest.mark.parametrize("command", list(EXAMPLES), ids=lambda c: c.__name__)
def test_the_example_parses(command):
    program, name, *arguments = shlex.split(EXAMPLES[command])
    assert (program, name) == ("hinterland", command.__name__)
    group = typer.main.get_command(app)
    group.commands[name].make_context(name, arguments)  # a usage error would be raised here


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "data", "--out", "run"],
        ["train", "data", "--method", "supervised", "--out", "run", "--dims", "4"],
        ["predict", "run"],
        ["nonsense"],
        ["check", "data", "--no-such-option"],
    ],
)
def test_wrong_usage_exits_with_2(arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def test_version():
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == f"hinterland {__version__}"
