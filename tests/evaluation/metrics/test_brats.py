"""BraTS' lesion-wise scores: by hand, and against its rules written out voxel by voxel."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from surface_distance import compute_robust_hausdorff, compute_surface_distances

from hinterland.evaluation.metrics.brats import WORST_HD95, brats_lesions
from hinterland.evaluation.metrics.metrics import measure

ONES = (1.0, 1.0, 1.0)


def boxes(*corners: tuple[int, int, int], size: int = 5) -> np.ndarray:
    mask = np.zeros((30, 30, 30), bool)
    for z, y, x in corners:
        mask[z : z + size, y : y + size, x : x + size] = True
    return mask


def flood(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """List the 26-connected components as sets of voxels, one step after the other."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    found = []
    while left:
        part, front = set(), [left.pop()]
        while front:
            voxel = front.pop()
            part.add(voxel)
            for d in product((-1, 0, 1), repeat=3):
                near = tuple(v + s for v, s in zip(voxel, d, strict=True))
                if near in left:
                    left.remove(near)
                    front.append(near)
        found.append(part)
    return found


def grown(voxels: set[tuple[int, ...]], steps: int, size: int) -> set[tuple[int, ...]]:
    """Grow by `steps` over faces and edges."""
    moves = [d for d in product((-1, 0, 1), repeat=3) if sum(map(abs, d)) <= 2]
    for _ in range(steps):
        near = {tuple(a + b for a, b in zip(v, d, strict=True)) for v in voxels for d in moves}
        voxels = {v for v in near if all(0 <= n < size for n in v)}
    return voxels


def by_the_rules(prediction, reference, dilation, least):
    """Score as the challenge's description says, with sets of voxels."""
    size = reference.shape[0]
    all_grown = grown(set(map(tuple, np.argwhere(reference).tolist())), dilation, size)
    grid = np.zeros_like(reference)
    grid[tuple(np.array(sorted(all_grown)).T)] = True
    truth = set(map(tuple, np.argwhere(reference).tolist()))
    parts, dice, hd95, used = flood(prediction), [], [], set()
    for extent in flood(grid):
        lesion = extent & truth
        reach = grown(lesion, dilation, size)
        hits = [i for i, part in enumerate(parts) if part & reach]
        used |= set(hits)
        if len(lesion) <= least:
            continue
        union = set().union(*(parts[i] for i in hits))
        dice.append(2 * len(union & lesion) / (len(union) + len(lesion)))
        if not union:
            hd95.append(WORST_HD95)
            continue
        masks = np.zeros((2, *reference.shape), bool)
        for mask, voxels in zip(masks, (lesion, union), strict=True):
            mask[tuple(np.array(sorted(voxels)).T)] = True
        hd95.append(compute_robust_hausdorff(compute_surface_distances(*masks, ONES), 95))
    n, false = len(dice) + len(parts) - len(used), len(parts) - len(used)
    return (sum(dice) / n if n else 1.0, (sum(hd95) + false * WORST_HD95) / n if n else 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_rules_voxel_by_voxel(seed):
    draw = np.random.default_rng(seed)
    corners = [tuple(c) for c in draw.integers(0, 14, (5, 3))]
    reference, prediction = np.zeros((2, 18, 18, 18), bool)
    for z, y, x in corners[:3]:
        reference[z : z + 4, y : y + 4, x : x + 2 + seed % 3] = True
    for z, y, x in corners[1:]:
        prediction[z + 1 : z + 4, y : y + 4, x : x + 4] = True
    for dilation, least in ((3, 50), (1, 2), (1, 30)):
        found = brats_lesions(prediction, reference, ONES, dilation=dilation, least_volume=least)
        dice, hd95 = by_the_rules(prediction, reference, dilation, least)
        assert found.mean_dice == pytest.approx(dice, abs=1e-12)
        assert found.mean_hd95 == pytest.approx(hd95, abs=1.0)  # surfaces of voxels, of cubes


def test_by_hand():
    reference = boxes((0, 0, 0), (20, 20, 20))  # one found exactly, one missed
    prediction = boxes((0, 0, 0), (20, 0, 0))  # and one false
    found = brats_lesions(prediction, reference, ONES)
    assert sorted(found.dice) == [0, 1]
    assert found.false_positives == 1
    assert found.mean_dice == pytest.approx(1 / 3)
    assert found.mean_hd95 == pytest.approx(2 * 374 / 3)


def test_near_components_are_one_lesion():
    reference = boxes((0, 0, 0), (0, 0, 8))  # three voxels apart: one after growing by three
    half = boxes((0, 0, 0))
    assert brats_lesions(half, reference, ONES).dice == (pytest.approx(2 / 3),)
    assert len(brats_lesions(half, reference, ONES, dilation=1).dice) == 2


def test_small_lesions_do_not_count_but_shield_what_touches_them():
    reference = boxes((0, 0, 0)) | boxes((20, 20, 20), size=3)  # 125 and 27 mm3
    found = brats_lesions(reference, reference, ONES)
    assert (found.dice, found.false_positives) == ((1.0,), 0)
    assert len(brats_lesions(reference, reference, (1.0, 1.0, 2.0)).dice) == 2  # 54 mm3


def test_empty_masks_are_the_challenges():
    nothing, mask = boxes(), boxes((0, 0, 0))
    names = ("brats_dice", "brats_hd95")
    cases = {(0, 0): (1, 0), (1, 0): (0, 374), (0, 1): (0, 374)}
    for empty, (dice, hd95) in cases.items():
        pair = [mask if full else nothing for full in empty]
        found = measure(pair[0], pair[1], ONES, metrics=names)
        assert (found["brats_dice"], found["brats_hd95"]) == (dice, hd95)


def test_the_metric_of_a_crop_is_that_of_the_image():
    reference, prediction = boxes((3, 4, 5), (12, 20, 14)), boxes((4, 4, 5), (12, 18, 14))
    whole = brats_lesions(prediction, reference, ONES)
    found = measure(prediction, reference, ONES, metrics=("brats_dice", "brats_hd95"))
    assert found["brats_dice"] == pytest.approx(whole.mean_dice)
    assert found["brats_hd95"] == pytest.approx(whole.mean_hd95)
