"""`hinterland supports`: the whole way without foreign weights, and what a user sees."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli_helpers import FAST, as_json

from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.volume import read_label, write_label
from hinterland.phantoms.dataset import make_phantoms
from hinterland.training.runs.run import Run

NNUNET = os.environ.get("HINTERLAND_NNUNET_PYTHON")
LESION_ONLY = {
    "tree": {"background": {}, "lesion": {}},
    "target": ["lesion"],
    "schemes": {"full": {0: "background", 5: "lesion"}},
}


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other patients than those of `phantoms`; only their lesions are annotated."""
    folder = make_phantoms(tmp_path_factory.mktemp("rest") / "ds", (4, 1, 1), 7, dims=2, size=32)
    for file in folder.glob("labels*/*.png"):
        label = read_label(file)
        write_label(file, (label.array[0] == 5) * 5, like=label, overwrite=True)
    (folder / "labels.yaml").write_text(yaml.safe_dump(LESION_ONLY))
    return folder


def test_an_organ_model_of_one_part_labels_the_other(hinterland, runs, rest, tmp_path):
    out = tmp_path / "with organs"
    shown = as_json(hinterland("supports", "model", rest, runs / "backsplit", "--out", out,
                               "--json"))  # fmt: skip
    assert [e["structure"] for e in shown["structures"]] == ["host", "decoy", "bowel", "spine"]
    run, data = Run(runs / "backsplit"), read_dataset(out)
    cases = [c for c in data.cases if c.split != "test"]
    predicted = run.predict(cases, tmp_path / "predicted")
    for case in cases:
        ours = read_label(case.label).array
        model = read_label(predicted / f"{case.name}.png").array
        lesion = read_label(rest / "labelsTr" / f"{case.name}.png").array == 5
        assert (ours[lesion] == 5).all()
        names = data.labels.scheme(case.scheme)
        for node, value in {"host": 1, "decoy": 2, "bowel": 3, "spine": 4}.items():
            (ours_value,) = (v for v, s in names.values if s == data.labels.tree.leaves_under(node))
            np.testing.assert_array_equal(ours == ours_value, (model == value) & ~lesion)
    checked = as_json(hinterland("check", out, "--json"))
    assert checked["ok"]
    assert not checked["warnings"]
    hinterland("train", out, "--method", "backsplit", "--fold", "fixed", "--steps", 2,
               "--out", tmp_path / "run", *FAST)  # fmt: skip
    assert set(Run(tmp_path / "run").method.cells.names) == {
        "rest", "host", "decoy", "bowel", "spine", "lesion"
    }  # fmt: skip
    record = json.loads((out / "supports" / "provenance.json").read_text())
    assert record["source"]["trained_on"] == run.record.split["train"]


def test_the_dice_of_support_labels_with_true_ones(hinterland, phantoms, rest, tmp_path):
    truth = make_phantoms(tmp_path / "truth", (4, 1, 1), 7, dims=2, size=32)  # of `rest`
    asked = ["supports", "agreement", truth, truth, "--structures", "host,spine"]
    found = as_json(hinterland(*asked, "--out", tmp_path / "table.csv", "--json"))
    assert found["dice"] == {"host": 1.0, "spine": 1.0}
    assert "host: Dice 1.000" in hinterland(*asked).stdout
    assert (tmp_path / "table.csv").read_text().startswith("case,structure,dice")
    wrong = hinterland("supports", "agreement", rest, truth, "--structures", "host", code=1)
    assert "is not a structure of both" in wrong.stderr


@pytest.mark.slow
@pytest.mark.skipif(not NNUNET, reason="HINTERLAND_NNUNET_PYTHON names no Python with nnU-Net")
def test_nnunets_own_prediction_says_the_same(hinterland, runs, rest, tmp_path):
    hinterland("export", runs / "backsplit", tmp_path / "model", "--to", "nnunet")
    for name, model in (("theirs", tmp_path / "model"), ("ours", runs / "backsplit")):
        hinterland("supports", "model", rest, model, "--out", tmp_path / name, "--no-mirror",
                   "--device", "cpu")  # fmt: skip
    for case in read_dataset(tmp_path / "ours").train:
        theirs = read_label(tmp_path / "theirs" / "labelsTr" / f"{case.name}.png").array
        # three steps leave many near ties, and nnU-Net blends its tiles in half precision
        assert (read_label(case.label).array == theirs).mean() > 0.95


def test_masks_and_the_ways_to_get_it_wrong(hinterland, phantoms, rest, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for file in (rest / "labelsTr").iterdir():
        label = read_label(file)
        write_label(masks / file.name, np.ones_like(label.array[0]), like=label)
    out = tmp_path / "out"
    text = hinterland("supports", "masks", rest, masks, "--structures", "1=body", "--out", out)
    assert "body: in 5 of 5 cases" in text.stdout
    assert "lesion kept" in text.stdout
    again = hinterland("supports", "masks", rest, masks, "--out", out, code=1)
    assert "exists already" in again.stderr
    hinterland("supports", "masks", rest, masks, "--structures", "1=body", "--out", out,
               "--overwrite", "--cases", "val")  # fmt: skip
    assert "1 case" not in again.stderr
    wrong = hinterland("supports", "masks", rest, masks, "--structures", "2", "--out",
                       tmp_path / "no", "--json", code=1)  # fmt: skip
    assert "picks nothing" in as_json(wrong)["error"]
    nothing = hinterland("supports", "model", rest, tmp_path, "--out", tmp_path / "no", code=1)
    assert "is no model" in nothing.stderr
    origin = hinterland("supports", "nninteractive", rest, "--out", tmp_path / "no", code=1)
    assert "--masks FOLDER" in origin.stderr
    hinterland("supports", "masks", rest, "--out", out, code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["masks", "out"]


def test_a_model_of_other_channels_is_refused(hinterland, runs, rest, tmp_path):
    folder = tmp_path / "ds"
    shutil.copytree(rest, folder)
    content = json.loads((folder / "dataset.json").read_text())
    content["channel_names"] = {"0": "R", "1": "G", "2": "B"}
    (folder / "dataset.json").write_text(json.dumps(content))
    told = hinterland("supports", "model", folder, runs / "backsplit", "--out", tmp_path / "out",
                      code=1)  # fmt: skip
    assert "takes 1 channel(s)" in told.stderr


def test_the_earlier_word_names_the_new_one(hinterland, tmp_path):
    told = hinterland("auxiliary", "masks", tmp_path, tmp_path, "--out", tmp_path / "no", code=2)
    assert told.stderr.count("\n") == 1
    assert "`hinterland auxiliary` is called `hinterland supports` now" in told.stderr
