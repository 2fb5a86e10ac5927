"""`hinterland distil`, as it is typed: the student, its table, and what follows with it."""

from __future__ import annotations

import pytest
from cli_helpers import FAST, as_json

pytestmark = pytest.mark.slow
TINY = ["--set", "network_options.features=[2, 4]", *FAST[2:]]


@pytest.fixture(scope="module")
def student(hinterland, runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("students") / "student"
    teachers = (runs / "backsplit", runs / "binary")
    done = hinterland("distil", *teachers, "--steps", 3, "--out", out, *TINY)
    return out, done.stdout


def test_it_prints_the_student_beside_its_teachers(student):
    _, shown = student
    for words in ("parameters", "seconds a case", "backsplit", "binary", "teachers' mean",
                  "Dice on 2 val cases", "Dice on 3 test cases", "target/lesion",
                  "student - teachers' mean [95 % CI]"):  # fmt: skip
        assert words in shown, words


def test_the_student_is_a_run_like_any_other(hinterland, student, runs, phantoms, tmp_path):
    out, _ = student
    again = as_json(hinterland("distil", runs / "backsplit", runs / "binary", "--steps", 3,
                               "--out", out, "--resume", "--json", *TINY))  # fmt: skip
    assert again["run"] == str(out)
    assert again["beside_teachers"]["models"][-1]["name"] == "student"
    hinterland("predict", out, phantoms / "imagesTs", tmp_path / "said", "--at", "target")
    assert len(list((tmp_path / "said").glob("*.png"))) == 3
    hinterland("compare", runs / "binary", out, "--at", "target", "--out", tmp_path / "report",
               "--no-images")  # fmt: skip
    hinterland("export", out, tmp_path / "model", "--to", "nnunet")
    assert (tmp_path / "model" / "model_card.md").is_file()


def test_wrong_input_is_one_line(hinterland, runs, tmp_path):
    said = hinterland("distil", runs / "binary", runs / "nothing", "--out", tmp_path / "x", code=1)
    assert "is no run directory" in said.stderr
    said = hinterland("distil", runs / "binary", "--out", runs / "backsplit", code=1)
    assert "exists already" in said.stderr
    said = hinterland("train", "nowhere", "--method", "distillation", "--out", tmp_path / "x",
                      code=1)  # fmt: skip
    assert said.stderr.startswith("error: ")
    hinterland("distil", "--out", tmp_path / "x", code=2)
