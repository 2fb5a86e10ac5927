"""Prediction in slabs gives what prediction in one piece gives, in one tile's depth of memory."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.resample import resampled_shape
from hinterland.inference import slabs as slab_module
from hinterland.inference.forward import Forward
from hinterland.inference.restore import Channels, restored_labels
from hinterland.inference.slabs import LiveSlab, Slab, slab_axis, sums_device
from hinterland.inference.tiling import tile_starts
from hinterland.inference.volumes import grouped
from hinterland.inference.window import (
    gaussian_weights,
    sliding_window,
    window_slabs,
)

CONVOLUTIONS = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}


def network(dims, groups=4, channels=1):
    """A network that sees its neighbours and the border of its tile."""
    torch.manual_seed(dims)
    layer = CONVOLUTIONS[dims](channels, groups, 3, padding=1)
    return lambda x: (3 * layer(x)).softmax(dim=1)


def in_one_piece(model, image, tile, mirror=(), overlap=0.5):
    """Average all tiles of all flips in one array, in double precision."""
    flat = len(tile) == 2
    short = [
        max(t - n, 0) for n, t in zip(image.shape[1:], (1, *tile) if flat else tile, strict=True)
    ]
    padded = np.pad(image, [(0, 0), *((s // 2, s - s // 2) for s in short)])
    planes = [padded[:, z] for z in range(padded.shape[1])] if flat else [padded]
    weights = gaussian_weights(tuple(tile)).astype(float)
    flips = product(*[(False, True)] * len(tile))
    flips = [c for c in flips if all(axis in mirror for axis, on in enumerate(c) if on)]
    results = []
    for plane in planes:
        total, weight = 0, np.zeros(plane.shape[1:])
        starts = [tile_starts(n, t, overlap) for n, t in zip(plane.shape[1:], tile, strict=True)]
        for place in product(*starts):
            box = tuple(slice(a, a + t) for a, t in zip(place, tile, strict=True))
            part = torch.from_numpy(plane[(slice(None), *box)].copy())[None]
            mean = 0
            for flip in flips:
                dims = [axis + 2 for axis, on in enumerate(flip) if on]
                with torch.no_grad():
                    mean = mean + model(part.flip(dims)).flip(dims).double().log().numpy()[0]
            if isinstance(total, int):
                total = np.zeros((len(mean), *plane.shape[1:]))
            total[(slice(None), *box)] += mean / len(flips) * weights
            weight[box] += weights
        logs = total / weight
        results.append(logs - np.logaddexp.reduce(logs, axis=0))
    out = np.stack(results, axis=1) if flat else results[0]
    inside = (slice(s // 2, s // 2 + n) for s, n in zip(short, image.shape[1:], strict=True))
    return out[(slice(None), *inside)]


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([(8, 8, 8), (6, 12, 8), (4, 5, 16), (8, 10), (16, 5)]),
    st.tuples(*[st.integers(1, 24)] * 3),
    st.sampled_from([0.0, 0.3, 0.5, 0.75]),
    st.integers(1, 4),
    st.booleans(),
)
def test_slabs_are_the_one_piece(tile, shape, overlap, batch, mirrored):
    image = np.random.default_rng(sum(shape)).normal(size=(1, *shape)).astype(np.float32)
    model = network(len(tile))
    mirror = tuple(range(len(tile)))[: 2 if mirrored else 0]
    got = sliding_window(model, image, tile, mirror=mirror, overlap=overlap, batch=batch)
    expected = in_one_piece(model, image, tile, mirror, overlap)
    np.testing.assert_allclose(np.exp(got), np.exp(expected), atol=1e-6)
    np.testing.assert_array_equal(got.argmax(axis=0), expected.argmax(axis=0))


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(*[st.integers(1, 14)] * 3),
    st.permutations((0, 1, 2)),
    st.tuples(*[st.sampled_from([0.5, 1.0, 1.3, 5.0])] * 3),
    st.tuples(*[st.sampled_from([0.5, 1.0, 2.0])] * 3),
    st.integers(0, 2),
    st.integers(1, 5),
)
def test_the_way_back_in_slabs_is_the_way_back(shape, order, spacing, target, axis, depth):
    rng = np.random.default_rng(sum(shape))
    start = tuple(int(rng.integers(0, n)) for n in shape)
    cropped = tuple(n - a for n, a in zip(shape, start, strict=True))
    back = np.argsort(order)
    geometry = Geometry(tuple(shape[b] for b in back), tuple(order), start, shape, spacing, target)
    assert resampled_shape(cropped, spacing, target) == geometry.shape
    logs = rng.normal(size=(3, *geometry.shape)).astype(np.float32)
    logs -= np.logaddexp.reduce(logs, axis=0)

    def parts():
        for a in range(0, geometry.shape[axis], depth):
            box = [slice(None)] * 4
            box[1 + axis] = slice(a, a + depth)
            yield Slab(axis, a, torch.from_numpy(logs[tuple(box)]))

    shares = np.full((3, *geometry.original_shape), np.nan, np.float32)
    values = np.array([7, 9, 200], np.uint8)
    (got,) = restored_labels(parts(), geometry, [Channels(values, 1)], shares)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, values[geometry.undo_argmax(logs, background=1)])
    expected = geometry.undo(np.exp(logs), background=1)
    np.testing.assert_allclose(shares, expected / expected.sum(axis=0), atol=1e-6)


def test_small_pieces_change_nothing(monkeypatch):
    image = np.random.default_rng(0).normal(size=(1, 20, 9, 31)).astype(np.float32)
    whole = sliding_window(network(3), image, (8, 8, 8))
    monkeypatch.setattr(slab_module, "PIECE", 4 * 20 * 9)  # one slice at a time
    pieces = list(window_slabs(network(3), image, (8, 8, 8)))
    assert [(p.axis, p.start, p.logs.shape[3]) for p in pieces] == [(2, x, 1) for x in range(31)]
    # vectors of another length round the last bit otherwise
    got = torch.cat([p.logs for p in pieces], dim=3)
    np.testing.assert_allclose(np.exp(got), np.exp(whole), atol=1e-6)


def test_what_is_alive_does_not_grow_with_the_length():
    """The sums are one tile deep, and a slab is given out before the next tiles are asked for."""
    sizes, asked, given_out = set(), 0, []

    def model(x):
        nonlocal asked
        asked += 1
        return x.new_full((len(x), 3, *x.shape[2:]), 1 / 3)

    for length in (32, 320):
        image = np.random.default_rng(0).normal(size=(1, length, 12, 8)).astype(np.float32)
        weights = torch.from_numpy(gaussian_weights((8, 8, 8)))
        live = LiveSlab(image.shape[1:], weights, 0, [slice(0, n) for n in image.shape[1:]], [3],
                        torch.device("cpu"))  # fmt: skip
        sizes.add((live._total.numel(), live._weight.numel()))
        asked = 0
        for slab in window_slabs(model, image, (8, 8, 8)):
            given_out.append((slab.start + slab.logs.shape[1], asked))
    assert sizes == {(3 * 8 * 12 * 8, 8 * 12 * 8)}
    assert all(tiles <= 2 * (end / 4 + 1) for end, tiles in given_out)


def test_the_axis_of_slabs_leaves_the_least_alive():
    assert slab_axis((800, 512, 512), (64, 128, 128)) == 0
    assert slab_axis((100, 512, 512), (64, 128, 64)) == 2
    assert slab_axis((1, 300, 512), (1, 256, 256)) == 2


def test_groups_are_summed_before_tiles_are_averaged():
    members = np.array([[1, 0, 1, 0], [0, 1, 0, 1]], bool)
    image = np.random.default_rng(1).normal(size=(1, 17, 9, 8)).astype(np.float32)
    cells = network(3)

    def by_hand(x):
        p = cells(x)
        return torch.stack([p[:, 0] + p[:, 2], p[:, 1] + p[:, 3]], dim=1)

    got = sliding_window(grouped(cells, members), image, (8, 8, 8), mirror=(0,))
    expected = in_one_piece(by_hand, image, (8, 8, 8), mirror=(0,))
    np.testing.assert_allclose(np.exp(got), np.exp(expected), atol=1e-6)
    assert grouped(cells, np.eye(4, dtype=bool)) is cells


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    image = np.random.default_rng(2).normal(size=(1, 30, 9, 8)).astype(np.float32)
    right, batches = network(3), []

    def model(x):
        batches.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("pretended")
        return right(x)

    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    got = sliding_window(model, image, (8, 8, 8), batch=8)
    whole = sliding_window(right, image, (8, 8, 8))
    np.testing.assert_allclose(np.exp(got), np.exp(whole), atol=1e-6)
    assert batches[:3] == [8, 4, 2]
    assert max(batches[3:]) == 2  # it stays halved
    assert len(emptied) == 2


def test_one_tile_that_does_not_fit_is_an_error():
    def model(x):
        raise torch.OutOfMemoryError("pretended")

    with pytest.raises(torch.OutOfMemoryError):
        sliding_window(model, np.ones((1, 8, 8, 8), np.float32), (8, 8, 8), batch=4)


def test_sums_lie_on_the_gpu_only_if_it_has_room(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    gpu, host = torch.device("cuda"), torch.device("cpu")
    assert sums_device(gpu, 200) == gpu
    assert sums_device(gpu, 201) == host
    assert sums_device(host, 1) == host


def test_tiles_of_one_value_are_predicted_once_and_exactly():
    image = np.random.default_rng(3).normal(size=(2, 48, 8, 8)).astype(np.float32)
    image[:, 8:36] = np.array([-1.5, 0.25], np.float32)[:, None, None, None]
    image[1, 30] = 0.5  # another value in one channel only
    model, asked = network(3, channels=2), []

    def counting(x):
        asked.extend(x)
        return model(x)

    got = sliding_window(counting, image, (8, 8, 8), batch=3)
    expected = in_one_piece(model, image, (8, 8, 8))
    np.testing.assert_allclose(np.exp(got), np.exp(expected), atol=1e-6)
    starts = tile_starts(48, 8)
    uniform = [a for a in starts if a >= 8 and a + 8 <= 36 and not a <= 30 < a + 8]
    assert len(uniform) > 2
    assert len(asked) == len(starts) - len(uniform) + 1


def test_uniform_tiles_of_several_values_are_not_mixed_up():
    image = np.zeros((1, 64, 8, 8), np.float32)
    image[:, 16:32], image[:, 48:] = 2, -1
    got = sliding_window(network(3), image, (8, 8, 8), batch=2)
    expected = in_one_piece(network(3), image, (8, 8, 8))
    np.testing.assert_allclose(np.exp(got), np.exp(expected), atol=1e-6)


def test_a_forward_does_not_change_what_it_reads():
    tile = np.random.default_rng(4).random((1, 8, 8, 8)).astype(np.float32)
    before = tile.copy()
    run = Forward(lambda x: x, (0,), 1, torch.device("cpu"), "fp32")
    list(run.answers([(0, 0, 0)], lambda _: tile, torch.ones(8, 8, 8)))
    np.testing.assert_array_equal(tile, before)
