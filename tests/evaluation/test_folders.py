"""Folders of predictions: any format, any labels, one clear message for each kind of trouble."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from factories import spec_of

from hinterland.data.io.volume import Volume, write_label
from hinterland.evaluation.folders import Origin, evaluate_folders
from hinterland.evaluation.metrics.conventions import evaluate_conventions, side_by_side
from hinterland.evaluation.metrics.metrics import MetricSettings, measure
from hinterland.labels import LabelSpec
from hinterland.report.false_positives import cases_without_class, false_positives_by_structure
from hinterland.types import Case, HinterlandError

SPACING = (2.5, 0.7, 0.9)  # z, y, x
LABELS = {
    "tree": {"background": {"lung": {}, "rest": {}}, "infection": {}},
    "target": {"lesion": ["infection"], "all": ["lung", "infection"]},
    "schemes": {
        "full": {0: "rest", 1: "lung", 2: "infection"},
        "lesion": {0: "background", 2: "infection"},
    },
    "cases": {"b": {"scheme": "lesion", "group": "p1"}, "c": {"group": "p1"}},
}


def volume(array: np.ndarray, spacing: tuple[float, ...] = SPACING) -> Volume:
    return Volume(array[None], np.diag([spacing[2], spacing[1], spacing[0], 1.0]))


def labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    array = np.zeros((6, 20, 24), np.uint8)
    array[1:5, 3:16, 4:20] = 1
    y, x = rng.integers(4, 10, 2)
    array[2:4, y : y + 4, x : x + 5] = 2
    return array


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and references of three cases; `b` is annotated for the lesion only."""
    pred, ref = tmp_path / "pred", tmp_path / "ref"
    pred.mkdir()
    ref.mkdir()
    for i, name in enumerate("abc"):
        truth = labels(i)
        guess = np.roll(truth, 1, axis=2)
        if name == "b":
            truth = np.where(truth == 2, 2, 0)
        write_label(ref / f"{name}.nii.gz", truth, volume(truth))
        write_label(pred / f"{name}.nii.gz", guess, volume(guess))
    (ref / "labels.yaml").write_text(yaml.safe_dump(LABELS))
    return pred, ref


def spec() -> LabelSpec:
    return spec_of(**LABELS)


def test_rows_are_what_the_arrays_say(folders: tuple[Path, Path]) -> None:
    table = evaluate_folders(*folders, origin=Origin("m", "0", 3))
    assert list(table.columns[:8]) == [
        "case", "class", "coarsening", "fold", "method", "seed", "group", "domain",
    ]  # fmt: skip
    assert len(table) == 3 * (1 + 2)
    truth, guess = labels(0), np.roll(labels(0), 1, axis=2)
    expected = measure(guess == 2, truth == 2, SPACING)
    row = table.query("case == 'a' and coarsening == 'lesion'").iloc[0]
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-5), name
    assert (row["class"], row["method"], row["fold"], row["seed"]) == ("infection", "m", "0", 3)
    assert (row["empty"], row["unit"], row["decided"]) == ("penalty", "mm", 1.0)
    assert table.groupby("case")["group"].first().to_dict() == {"a": "a", "b": "p1", "c": "p1"}


def test_what_the_reference_leaves_open_is_not_judged(folders: tuple[Path, Path]) -> None:
    table = evaluate_folders(*folders).set_index(["case", "coarsening", "class"])
    partial = table.loc[("b", "all", "lung")]
    assert np.isnan(partial["dice"])  # its scheme never says lung
    assert partial["decided"] == 0.0
    assert table.loc[("b", "lesion", "infection"), "decided"] == 1.0
    assert table.loc[("b", "lesion", "infection"), "dice"] > 0.5


def test_undecided_voxels_are_taken_out(tmp_path: Path) -> None:
    from hinterland.evaluation.metrics.case import evaluate_case

    told = dict(
        LABELS, schemes={"full": {0: "rest", 1: "lung", 2: "infection", 3: "any"}}, cases={}
    )
    known = spec_of(**told)
    truth = labels(0)
    guess = truth.copy()
    guess[:, :, :10][guess[:, :, :10] == 0] = 1  # wrong, but only where nothing is said
    truth[:, :, :10] = 3
    rows = evaluate_case(guess, truth, SPACING, known.tree.leaves, known.default_scheme)
    by_class = {row["class"]: row for row in rows}
    assert by_class["lung"]["dice"] == 1.0
    assert by_class["lung"]["decided"] == pytest.approx(14 / 24)
    assert by_class["lung"]["prediction_voxels"] == (truth == 1).sum()


