"""Agreement with MONAI, medpy and DeepMind's surface-distance, on random and on real masks.

Tolerances: 1e-4 mm (MONAI computes in float32) and 1e-9 (medpy); surface-distance puts its surfaces
half a voxel outwards and weighs by area, so it must agree within the size of a voxel, on masks
without specks (of which it counts eight corners where we count one voxel).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from monai import metrics as monai
from reference_masks import (
    ACDC,
    COVID,
    HIPPOCAMPUS,
    perturbed,
    random_masks,
    real_labels,
)

from hinterland.evaluation.metrics.metrics import assd, hd95, jaccard, measure, nsd
from hinterland.types.box import bounding_box

torch = pytest.importorskip("torch")
medpy = pytest.importorskip("medpy.metric").binary
deepmind = pytest.importorskip("surface_distance")

Pair = tuple[np.ndarray, np.ndarray, tuple[float, ...]]


def random_pairs(count: int) -> Iterator[Pair]:
    rng = np.random.default_rng(11)
    for i in range(count):
        dims = 2 + i % 2
        spacing = ((0.7, 1.9), (2.5, 0.8, 0.8))[i % 2]
        yield *random_masks(rng, dims, side=16), spacing


def real_pairs(root: Path, dataset: str, count: int, specks: float) -> Iterator[Pair]:
    rng = np.random.default_rng(5)
    for _, labels, spacing in real_labels(root, dataset, count):
        guess = perturbed(labels, rng, specks)
        for value in np.unique(labels)[1:]:
            truth = labels == value
            if (guess == value).any():
                box = bounding_box(truth | (guess == value))  # medpy and MONAI are slow
                assert box is not None
                yield (guess == value)[box], truth[box], spacing


def check_monai(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> None:
    p, r = (torch.from_numpy(m)[None, None] for m in (prediction, reference))
    common = {"include_background": True, "spacing": list(spacing)}
    ours = measure(prediction, reference, spacing)
    theirs = {
        "dice": monai.DiceMetric(reduction="none")(p, r),
        "hd95": monai.compute_hausdorff_distance(p, r, percentile=95, **common),
        "assd": monai.compute_average_surface_distance(p, r, symmetric=True, **common),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(float(value), abs=1e-4), name
    directed = monai.compute_average_surface_distance(p, r, **common)
    assert assd(prediction, reference, spacing, mode="directed") == pytest.approx(
        float(directed), abs=1e-4
    )
    # without a spacing MONAI counts surface voxels as we do; with one it weighs them by area
    voxels = (1.0,) * len(spacing)
    near = monai.compute_surface_dice(p, r, class_thresholds=[1.5], include_background=True)
    assert nsd(prediction, reference, voxels, tolerance=1.5) == pytest.approx(float(near), abs=1e-5)


def check_medpy(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> None:
    assert hd95(prediction, reference, spacing, mode="pooled") == pytest.approx(
        medpy.hd95(prediction, reference, spacing), abs=1e-9
    )
    assert assd(prediction, reference, spacing, mode="directed") == pytest.approx(
        medpy.asd(prediction, reference, spacing), abs=1e-9
    )
    assert assd(prediction, reference, spacing) == pytest.approx(
        medpy.assd(prediction, reference, spacing), abs=1e-9
    )
    assert jaccard(prediction, reference) == pytest.approx(medpy.jc(prediction, reference))


def check_deepmind(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> None:
    ours = measure(prediction, reference, spacing)
    distances = deepmind.compute_surface_distances(reference, prediction, spacing)
    assert ours["dice"] == pytest.approx(
        deepmind.compute_dice_coefficient(reference, prediction), abs=1e-12
    )
    voxel = float(np.linalg.norm(spacing))  # its surfaces lie on voxel corners
    assert ours["hd95"] == pytest.approx(
        deepmind.compute_robust_hausdorff(distances, 95), abs=voxel
    )
    both = deepmind.compute_average_surface_distance(distances)
    assert ours["assd"] == pytest.approx(np.mean(both), abs=voxel)


def test_monai_on_random_masks() -> None:
    for pair in random_pairs(60):
        check_monai(*pair)


def test_medpy_on_random_masks() -> None:
    for pair in random_pairs(60):
        check_medpy(*pair)


def test_deepmind_on_smooth_masks() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"), axis=-1)
    rng = np.random.default_rng(8)
    for _ in range(8):
        masks = [((grid - rng.uniform(10, 14, 3)) ** 2).sum(-1) < rng.uniform(5, 8) ** 2
                 for _ in range(2)]  # fmt: skip
        check_deepmind(*masks, (2.0, 0.8, 1.0))


@pytest.mark.data
@pytest.mark.parametrize(("dataset", "count"), [(ACDC, 2), (HIPPOCAMPUS, 4), (COVID, 1)])
def test_real_masks(data_root: Path, dataset: str, count: int) -> None:
    pairs = list(real_pairs(data_root, dataset, count, specks=2e-4))
    assert len(pairs) >= count
    for pair in pairs:
        check_medpy(*pair)
        check_monai(*pair)
    for pair in real_pairs(data_root, dataset, count, specks=0.0):
        check_deepmind(*pair)
