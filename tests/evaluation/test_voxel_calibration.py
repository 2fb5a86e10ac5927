"""Calibration of voxels: against scikit-learn, in simulation, and from files to the diagram."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from hinterland.data.io.volume import Header, write_label, write_probabilities
from hinterland.evaluation.calibration import calibrate_folder, voxel_calibration
from hinterland.studies.calibration import analyse_calibration
from hinterland.types import HinterlandError

SHAPE = (6, 30, 32)
HEADER = Header((1, *SHAPE), np.diag([1.0, 1.5, 3.0, 1.0]), np.dtype("uint8"))
LABELS = """\
tree: {background: {}, lesion: {core: {}, rim: {}}}
target: [lesion]
schemes:
  full: {0: background, 1: core, 2: rim, 9: any}
"""


def test_scikit_learn_says_the_same():
    draw = np.random.default_rng(0)
    p = draw.uniform(size=5000) ** 2
    inside = draw.uniform(size=5000) < p**1.5
    found = voxel_calibration(p.reshape(50, 100), inside.reshape(50, 100), bins=10)
    assert found.brier == pytest.approx(brier_score_loss(inside, p))
    share, mean = calibration_curve(inside, p, n_bins=10)
    n = found.counts[:, 0]
    assert found.counts[:, 2] / n == pytest.approx(share)
    assert found.counts[:, 1] / n == pytest.approx(mean)
    assert found.ece == pytest.approx((n / n.sum() * np.abs(mean - share)).sum())


def test_calibrated_and_overconfident_probabilities():
    draw = np.random.default_rng(1)
    p = draw.uniform(size=200_000)
    inside = draw.uniform(size=p.size) < p
    assert voxel_calibration(p, inside).ece < 0.01
    sharper = p**3 / (p**3 + (1 - p) ** 3)
    expected = np.abs(sharper - p).mean()  # the same side of a half throughout a bin, nearly
    assert voxel_calibration(sharper, inside).ece == pytest.approx(expected, abs=0.01)


@pytest.fixture
def folders(tmp_path):
    """Two cases predicted at `target`: p inside, 9 in the reference is anybody's guess."""
    references, predictions = tmp_path / "refs", tmp_path / "preds"
    (predictions / "probabilities").mkdir(parents=True)
    references.mkdir()
    (tmp_path / "labels.yaml").write_text(LABELS)
    (predictions / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "lesion": 1}})
    )
    draw = np.random.default_rng(2)
    truth = {}
    for name in ("one", "two"):
        p = np.zeros(SHAPE)
        p[1:4, 8:18, 8:18] = draw.uniform(size=(3, 10, 10))
        reference = (draw.uniform(size=SHAPE) < p).astype(np.uint8)
        reference[reference > 0] += draw.integers(0, 2, int(reference.sum())).astype(np.uint8)
        reference[1, 8:10, 8:18] = 9
        probabilities = np.stack([1 - p, p]).astype(np.float32)
        write_label(references / f"{name}.nii.gz", reference, HEADER)
        write_label(predictions / f"{name}.nii.gz", (p >= 0.5).astype(np.uint8), HEADER)
        write_probabilities(predictions / "probabilities" / f"{name}.nii.gz", probabilities, HEADER)
        truth[name] = p, reference
    return tmp_path, predictions, references, truth


def test_cases_and_bins_from_files(folders):
    base, predictions, references, truth = folders
    cases, bins = calibrate_folder(predictions, references, spec=base / "labels.yaml")
    assert list(cases["case"]) == ["one", "two"]
    for row in cases.to_dict("records"):
        p, reference = truth[row["case"]]
        decided = reference != 9
        inside = (reference == 1) | (reference == 2)
        assert row["voxels"] == decided.sum()
        assert row["brier"] == pytest.approx(((p - inside)[decided] ** 2).mean(), abs=1e-6)
        near = np.zeros(SHAPE, bool)
        near[:, 3:23, 3:23] = True  # the block 1:4, 8:18, 8:18 and five voxels around it
        near &= decided
        assert row["voxels_near"] == near.sum()
        assert row["brier_near"] == pytest.approx(((p - inside)[near] ** 2).mean(), abs=1e-6)
        assert row["brier_near"] > 2 * row["brier"]
    assert bins["voxels"].sum() == cases["voxels_near"].sum()
    inside = sum(((r == 1) | (r == 2)).sum() for _, r in truth.values())
    assert (bins["voxels"] * bins["share"]).sum() == pytest.approx(inside)


def test_the_command_writes_tables_and_a_diagram(folders):
    base, predictions, references, _ = folders
    out = base / "out"
    found = analyse_calibration(predictions, references, out, labels=base / "labels.yaml")
    table = pd.read_csv(out / "cases.csv")
    assert found["classes"]["lesion"]["ece"]["mean"] == pytest.approx(table["ece"].mean())
    assert (out / "reliability.png").stat().st_size > 5000
    assert json.loads((out / "summary.json").read_text())["classes"].keys() == {"lesion"}
    with pytest.raises(HinterlandError, match="--overwrite"):
        analyse_calibration(predictions, references, out, labels=base / "labels.yaml")


def test_another_question_another_grid_and_none_are_refused(folders):
    base, predictions, references, _ = folders
    labels = base / "labels.yaml"
    with pytest.raises(HinterlandError, match="probabilities"):
        calibrate_folder(references, references, spec=labels)
    file = predictions / "probabilities" / "one.nii.gz"
    three = np.full((3, *SHAPE), 1 / 3, np.float32)
    write_probabilities(file, three, HEADER, overwrite=True)
    with pytest.raises(HinterlandError, match=r"expected 2 groups \(.*lesion\)"):
        calibrate_folder(predictions, references, spec=labels)
    moved = Header((1, *SHAPE), np.diag([1.0, 1.5, 5.0, 1.0]), np.dtype("uint8"))
    write_probabilities(file, three[:2], moved, overwrite=True)
    with pytest.raises(HinterlandError, match="differ in spacing"):
        calibrate_folder(predictions, references, spec=labels)
