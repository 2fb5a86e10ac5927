"""The fast path: equal to the full one where something is found, background elsewhere, in 2D and
3D, for every question, in a tile's depth of memory."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from hinterland.inference.coarse_to_fine import Search, outside
from hinterland.inference.forward import TINY
from hinterland.inference.slabs import LiveSlab, Slab
from hinterland.inference.tiling import Tiling
from hinterland.inference.volumes import Predictor, WindowOptions
from hinterland.inference.window import window_slabs
from hinterland.labels import LabelTree
from hinterland.types import NetworkPlan, Normalisation, Plan

TREE = LabelTree({"background": {}, "organ": {"rim": {}, "core": {}}})
CELLS = TREE.leaves
ORGAN = TREE.coarsen("organ")


def plan_of(tile, spacing=(1.0, 1.0, 1.0)):
    return Plan(
        dims=len(tile), channels=("MRI",), normalisation=(Normalisation("zscore"),),
        spacing=spacing, unit="mm", transpose=(0, 1, 2), median_shape=(8, 8, 8), patch_size=tile,
        batch_size=2, batch_dice=False, fingerprint="",
        network=NetworkPlan((8, 8), ((1,) * len(tile), (2,) * len(tile)), ((3,) * len(tile),) * 2),
    )  # fmt: skip


def neighbours(dims):
    """A model of three cells that smooths over neighbours, so that tiles' borders matter."""
    pool = torch.nn.AvgPool2d if dims == 2 else torch.nn.AvgPool3d

    def model(x):
        smooth = pool(3, 1, 1)(x)
        return torch.cat([4 - 8 * smooth, 2 * smooth, 8 * smooth - 4], dim=1).softmax(1)

    return model


def predictor(tile, search=None, **options):
    options = WindowOptions(mirror=tuple(range(len(tile))), **options)
    return Predictor(neighbours(len(tile)), plan_of(tile), CELLS, options, None, search)


def image_of(shape, *balls, radius=3):
    image = np.random.default_rng(0).normal(0, 0.05, (1, *shape)).astype(np.float32)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    for ball in balls:
        image[0][((places - ball) ** 2).sum(-1) <= radius**2] += 1
    return image


@pytest.mark.parametrize("tile", [(8, 10, 8), (10, 8)])
def test_a_region_of_everything_is_the_full_prediction(tile):
    image = image_of((13, 25, 30), (6, 8, 7), (6, 20, 24))
    full = predictor(tile).log_probabilities(image, CELLS, ORGAN)
    fast = predictor(tile, Search(margin=100)).log_probabilities(image, CELLS, ORGAN)
    np.testing.assert_array_equal(fast, full)


