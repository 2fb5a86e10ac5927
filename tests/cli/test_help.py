"""Help, usage errors, and that the examples shown can be typed."""

from __future__ import annotations

import shlex

import pytest
import typer
from typer.testing import CliRunner

from hinterland import __version__
from hinterland.cli.main import COMMANDS, app


def test_all_commands_of_the_foundation_are_there():
    expected = {"check", "compare", "demo", "evaluate", "export", "plan", "predict", "resume"}
    assert expected | {"train"} <= set(COMMANDS)
    listing = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f"\n  {typed.split()[0]} " in listing for typed in COMMANDS)


@pytest.mark.parametrize("typed", COMMANDS)
def test_help_shows_an_example_of_the_command(typed):
    result = CliRunner().invoke(app, [*typed.split(), "--help"])
    assert result.exit_code == 0
    assert f"Example: hinterland {typed} " in result.stdout


@pytest.mark.parametrize("typed", COMMANDS)
def test_the_example_parses(typed):
    command = typer.main.get_command(app)
    context = command.make_context("hinterland", [typed.split()[0]], resilient_parsing=True)
    for name in typed.split():
        command = command.commands[name]
    arguments = shlex.split(COMMANDS[typed][1])
    command.make_context(typed, arguments, parent=context)  # a usage error would be raised here


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