def test_thread_count_changes_nothing(folders: tuple[Path, Path]) -> None:
    before = threading.active_count()
    one, many = (evaluate_folders(*folders, lesions=True, threads=t) for t in (1, 8))
    pd.testing.assert_frame_equal(one, many)
    assert threading.active_count() == before


def test_cases_of_a_dataset(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    cases = [Case(n, (), ref / f"{n}.nii.gz", "lesion" if n == "b" else "full", group=f"g{n}",
                  domain="h1") for n in "abc"]  # fmt: skip
    table = evaluate_folders(pred, cases, spec=spec(), at="lesion")
    assert table["group"].tolist() == ["ga", "gb", "gc"]
    assert set(table["domain"]) == {"h1"}
    assert set(table["coarsening"]) == {"lesion"}
    subset = evaluate_folders(pred, cases, spec=spec(), at="lesion", cases=["c"])
    assert subset["case"].tolist() == ["c"]


def test_labels_json_says_what_predictions_mean(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    expected = evaluate_folders(pred, ref, at="lesion")
    for i, name in enumerate("abc"):
        guess = np.roll(labels(i), 1, axis=2)
        binary = np.where(guess == 2, 1, 0)
        write_label(pred / f"{name}.nii.gz", binary, volume(guess), overwrite=True)
    (pred / "labels.json").write_text(json.dumps({"labels": {"background": 0, "infection": 1}}))
    pd.testing.assert_frame_equal(evaluate_folders(pred, ref, at="lesion"), expected)
    with pytest.raises(HinterlandError, match=r"means one of \['lung', 'rest'\]"):
        evaluate_folders(pred, ref, at="all")


def test_nnunet_output_folder(tmp_path: Path) -> None:
    """As nnU-Net leaves it: dataset.json, plans.json and probabilities beside the predictions."""
    out, ref = tmp_path / "out", tmp_path / "Dataset001_X" / "labelsTs"
    out.mkdir()
    ref.mkdir(parents=True)
    content = {
        "labels": {"background": 0, "lung": 1, "infection": 2},
        "channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "numTraining": 2,
    }  # fmt: skip
    for folder in (out, ref.parent):
        (folder / "dataset.json").write_text(json.dumps(content))
    (out / "plans.json").write_text("{}")
    (out / "case_1.npz").write_bytes(b"")
    (out / "case_1.pkl").write_bytes(b"")
    write_label(out / "case_1.nii.gz", labels(0), volume(labels(0)))
    write_label(ref / "case_1.nii.gz", labels(0), volume(labels(0)))
    table = evaluate_folders(out, ref)
    assert table["class"].tolist() == ["lung", "infection"]
    assert (table["dice"] == 1).all()
    assert (table["hd95"] == 0).all()


def test_regions_are_questions(tmp_path: Path) -> None:
    pred, ref = tmp_path / "p", tmp_path / "r"
    pred.mkdir()
    ref.mkdir()
    regions = {"background": 0, "whole": [1, 2], "core": 2}
    for folder in (pred, ref):
        (folder / "dataset.json").write_text(json.dumps({"labels": regions}))
        write_label(folder / "a.nii.gz", labels(0), volume(labels(0)))
    table = evaluate_folders(pred, ref).set_index("class")
    assert table.loc["whole", "reference_voxels"] == (labels(0) > 0).sum()
    assert table.loc["core", "reference_voxels"] == (labels(0) == 2).sum()


def test_pngs_without_any_description_are_measured_in_voxels(tmp_path: Path) -> None:
    pred, ref = tmp_path / "p", tmp_path / "r"
    truth = np.zeros((1, 30, 40), np.uint8)
    truth[0, 5:20, 5:25] = 255
    for folder, array in ((pred, np.roll(truth, 2, axis=1)), (ref, truth)):
        folder.mkdir()
        write_label(folder / "x.png", array, Volume(array[None], np.eye(4)))
    row = evaluate_folders(pred, ref).iloc[0]
    assert row["class"] == "label 255"
    assert (row["unit"], row["hd95"]) == ("voxel", 2.0)
    assert np.isnan(row["volume_error_ml"])


def test_unknown_spacing_means_voxels(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    told = spec_of(**LABELS, spacing="unknown")
    row = evaluate_folders(pred, ref, spec=told, at="lesion").iloc[0]
    truth, guess = labels(0) == 2, np.roll(labels(0), 1, axis=2) == 2
    assert row["unit"] == "voxel"
    assert row["hd95"] == measure(guess, truth, (1.0, 1.0, 1.0))["hd95"]
    assert np.isnan(row["volume_error_ml"])


def test_arrays_of_other_types() -> None:
    from hinterland.evaluation.metrics.case import evaluate_case

    told = spec_of({"rest": {}, "x": {}})
    scheme, at = told.default_scheme, told.tree.leaves
    truth = labels(0) == 2
    for kind in (bool, np.uint8, np.int8, np.int64):
        row = evaluate_case(truth.astype(kind), truth.astype(kind), SPACING, at, scheme)[0]
        assert row["dice"] == 1.0
        assert row["reference_voxels"] == truth.sum()
    with pytest.raises(HinterlandError, match="holds float64 values"):
        evaluate_case(truth.astype(float), truth.astype(int), SPACING, at, scheme)
    with pytest.raises(HinterlandError, match="holds the label -1"):
        evaluate_case(-truth.astype(int), truth.astype(int), SPACING, at, scheme)


def test_trouble_is_one_clear_message(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    for first, second, message in (
        (empty, ref, "holds no label file"),
        (pred, empty, "holds no label file"),
        (tmp_path / "nowhere", ref, "there is no folder"),
    ):
        with pytest.raises(HinterlandError, match=message):
            evaluate_folders(first, second)
    with pytest.raises(HinterlandError, match="no reference for z"):
        evaluate_folders(pred, ref, cases=["a", "z"])
    (pred / "d.nii.gz").write_bytes((pred / "a.nii.gz").read_bytes())
    (pred / "b.nii.gz").unlink()
    with pytest.raises(HinterlandError) as caught:
        evaluate_folders(pred, ref)
    assert "1 of 3 references have no prediction: b" in str(caught.value)
    assert "1 predictions have no reference: d" in str(caught.value)
    with pytest.raises(HinterlandError, match="no prediction: b") as caught:
        evaluate_folders(pred, ref, extra=True)
    assert "have no reference" not in str(caught.value)


def test_other_geometry_is_refused(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    small = labels(0)[:, :, :-1]
    write_label(pred / "a.nii.gz", small, volume(small), overwrite=True)
    with pytest.raises(HinterlandError, match=r"a: the prediction has the shape \(6, 20, 23\)"):
        evaluate_folders(pred, ref)
    guess = labels(0)
    write_label(pred / "a.nii.gz", guess, volume(guess, (1.0, 1.0, 1.0)), overwrite=True)
    with pytest.raises(HinterlandError, match=r"a: the prediction has the spacing \(1, 1, 1\)"):
        evaluate_folders(pred, ref)
    trusted = evaluate_folders(pred, ref, trust_reference=True)
    assert trusted.query("case == 'a'")["dice"].min() == 1.0
    flipped = Volume(guess[None], np.diag([-0.9, 0.7, 2.5, 1.0]))
    write_label(pred / "a.nii.gz", guess, flipped, overwrite=True)
    with pytest.raises(HinterlandError, match="another orientation"):
        evaluate_folders(pred, ref)


def test_labels_nobody_names_are_refused(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    strange = labels(0)
    strange[0, 0, :2] = 7, 9
    write_label(pred / "a.nii.gz", strange, volume(strange), overwrite=True)
    with pytest.raises(HinterlandError, match=r"a: the prediction holds the labels 7, 9, which"):
        evaluate_folders(pred, ref)
    write_label(pred / "a.nii.gz", labels(0), volume(strange), overwrite=True)
    write_label(ref / "a.nii.gz", strange, volume(strange), overwrite=True)
    with pytest.raises(HinterlandError, match="a: the reference holds the labels 7, 9"):
        evaluate_folders(pred, ref)
    (pred / "labels.json").write_text(json.dumps({"kidney": 1}))
    with pytest.raises(HinterlandError, match=r"labels\.json: 'kidney' is not in the label tree"):
        evaluate_folders(pred, ref)
    (pred / "labels.json").write_text("[1, 2")
    with pytest.raises(HinterlandError, match="does not say what the predicted labels are"):
        evaluate_folders(pred, ref)


def test_convention_table(folders: tuple[Path, Path]) -> None:
    """A missed lesion: the diagonal, left out, or nothing, for the same masks."""
    pred, ref = folders
    guess = np.roll(labels(0), 1, axis=2)
    write_label(pred / "a.nii.gz", np.where(guess == 2, 1, guess), volume(guess), overwrite=True)
    long = evaluate_conventions(pred, ref, at="lesion", cases=["a", "c"])
    assert set(long["convention"]) == {"hinterland", "monai", "medpy", "ssl4mis"}
    table = side_by_side(long).set_index("metric")
    c = np.roll(labels(2), 1, axis=2) == 2, labels(2) == 2
    alone = measure(*c, SPACING, MetricSettings(hausdorff="pooled"))["hd95"]
    assert table.loc["hd95", "medpy"] == pytest.approx(alone, rel=1e-5)
    assert table.loc["hd95", "cases medpy"] == 1
    assert table.loc["hd95", "cases hinterland"] == 2
    in_voxels = measure(*c, SPACING, MetricSettings(hausdorff="pooled", unit="voxel"))["hd95"]
    assert table.loc["hd95", "ssl4mis"] == pytest.approx(in_voxels / 2)  # the miss costs 0
    diagonal = np.linalg.norm(np.array([6, 20, 24]) * SPACING)
    ours = measure(*c, SPACING)["hd95"]
    assert table.loc["hd95", "hinterland"] == pytest.approx((diagonal + ours) / 2, rel=1e-5)
    assert table.loc["hd95", "spread"] > 10
    assert np.isinf(table.loc["assd", "monai"])


def test_false_positives_on_cases_without_the_class_and_where(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    without = np.where(labels(0) == 2, 1, labels(0))
    write_label(ref / "a.nii.gz", without, volume(without), overwrite=True)
    guess = without.copy()
    guess[2, 5:7, 5:9] = 2  # 8 voxels in the lung
    guess[0, 0, 0:2] = 2  # 2 in the rest
    write_label(pred / "a.nii.gz", guess, volume(guess), overwrite=True)
    row = cases_without_class(evaluate_folders(pred, ref, at="lesion")).iloc[0]
    assert (row["cases"], row["with_prediction"], row["share"]) == (1, 1, 1.0)
    assert row["mean_ml"] == pytest.approx(10 * np.prod(SPACING) / 1000, rel=1e-5)
    where = false_positives_by_structure(pred, ref, at="lesion").set_index(["case", "structure"])
    assert where.loc[("a", "lung"), "voxels"] == 8
    assert where.loc[("a", "rest"), "voxels"] == 2
    assert where.loc[("a", "lung"), "share"] == pytest.approx(0.8)
    assert where.loc[("b", "background"), "voxels"] > 0  # the reference of b says no more
    full = false_positives_by_structure(pred, ref, at="lesion", support=pred)
    in_b = full[full["case"] == "b"].set_index("structure")["voxels"]
    assert in_b["infection"] == in_b.sum()  # by the prediction itself all of it is lesion


@pytest.mark.data
def test_real_masks_against_themselves(data_root: Path) -> None:
    folder = data_root / "Dataset027_ACDC" / "labelsTs"
    names = sorted(p.name[:-7] for p in folder.glob("*.nii.gz"))[:6]
    table = evaluate_folders(folder, folder, cases=names, lesions=True)
    assert len(table) == 18
    assert (table["dice"] == 1).all()
    assert (table[["hd95", "assd", "lesion_false_positives"]] == 0).all(axis=None)
