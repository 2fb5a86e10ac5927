"""The empty-mask table, cell by cell, as printed in the contract."""

from __future__ import annotations

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest

from hinterland.evaluation.metrics.conventions import CONVENTIONS
from hinterland.evaluation.metrics.metrics import MetricSettings, dice, hd95, measure

SHAPE, SPACING = (4, 5, 6), (3.0, 1.0, 2.0)
FAR = sqrt(12**2 + 5**2 + 12**2)
FULL, EMPTY = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
FULL[1:3, 1:3, 1:3] = True

TABLE = [  # policy, prediction, reference, Dice, NSD, distances
    ("penalty", EMPTY, EMPTY, 1.0, 1.0, 0.0),
    ("penalty", EMPTY, FULL, 0.0, 0.0, FAR),
    ("penalty", FULL, EMPTY, 0.0, 0.0, FAR),
    ("drop", EMPTY, EMPTY, nan, nan, nan),
    ("drop", EMPTY, FULL, 0.0, 0.0, nan),
    ("drop", FULL, EMPTY, 0.0, 0.0, nan),
    ("ssl4mis", EMPTY, EMPTY, 0.0, 0.0, 0.0),
    ("ssl4mis", EMPTY, FULL, 0.0, 0.0, 0.0),
    ("ssl4mis", FULL, EMPTY, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("policy", "prediction", "reference", "overlap", "near", "far"), TABLE)
def test_policy(policy, prediction, reference, overlap, near, far) -> None:
    found = measure(prediction, reference, SPACING, MetricSettings(empty=policy))
    for name, expected in (("dice", overlap), ("jaccard", overlap), ("nsd", near),
                           ("hd95", far), ("assd", far)):  # fmt: skip
        assert found[name] == pytest.approx(expected, nan_ok=True), name
    assert dice(prediction, reference, empty=policy) == pytest.approx(overlap, nan_ok=True)
    assert hd95(prediction, reference, SPACING, empty=policy) == pytest.approx(far, nan_ok=True)


def test_policies_do_not_touch_masks_that_are_not_empty() -> None:
    other = np.roll(FULL, 1, axis=2)
    results = [measure(FULL, other, SPACING, MetricSettings(empty=p)) for p in ("penalty", "drop")]
    assert results[0] == results[1]


def test_the_diagonal_of_a_slice_lies_in_its_plane() -> None:
    flat = np.zeros((1, 30, 40), bool)
    marked = flat.copy()
    marked[0, 3, 3] = True
    assert hd95(marked, flat, (10.0, 1.0, 1.0)) == pytest.approx(50.0)
    in_voxels = measure(marked, flat, (10.0, 2.0, 2.0), MetricSettings(unit="voxel"))
    assert in_voxels["hd95"] == pytest.approx(50.0)


def test_volumes_know_no_policy() -> None:
    for policy in ("penalty", "drop", "ssl4mis"):
        found = measure(FULL, EMPTY, SPACING, MetricSettings(empty=policy))
        assert found["volume_error_ml"] == pytest.approx(8 * 6 / 1000)
        assert isnan(found["relative_volume_difference"])


@pytest.mark.filterwarnings("ignore:the (prediction|ground truth)")
def test_monai_convention_on_empty_masks_is_monais() -> None:
    torch = pytest.importorskip("torch")
    from monai.metrics import (
        DiceMetric,
        compute_average_surface_distance,
        compute_hausdorff_distance,
    )

    def tensor(mask: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(mask)[None, None]

    for prediction, reference in ((EMPTY, EMPTY), (EMPTY, FULL), (FULL, EMPTY)):
        ours = measure(prediction, reference, SPACING, CONVENTIONS["monai"])
        p, r = tensor(prediction), tensor(reference)
        their_dice = float(DiceMetric(reduction="none")(p, r))
        their_hd = float(compute_hausdorff_distance(p, r, percentile=95, include_background=True))
        their_asd = float(compute_average_surface_distance(p, r, include_background=True))
        assert ours["dice"] == pytest.approx(their_dice, nan_ok=True)
        assert ours["hd95"] == pytest.approx(their_hd, nan_ok=True)
        assert ours["assd"] == pytest.approx(their_asd, nan_ok=True)
    missed = measure(EMPTY, FULL, SPACING, CONVENTIONS["monai"])
    assert isnan(missed["hd95"])  # the mean then skips the miss
    assert missed["assd"] == inf


@pytest.mark.filterwarnings("ignore:invalid value")
def test_medpy_convention_on_empty_masks_is_medpys() -> None:
    binary = pytest.importorskip("medpy.metric").binary
    for prediction, reference in ((EMPTY, EMPTY), (EMPTY, FULL), (FULL, EMPTY)):
        ours = measure(prediction, reference, SPACING, CONVENTIONS["medpy"])
        assert ours["dice"] == pytest.approx(binary.dc(prediction, reference), nan_ok=True)
        with pytest.raises(RuntimeError):
            binary.hd95(prediction, reference, SPACING)
        assert isnan(ours["hd95"])
