"""Lesion matching: by hand, its one-to-one rule, and volume bins."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from hinterland.data.io.volume import Volume, write_label
from hinterland.evaluation.metrics.lesions import match_lesions
from hinterland.evaluation.metrics.metrics import lesion_metrics
from hinterland.report.lesion_sizes import lesion_table, sensitivity_by_volume

ONES = (1.0, 1.0, 1.0)


def boxes(*corners: tuple[int, int, int], size: int = 3) -> np.ndarray:
    mask = np.zeros((12, 20, 20), bool)
    for z, y, x in corners:
        mask[z : z + size, y : y + size, x : x + size] = True
    return mask


def test_by_hand() -> None:
    reference = boxes((0, 0, 0), (0, 10, 10), (8, 0, 0), (8, 15, 15))
    prediction = boxes((0, 0, 1), (0, 10, 10), (4, 16, 0))  # shifted, exact, false
    found = lesion_metrics(prediction, reference, ONES)
    assert found["lesions_reference"] == 4
    assert found["lesions_prediction"] == 3
    assert found["lesion_sensitivity"] == pytest.approx(2 / 4)
    assert found["lesion_precision"] == pytest.approx(2 / 3)
    assert found["lesion_f1"] == pytest.approx(4 / 7)
    assert found["lesion_false_positives"] == 1
    assert found["lesion_dice"] == pytest.approx((1 + 2 * 18 / 54) / 2)


def test_corners_connect() -> None:
    diagonal = boxes((0, 0, 0), (3, 3, 3))
    assert match_lesions(diagonal, diagonal, ONES).reference.size == 1
    flat = np.zeros((1, 8, 8), bool)
    flat[0, 0, 0] = flat[0, 1, 1] = flat[0, 3, 3] = True
    assert match_lesions(flat, flat, ONES).reference.size == 2


def test_one_prediction_over_two_lesions_finds_one() -> None:
    reference = boxes((0, 0, 0), (0, 0, 4))
    prediction = np.zeros_like(reference)
    prediction[0:3, 0:3, 0:7] = True
    match = match_lesions(prediction, reference, ONES)
    assert match.true_positives == 1
    assert match.false_positives == 0


def test_overlap_must_exceed_a_tenth() -> None:
    reference, prediction = np.zeros((2, 1, 1, 40), bool)
    reference[..., 0:11] = True
    prediction[..., 9:20] = True  # 2 of 20: IoU exactly .1
    assert match_lesions(prediction, reference, ONES).true_positives == 0
    prediction[..., 19] = False  # 2 of 19
    assert match_lesions(prediction, reference, ONES).true_positives == 1


def test_assignment_is_the_best_of_all() -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    tried = 0
    for _ in range(80):
        field = ndimage.gaussian_filter(rng.standard_normal((2, 24, 24)), (0, 1.5, 1.5))
        reference = field[0] > 0.12
        prediction = (0.7 * field[0] + 0.6 * field[1]) > 0.12
        eight = np.ones((3, 3))
        ref, n = ndimage.label(reference, eight)
        pred, m = ndimage.label(prediction, eight)
        if not 0 < n <= m <= 7:
            continue
        tried += 1
        iou = np.array([[((ref == i + 1) & (pred == j + 1)).sum()
                         / ((ref == i + 1) | (pred == j + 1)).sum()
                         for j in range(m)] for i in range(n)])  # fmt: skip
        iou[iou <= 0.1] = 0
        best = max(sum(iou[i, j] for i, j in enumerate(p)) for p in permutations(range(m), n))
        match = match_lesions(prediction, reference, (1.0, 1.0))
        hits = np.flatnonzero(match.found)
        assert sum(iou[i, match.partner[i]] for i in hits) == pytest.approx(best)
    assert tried > 5


def test_empty_masks() -> None:
    empty, full = np.zeros((4, 4, 4), bool), boxes((0, 0, 0))[:4, :4, :4]
    assert np.isnan(lesion_metrics(full, empty, ONES)["lesion_sensitivity"])
    assert lesion_metrics(full, empty, ONES)["lesion_false_positives"] == 1
    assert lesion_metrics(full, empty, ONES)["lesion_f1"] == 0
    assert lesion_metrics(empty, full, ONES)["lesion_sensitivity"] == 0
    assert np.isnan(lesion_metrics(empty, full, ONES)["lesion_precision"])
    assert np.isnan(lesion_metrics(empty, empty, ONES)["lesion_f1"])


def test_sensitivity_by_volume(tmp_path: Path) -> None:
    spacing = (10.0, 10.0, 10.0)  # one voxel is 1 mL
    reference = boxes((0, 0, 0), (0, 10, 10), size=1) | boxes((4, 4, 4))
    prediction = boxes((0, 0, 0), size=1) | boxes((4, 4, 4))
    for folder, mask in (("p", prediction), ("r", reference)):
        for case in ("a", "b"):
            array = mask.astype(np.uint8)
            volume = Volume(array[None], np.diag([*spacing, 1.0]))
            (tmp_path / folder).mkdir(exist_ok=True)
            write_label(tmp_path / folder / f"{case}.nii.gz", array, volume)
    lesions = lesion_table(tmp_path / "p", tmp_path / "r")
    assert len(lesions) == 6
    assert lesions.groupby("case")["volume"].sum().tolist() == [29.0, 29.0]
    table = sensitivity_by_volume(lesions)
    assert table["lower_ml"].tolist() == [0.0, 0.1, 1.0, 10.0]
    assert table["lesions"].tolist() == [0, 0, 4, 2]
    assert table["found"].tolist() == [0, 0, 2, 2]
    assert table["sensitivity"].tolist() == pytest.approx([np.nan, np.nan, 0.5, 1.0], nan_ok=True)
