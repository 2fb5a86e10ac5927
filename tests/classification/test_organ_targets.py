"""Organ masks x image labels: the target is the organ in which the finding is, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from hinterland.classification.dataset.cases import answers_in
from hinterland.classification.dataset.organ_targets import Pair, parse_pairs
from hinterland.classification.dataset.task import parse_task
from hinterland.cli.main import app
from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.volume import read_label
from hinterland.phantoms.anatomy import DECOY, HOST, LESION
from hinterland.phantoms.dataset import phantom_case
from hinterland.types import HinterlandError

NAMES = ("both", "left", "none", "open", "lost", "dark")
ROWS = """case,L1,L2,patient_overall
both,1,yes,1
left,1,0,1
none,0,no,0
open,0,,
lost,1,0,1
dark,,,0
"""
TREE = """
tree: {background: {}, lesion: {}}
target: [lesion]
schemes: {full: {0: background, 1: lesion}}
image_labels: labels.csv
"""
FIND = "L*:organ_L*:fracture"


@pytest.fixture
def scans(tmp_path: Path) -> tuple[Path, Path]:
    """Six phantoms without masks, and another tool's organs, stored with flipped axes."""
    root, masks = tmp_path / "scans", tmp_path / "tool"
    (root / "images").mkdir(parents=True)
    masks.mkdir()
    (root / "labels.yaml").write_text(TREE)
    (root / "labels.csv").write_text(ROWS)
    parts = {"train": [*NAMES[:4], "lost"], "val": ["dark"]}
    (root / "splits.json").write_text(json.dumps(parts))
    names = {"background": 0, "organ_L1": 1, "organ_L2": 2, "liver": 3}
    (masks / "dataset.json").write_text(json.dumps({"labels": names}))
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    for index, name in enumerate(NAMES):
        phantom = phantom_case(index, shape=(20, 20, 20))
        organs = np.zeros(phantom.label.shape, np.uint8)
        organs[np.isin(phantom.label, (HOST, LESION))] = 0 if name == "lost" else 1
        organs[phantom.label == DECOY] = 2
        image = nib.Nifti1Image(phantom.image.T, affine)
        nib.save(image, root / "images" / f"{name}.nii.gz")
        moved = affine.copy()
        moved[0] = [2.0, 0, 0, -2.0 * 19]
        nib.save(nib.Nifti1Image(organs.T[::-1], moved), masks / f"{name}.nii.gz")
    return root, masks


def organ(name: str, value: int) -> np.ndarray:
    label = phantom_case(NAMES.index(name), shape=(20, 20, 20)).label
    return np.isin(label, (HOST, LESION) if value == 1 else (DECOY,))


def test_a_vertebra_with_a_fracture_is_the_target(scans, tmp_path):
    out = tmp_path / "fractures"
    words = ["classify", "targets", *map(str, scans), "--find", FIND, "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["pairs"][1] == {"finding": "L2", "organ": "organ_L2", "node": "fracture"}
    assert [told[k] for k in ("present", "absent", "unknown", "left_out")] == [2, 2, 1, 1]
    made = read_dataset(out)
    spec = made.labels
    meaning = {
        v: {
            n
            for n in ("rest", "fracture", "without_fracture")
            if spec.tree.leaves_under(n) & leaves
        }
        for v, leaves in spec.scheme("targets").label_values.items()
    }
    target, without = {"fracture"}, {"without_fracture"}
    expected = {
        "both": (target, target),
        "left": (target, without),
        "none": (without, without),
        "open": (without, {"fracture", "without_fracture"}),
    }
    for name, wanted in expected.items():
        label = read_label(made[name].label, made[name].images[0]).array[0]
        rest = ~(organ(name, 1) | organ(name, 2))
        assert meaning[label[rest].min()] == meaning[label[rest].max()] == {"rest"}
        for value, leaves in zip((1, 2), wanted, strict=True):
            inside = label[organ(name, value)]
            assert len(inside)
            assert [meaning[v] for v in np.unique(inside)] == [leaves]
    assert not made["lost"].labelled  # a fracture whose vertebra was not found
    assert not made["dark"].labelled  # nothing known of any level
    assert made["dark"].split == "val"
    task = parse_task("fracture", made.cases, spec.tree)
    values = {c.name: np.unique(read_label(c.label).array).tolist()
              for c in made.cases if c.label is not None}  # fmt: skip
    answers = answers_in(task, made, values)
    assert answers == {"both": 1, "left": 1, "none": 0, "lost": 1}
    checked = CliRunner().invoke(app, ["check", str(out)])
    assert checked.exit_code == 0, checked.output
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1
    assert "--overwrite" in again.output
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0


def test_a_sum_that_contradicts_its_parts_is_refused(scans, tmp_path):
    root, masks = scans
    (root / "labels.csv").write_text(ROWS.replace("none,0,no,0", "none,0,no,1"))
    words = ["classify", "targets", str(root), str(masks), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--find", "L*:organ_L*:patient_overall"])
    assert done.exit_code == 1
    assert "1 case(s) (none)" in done.output
    assert not (tmp_path / "out").exists()


def test_pairs_are_spelt_out_or_refused():
    columns, organs = ["C1", "C2", "side"], ["bone_C1", "bone_C2", "skull"]
    assert parse_pairs(["C1:bone_C1"], columns, organs) == (Pair("C1", "bone_C1", "C1"),)
    assert parse_pairs(["side=left:skull"], columns, organs)[0].node == "left"
    both = parse_pairs(["C*:bone_C*:fracture_C*"], columns, organs)
    assert [p.node for p in both] == ["fracture_C1", "fracture_C2"]
    for texts, message in [
        (["C1"], "expected FINDING:ORGAN"),
        (["D*:bone_D*"], "no column"),
        (["C1:rib"], "the masks hold bone_C1"),
        (["C1:skull", "C2:skull"], "stands in two pairs"),
    ]:
        with pytest.raises(HinterlandError, match=message):
            parse_pairs(texts, columns, organs)