@pytest.mark.parametrize("tile", [(8, 8, 8), (8, 8)])
@pytest.mark.parametrize("shape", [(9, 40, 90), (90, 9, 40), (30, 90, 6)])
def test_full_near_what_is_found_and_background_far_away(tile, shape):
    balls = [tuple(min(6, n // 2) for n in shape), tuple(n - min(7, n // 2) for n in shape)]
    image = image_of(shape, *balls)
    full = predictor(tile).log_probabilities(image, ORGAN, CELLS)
    fast = predictor(tile, Search(margin=3)).log_probabilities(image, ORGAN, CELLS)
    left_out = (fast[0] == 0) & np.isclose(fast[1], np.log(TINY))
    assert 0.2 < left_out.mean() < 0.98
    assert (full[:2, left_out].argmax(0) == 0).all()
    np.testing.assert_array_equal(fast[:2].argmax(0), full[:2].argmax(0))
    np.testing.assert_array_equal(fast[2:].argmax(0), full[2:].argmax(0))
    for question in (fast[:2], fast[2:]):
        np.testing.assert_allclose(np.exp(question).sum(0), 1, atol=1e-5)


def test_within_the_margin_all_that_a_voxel_is_nearest_to_is_predicted():
    """Against brute force: a tile is chosen just if a found voxel is near one that is its own."""
    tiling = Tiling.of((5, 40, 31), (5, 8, 8), 0.5)
    rng = np.random.default_rng(1)
    found = np.zeros(tiling.image, bool)
    found[tuple(rng.integers(0, n, 2) for n in tiling.image)] = True
    logs = np.where(found, np.log(0.5), -1e-4)
    other = np.log1p(-np.exp(logs))
    slabs = [
        Slab(1, a, torch.from_numpy(np.stack([logs, other])[:, :, a : a + 3]).float())
        for a in range(0, 40, 3)
    ]
    chosen = Search(margin=4.0).places(slabs, tiling, [ORGAN], (None, 2.0, 4.0))
    margin = (1, 2, 1)
    expected = set()
    for place in tiling.places:
        for voxel in product(*map(range, tiling.image)):
            if not found[voxel]:
                continue
            # a voxel of the image within the margin, nearest to this tile's centre on every axis
            near = [
                any(
                    abs(place[a] + (tiling.size[a] - 1) / 2 - v)
                    <= min(abs(s + (tiling.size[a] - 1) / 2 - v) for s in tiling.starts[a])
                    for v in range(
                        max(voxel[a] - margin[a], 0),
                        min(voxel[a] + margin[a], tiling.image[a] - 1) + 1,
                    )
                )
                for a in range(3)
            ]
            if all(near):
                expected.add(place)
    assert chosen == expected
    assert len(expected) < len(tiling.places)


def test_blocks_of_large_tiles_only_add_tiles():
    image = image_of((4, 160, 160), (2, 30, 40), radius=2)
    tile = (4, 64, 64)  # blocks of 4 voxels
    tiling = Tiling.of(image.shape[1:], tile, 0.5)
    search = Search(margin=6)
    found = list(search.places(
        window_slabs(neighbours(3), image, tile, overlap=0), tiling, [CELLS], (1.0, 1.0, 1.0)
    ))  # fmt: skip
    assert found
    assert all(y <= 48 and x <= 48 for _, y, x in found)
    assert (0, 0, 0) in found


def test_every_question_has_its_own_background():
    rest = TREE.coarsen("core")
    assert outside([CELLS, rest], -9.0) == [0.0, -9.0, -9.0, 0.0, -9.0]


def test_a_coarser_question_needs_fewer_tiles():
    """What counts is what is asked: a rim is background where the core is asked for."""
    calls = []

    def rims(x):
        calls.append(len(x))
        rim = (x > 0.5).float()
        return torch.cat([0.99 - 0.98 * rim, 0.005 + 0.98 * rim, 0.005 + 0 * rim], dim=1)

    image = image_of((8, 8, 64), (4, 4, 5))
    made = replace(predictor((8, 8, 8), Search(margin=0)), model=rims)
    made.log_probabilities(image, CELLS)
    of_all = sum(calls)
    calls.clear()
    core = TREE.coarsen("core")
    logs = made.log_probabilities(image, core)
    assert (logs.argmax(0) == 0).all()
    assert sum(calls) > of_all  # nothing of the core: the whole image


def test_nothing_found_is_said_and_all_is_predicted(caplog):
    """A thing that only a mirrored full prediction shows is not lost in silence."""
    image = image_of((8, 20, 40))
    full = predictor((8, 8, 8)).log_probabilities(image, CELLS)
    with caplog.at_level(logging.WARNING):
        made = predictor((8, 8, 8), Search())
        fast = np.concatenate(
            [s.logs.numpy() for s in made.slabs(image, CELLS, case="patient7")], axis=3
        )
    np.testing.assert_array_equal(fast, full)
    assert "patient7: the fast search found nothing" in caplog.text


def test_fewer_forward_passes():
    calls = []

    def counting(x):
        calls.append(len(x))
        return neighbours(3)(x)

    image = image_of((8, 40, 64), (4, 8, 8))
    for search in (None, Search(margin=2)):
        calls.append(0)
        replace(predictor((8, 8, 8), search), model=counting).log_probabilities(image, CELLS)
        calls.append(-1)
    ends = [i for i, n in enumerate(calls) if n == -1]
    full, fast = sum(calls[: ends[0]]), sum(calls[ends[0] + 1 : ends[1]])
    assert full == 8 * 9 * 15
    assert fast == 5 * 8 + 8 * 3 * 3


def test_one_tile_is_not_searched():
    calls = []

    def counting(x):
        calls.append(len(x))
        return neighbours(3)(x)

    made = replace(predictor((8, 8, 8), Search()), model=counting)
    made.log_probabilities(image_of((6, 8, 7), (3, 4, 3)), CELLS)
    assert sum(calls) == 8


def test_what_is_not_a_number_is_met():
    made = replace(predictor((8, 8, 8), Search()), model=lambda x: neighbours(3)(x) * np.nan)
    with pytest.raises(Exception, match="not a number"):
        made.log_probabilities(image_of((8, 8, 20)), CELLS)


def test_gaps_are_given_out_in_a_tiles_depth(monkeypatch):
    """Only one tile's depth of sums is ever held, however far apart chosen tiles are."""
    held = []
    original = LiveSlab.__init__

    def noted(self, *args, **kwargs):
        original(self, *args, **kwargs)
        held.append(self._total.shape)

    monkeypatch.setattr(LiveSlab, "__init__", noted)
    image = image_of((300, 12, 12), (5, 6, 6), (290, 6, 6))
    fast = predictor((8, 8, 8), Search(margin=1))
    slabs = list(fast.slabs(image, CELLS))
    assert {shape[1] for shape in held} == {8}
    assert slabs[0].start == 0
    assert sum(s.logs.shape[1] for s in slabs) == 300
    full = predictor((8, 8, 8)).log_probabilities(image, CELLS)
    found = torch.cat([s.logs for s in slabs], dim=1).numpy()
    np.testing.assert_array_equal(found.argmax(0), full.argmax(0))
