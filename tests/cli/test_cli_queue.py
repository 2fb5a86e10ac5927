"""`hinterland queue`: commands are read when they are added, done once, and told of."""

from __future__ import annotations

import pytest
from cli_helpers import FAST, as_json
from typer.testing import CliRunner

import hinterland as hl
from hinterland.cli.main import app
from hinterland.training.runs.run import Run

QUICK = ["--dims", "2", "--fold", "fixed", "--set", "patch_size=[16, 16]", *FAST]


def run(*words: object):
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return hl.make_phantoms(tmp_path_factory.mktemp("queue") / "data", (3, 2, 2), dims=2, size=32)


def test_commands_are_read_before_any_is_added(tmp_path):
    file = tmp_path / "commands.txt"
    file.write_text("# first\nhinterland check data  # with a remark\n\nplan 'my data'\n")
    done = run("queue", "add", tmp_path / "q", "--file", file, "--json")
    assert done.exit_code == 0, done.output
    status = as_json(run("queue", "status", tmp_path / "q", "--json"))
    assert [j["command"] for j in status["jobs"]] == ["check data", "plan 'my data'"]
    assert status["waiting"] == 2
    file.write_text("check other\ncheck data --nonsense\n")
    assert run("queue", "add", tmp_path / "q", "--file", file).exit_code == 2
    assert as_json(run("queue", "status", tmp_path / "q", "--json"))["waiting"] == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nonsense"], 1, "expected one of the commands of hinterland"),
        (["queue", "status", "q"], 1, "other than queue"),
        (["study"], 1, "expected one of the commands of hinterland study"),
        (["train", "data"], 2, "Missing option"),
        ([], 1, "expected a command"),
    ],
)
def test_what_is_no_command_is_refused(tmp_path, words, code, message):
    done = run("queue", "add", tmp_path / "q", "--", *words)
    assert (done.exit_code, message in done.output) == (code, True), done.output
    assert not (tmp_path / "q").exists()


def test_train_goes_on_unless_it_replaces(tmp_path):
    base = ["queue", "add", tmp_path / "q", "--", "train", "d", "--method", "backsplit", "--out"]
    assert "--resume" in run(*base, "a").output
    assert "--resume" not in run(*base, "b", "--overwrite").output
    done = run("train", "d", "--method", "x", "--out", "a", "--resume", "--overwrite")
    assert done.exit_code == 1
    assert "give one of them" in done.output


@pytest.mark.slow
def test_a_queue_trains_evaluates_and_fails_as_the_commands_do(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    train = ["train", data, "--method", "backsplit", "--steps", "2", "--out", "run"]
    train += QUICK
    assert run("queue", "add", "q", "--tries", "1", "--", *train).exit_code == 0
    assert run("queue", "add", "q", "--tries", "1", "--", "plan", "nowhere").exit_code == 0
    done = run("queue", "work", "q", "--until-empty", "--json")
    assert done.exit_code == 1
    found = as_json(run("queue", "status", "q", "--json"))
    assert (found["done"], found["failed"]) == (1, 1)
    (failed,) = [job for job in found["jobs"] if job["state"] == "failed"]
    assert failed["said"].startswith("error: ")
    assert Run(tmp_path / "run").finished
    again = run(*train, "--resume")  # the same request: only opened
    assert again.exit_code == 0, again.output
