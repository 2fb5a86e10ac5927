"""Prediction and reference meet on one grid: turned where exact, refused with the right blame."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_helpers import as_json
from factories import spec_of
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hinterland.cli.main import app
from hinterland.data.io.grid import Grid, on_grid
from hinterland.data.io.volume import Volume, write_label, write_probabilities
from hinterland.evaluation.folders import evaluate_folders
from hinterland.evaluation.metrics.metrics import MetricSettings, hd95, measure, nsd
from hinterland.evaluation.table import read_table, write_table
from hinterland.types import Case, HinterlandError

AFFINE = np.array([[1.5, 0, 0, -20], [0, 2, 0, 5], [0, 0, 3, 7], [0, 0, 0, 1.0]])  # x, y, z
SPEC = spec_of({"rest": {}, "lesion": {}})


def mask(shift: int = 0) -> np.ndarray:
    array = np.zeros((6, 8, 10), np.uint8)
    array[1:4, 2:6, 1 + shift : 5 + shift] = 1
    return array


def write(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE, name: str = "a") -> Path:
    folder.mkdir(exist_ok=True)
    return write_label(folder / f"{name}.nii.gz", array, Volume(array[None], affine))


def reordered(array: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same voxels with axes (x, y, z) permuted and flipped, and the affine that says so."""
    step = np.zeros((4, 4))
    step[3, 3] = 1
    size = array.shape[::-1]
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        step[old, new] = -1 if flip else 1
        step[old, 3] = size[old] - 1 if flip else 0
    xyz = array.transpose(2, 1, 0).transpose(order)
    xyz = np.flip(xyz, [i for i, flip in enumerate(flips) if flip])
    return Volume(np.ascontiguousarray(xyz.transpose(2, 1, 0))[None], AFFINE @ step)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_every_order_of_axes_is_turned_back_exactly(
    order: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    array = np.random.default_rng(0).integers(0, 9, (3, 4, 5)).astype(np.uint8)
    stored = reordered(array, order, flips)
    back = on_grid(stored.array, stored.affine, Grid((3, 4, 5), AFFINE))
    assert back is not None
    assert np.array_equal(back[0], array)


def test_a_prediction_stored_in_another_order_scores_the_same(tmp_path: Path) -> None:
    write(tmp_path / "ref", mask())
    write(tmp_path / "straight", mask(1))
    stored = reordered(mask(1), (2, 0, 1), (True, False, True))
    write(tmp_path / "turned", stored.array[0], stored.affine)
    straight, turned = (
        evaluate_folders(tmp_path / f, tmp_path / "ref", spec=SPEC) for f in ("straight", "turned")
    )
    assert 0 < straight["dice"].item() < 1
    for column in ("dice", "hd95", "nsd", "prediction_ml"):
        assert turned[column].item() == pytest.approx(straight[column].item())


def test_a_prediction_whose_origin_is_far_away_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "ref", mask())
    away = AFFINE.copy()
    away[0, 3] += 50
    write(tmp_path / "pred", mask(), away)
    arguments = ["evaluate", tmp_path / "pred", tmp_path / "ref", "--out", tmp_path / "m.csv"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    assert "a: the prediction has the origin (30, 5, 7) mm (x, y, z), 50 mm away" in result.stderr
    trusted = CliRunner().invoke(app, [*map(str, arguments), "--trust-reference", "--json"])
    assert as_json(trusted)["results"][0]["mean"] == 1.0
    rounded = AFFINE.copy()
    rounded[:3, 3] += 1e-4  # as text headers round
    write(tmp_path / "close", mask(), rounded)
    table = evaluate_folders(tmp_path / "close", tmp_path / "ref", spec=SPEC)
    assert table["dice"].item() == 1.0


def test_a_label_that_does_not_lie_on_its_image_is_blamed_itself(tmp_path: Path) -> None:
    image = Volume(np.zeros((1, 6, 8, 10), np.float32), AFFINE)
    path = write_probabilities(tmp_path / "image.nii.gz", image.array, image)
    mirrored = AFFINE @ np.diag([-1.0, 1, 1, 1])  # x runs the other way, and the origin stays
    label = write(tmp_path / "labels", mask(), mirrored)
    write(tmp_path / "pred", mask())
    case = Case("a", (path,), label, "full", "p", None, "test")
    with pytest.raises(HinterlandError, match="the reference label and its image differ in") as e:
        evaluate_folders(tmp_path / "pred", [case], spec=SPEC)
    assert "it is the label" in str(e.value)
    assert str(label) in str(e.value)
    straight = replace(case, label=write(tmp_path / "good", mask()))
    write(tmp_path / "bad", mask(), mirrored)
    with pytest.raises(HinterlandError, match="a: the prediction has another orientation"):
        evaluate_folders(tmp_path / "bad", [straight], spec=SPEC)


def test_links_to_nothing_and_unknown_cases_are_errors(tmp_path: Path) -> None:
    write(tmp_path / "ref", mask())
    write(tmp_path / "ref", mask(), name="b")
    write(tmp_path / "pred", mask())
    write(tmp_path / "pred", mask(), name="b")
    (tmp_path / "ref" / "b.nii.gz").unlink()
    (tmp_path / "ref" / "b.nii.gz").symlink_to(tmp_path / "annex" / "b.nii.gz")
    with pytest.raises(HinterlandError, match=r"b\.nii\.gz is a link to a file that is not there"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref", spec=SPEC, extra=True)
    (tmp_path / "ref" / "b.nii.gz").unlink()
    case = Case("a", (tmp_path / "ref" / "a.nii.gz",), tmp_path / "ref" / "a.nii.gz", "full", "a",
                None, "test")  # fmt: skip
    with pytest.raises(HinterlandError, match="no case typo"):
        evaluate_folders(tmp_path / "pred", [case], spec=SPEC, cases=["a", "typo"])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice_along_any_axis_is_an_image(axis: int) -> None:
    rng = np.random.default_rng(5)
    prediction, reference = rng.random((2, 14, 17)) > 0.6
    spacing = [0.8, 1.7]
    flat = measure(prediction, reference, spacing)
    thick = [*spacing]
    thick.insert(axis, 9.0)
    volume = measure(np.expand_dims(prediction, axis), np.expand_dims(reference, axis), thick)
    for name in ("dice", "hd95", "assd", "nsd"):
        assert volume[name] == flat[name], name
    empty = np.zeros_like(reference)
    far = hd95(np.expand_dims(prediction, axis), np.expand_dims(empty, axis), thick)
    assert far == pytest.approx(np.hypot(14 * 0.8, 17 * 1.7))


def test_a_single_sagittal_slice_is_measured_in_its_plane(tmp_path: Path) -> None:
    """As a volume every voxel of the slice would be surface, and HD95 too small."""
    plane = np.zeros((2, 20, 20), np.uint8)
    plane[0, 2:16, 2:16] = plane[1, 2:16, 5:19] = 1
    for name, array in zip(("pred", "ref"), plane, strict=True):
        write(tmp_path / name, array[:, :, None], np.eye(4))  # (z, y, 1)
    found = evaluate_folders(tmp_path / "pred", tmp_path / "ref", spec=SPEC)
    expected = measure(plane[0] == 1, plane[1] == 1, (1.0, 1.0))
    assert found["hd95"].item() == expected["hd95"]
    assert found["assd"].item() == expected["assd"]


@given(st.sampled_from([1, 2, 3]), st.floats(-3e-7, 3e-7), st.integers(0, 9))
def test_nsd_does_not_depend_on_header_rounding(steps: int, error: float, seed: int) -> None:
    prediction, reference = np.random.default_rng(seed).random((2, 6, 7, 8)) > 0.6
    exact = nsd(prediction, reference, (1.0, 1.0, 1.0), tolerance=float(steps))
    spacing = (1.0 + error, 1.0 - error, 1.0 + error / 2)
    assert nsd(prediction, reference, spacing, tolerance=float(steps)) == exact


def test_oblique_headers_give_the_same_nsd(tmp_path: Path) -> None:
    angle = np.deg2rad(17.0)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    found = []
    for name, affine in (("straight", np.eye(4)), ("oblique", rotation)):
        for part, shift in (("ref", 0), ("pred", 1)):
            write(tmp_path / f"{name}-{part}", mask(shift), affine.astype(np.float32))
        settings = MetricSettings(tolerance=1.0)
        table = evaluate_folders(
            tmp_path / f"{name}-pred", tmp_path / f"{name}-ref", spec=SPEC, settings=settings
        )
        found.append(table["nsd"].item())
    assert found[0] == found[1] == 1.0


def test_formulas_in_names_are_text_in_a_spreadsheet_and_read_back(tmp_path: Path) -> None:
    write(tmp_path / "ref", mask())
    write(tmp_path / "pred", mask(1))
    table = evaluate_folders(tmp_path / "pred", tmp_path / "ref", spec=SPEC)
    names = ["=cmd|'/c calc'!A0", "+1", "-1", "@SUM(A1)", "'=1", "''-2", "plain", "NA", "nan", "'a"]
    whole = pd.concat([table.assign(case=name, group=name) for name in names])
    path = write_table(whole, tmp_path / "m.csv")
    cells = [line.split(",")[0].strip('"') for line in path.read_text().splitlines()[1:]]
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    back = read_table(path)
    assert back["case"].tolist() == back["group"].tolist() == names
    assert back["dice"].tolist() == pytest.approx(whole["dice"].tolist())


@pytest.mark.parametrize("name", ["other", "rest"])
def test_a_class_of_a_dataset_json_called_other_is_evaluated(tmp_path: Path, name: str) -> None:
    array = mask()
    array[1:4, 2:6, 3:5] = 2
    write(tmp_path / "ref", array)
    half = np.where(array == 2, 0, array)  # all of class 2 is missed
    write(tmp_path / "pred", half.astype(np.uint8))
    labels = {"background": 0, name: 2, "lesion": 1}
    (tmp_path / "ref" / "dataset.json").write_text(json.dumps({"labels": labels}))
    table = evaluate_folders(tmp_path / "pred", tmp_path / "ref").set_index("class")
    assert table["dice"].to_dict() == {"lesion": 1.0, name: 0.0}
