"""check and plan, on phantoms and on what is wrong with them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from cli_helpers import as_json
from PIL import Image

from hinterland.cli.plan import over_budget
from hinterland.data.dataset.read import read_dataset
from hinterland.data.integrity.check import check_dataset
from hinterland.data.planning.plan import PlanCost
from hinterland.phantoms.dataset import make_phantoms


@pytest.fixture
def copy(phantoms, tmp_path):
    """A copy of the phantoms that a test may damage."""
    return shutil.copytree(phantoms, tmp_path / "copy")


def test_check_draws_the_tree_and_finds_nothing_wrong(hinterland, phantoms):
    result = hinterland("check", phantoms)
    assert "└── lesion  = full 5, lesion 5" in result.stdout
    assert "10 cases of 10 patients or groups: 5 train, 2 val, 3 test" in result.stdout
    assert "10 cases checked: 0 errors" in result.stdout


def test_check_lists_all_errors_and_exits_with_1(hinterland, copy):
    (copy / "labelsTr" / "phantom_000.png").write_bytes(b"no image")
    shutil.copy(
        copy / "imagesTr" / "phantom_001_0000.png", copy / "imagesTs" / "phantom_009_0000.png"
    )
    result = hinterland("check", copy, "--json", code=1)
    found = as_json(result)
    assert not found["ok"]
    assert found["errors"] >= 2
    cases = {p["case"] for p in found["problems"] if p["severity"] == "error"}
    assert "phantom_000" in cases
    assert len(cases) >= 2
    assert "lesion" in found["tree"]


def test_check_of_nothing(hinterland, tmp_path):
    result = hinterland("check", tmp_path / "nowhere", code=1)
    assert "there is no folder" in result.stdout
    assert "Traceback" not in result.stderr


def test_another_labels_yaml(hinterland, phantoms, tmp_path):
    labels = tmp_path / "labels.yaml"
    labels.write_text("tree: {background: {}, lesion: {}}\n"
                      "schemes: {full: {0: background, 5: lesion}}")  # fmt: skip
    found = as_json(hinterland("check", phantoms, "--labels", labels, "--json", code=1))
    assert {p["code"] for p in found["problems"] if p["severity"] == "error"}
    labels.write_text("tree: {background: {}, lesion")
    result = hinterland("plan", phantoms, "--labels", labels, code=1)
    assert result.stderr.startswith("error: ")
    assert str(labels) in result.stderr


def test_plan_is_written_once(hinterland, phantoms, tmp_path):
    file = tmp_path / "plan.json"
    result = hinterland("plan", phantoms, "--out", file)
    assert "dimensions  2D" in result.stdout
    assert "M parameters" in result.stdout
    before = file.read_text()
    refused = hinterland("plan", phantoms, "--memory", 1, "--out", file, code=1)
    assert "--overwrite" in refused.stderr
    assert file.read_text() == before
    found = as_json(hinterland("plan", phantoms, "--out", file, "--overwrite", "--json"))
    assert found["patch_size"] == json.loads(file.read_text())["patch_size"]
    assert found["parameters"] > 1e5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dims", 3], "one slice"),
        (["--planner", "mine"], "expected hinterland or nnunet"),
    ],
)
def test_plans_that_cannot_be_made(hinterland, phantoms, tmp_path, arguments, message):
    file = tmp_path / "plan.json"
    result = hinterland("plan", phantoms, "--out", file, *arguments, code=1)
    assert message in result.stderr
    assert not file.exists()


def test_a_plan_that_takes_more_than_was_given_says_so():
    assert over_budget(PlanCost(10**6, 2.0), 2.0) == ""
    assert "more than the 2 GB given" in over_budget(PlanCost(10**6, 2.1), 2.0)
    assert "--set batch_size=N" in over_budget(PlanCost(10**6, 2.1), 2.0)


def test_new_images_are_held_against_a_model(hinterland, phantoms, runs, tmp_path):
    shown = as_json(hinterland("check", phantoms / "imagesTs", "--for", runs / "binary", "--json"))
    assert (shown["ok"], shown["cases"], shown["errors"]) == (True, 3, 0)
    assert not [p for p in shown["problems"] if p["severity"] == "warning"]
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "colour.png")
    told = hinterland("check", tmp_path, "--for", runs / "binary", code=1)
    assert "colour.png has 3 channel(s); the model expects 1" in told.stderr


def test_copies_get_one_group(hinterland, copy, tmp_path):
    shutil.copy(copy / "imagesTr/phantom_001_0000.png", copy / "imagesTr/phantom_002_0000.png")
    hinterland("check", copy, "--group-duplicates", tmp_path / "groups.yaml")
    written = yaml.safe_load((tmp_path / "groups.yaml").read_text())["cases"]
    assert set(written) == {"phantom_001", "phantom_002"}
    spec = yaml.safe_load((copy / "labels.yaml").read_text())
    for name, settings in written.items():
        spec.setdefault("cases", {})[name] = {**spec.get("cases", {}).get(name, {}), **settings}
    (copy / "labels.yaml").write_text(yaml.safe_dump(spec))
    data = read_dataset(copy)
    assert data["phantom_001"].group == data["phantom_002"].group
    assert not [p for p in check_dataset(copy, workers=0).problems if p.severity == "warning"]


def test_a_drawn_split_is_what_fold_fixed_has(hinterland, tmp_path):
    data = make_phantoms(tmp_path / "data", (7, 2, 1), dims=2, size=32)
    assert "splits.json is there already" in hinterland("split", data, code=1).stderr
    assert "expected TRAIN-VAL-TEST" in hinterland(
        "split", data, "--shares", "most", "--overwrite", code=1
    ).stderr  # fmt: skip
    found = as_json(hinterland("split", data, "--pool", "--overwrite", "--json"))
    assert [found[part] for part in ("train", "val", "test")] == [7, 1, 2]
    drawn = read_dataset(data)
    assert [len(part) for part in (drawn.train, drawn.val, drawn.test)] == [7, 1, 2]
