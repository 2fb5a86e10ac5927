# ruff: noqa: NPY002 (global generators are what some tests disturb)
"""Patches: the same items whatever the number of workers or processes, cut and padded right."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from patch_sets import (
    SHAPE,
    SPEC,
    TABLE,
    Arrays,
    a_plan,
    assert_equal_batches,
    cases,
    dataset,
    loader,
    volume,
)

from hinterland.data.preprocessing.cache import prepare
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.cropping import cut, foreground_voxel, patch_corner
from hinterland.data.sampling.label_sets import LabelSetLookup, foreground_values
from hinterland.data.sampling.patches import PatchDataset, collate
from hinterland.data.sampling.sampler import (
    SampleKey,
    StepSampler,
    Stream,
    oversampled,
    sample_generator,
    step_keys,
)
from hinterland.labels import LabelSpec, Scheme
from hinterland.types import Case, HinterlandError


@pytest.mark.parametrize("level", ["nnunet", "flips", "none"])
def test_what_processes_load_patches_from_can_be_sent_to_them(level):
    """Windows, macOS and Python 3.14 start processes afresh, and send them what they need."""
    data = dataset(level=level)
    sent = pickle.loads(pickle.dumps(data))
    key = SampleKey(1, 0, 0, True)
    assert torch.equal(sent[key].image, data[key].image)
    assert pickle.loads(pickle.dumps(collate)) is collate


# --- who draws what -------------------------------------------------------------------------------


def test_slots_of_two_ranks_are_those_of_one_with_doubled_counts():
    double = (Stream("a", ("x",), 2), Stream("b", ("y", "z"), 6))
    single = (Stream("a", ("x",), 1), Stream("b", ("y", "z"), 3))
    whole = step_keys(5, double, 0, 1, 0.33)
    shares = [step_keys(5, single, r, 2, 0.33) for r in (0, 1)]
    assert sorted(shares[0] + shares[1]) == whole
    assert [k.slot for k in whole] == list(range(8))
    assert [k.slot for k in shares[1]] == [1, 5, 6, 7]
    assert [k.foreground for k in whole] == [False, True] + [False] * 4 + [True] * 2


@pytest.mark.parametrize(("count", "share", "expected"),
                         [(2, 0.33, 1), (1, 0.33, 1), (12, 0.33, 4), (9, 0.33, 3), (3, 0.33, 1),
                          (4, 0.0, 0), (0, 0.33, 0), (4, 1.0, 4)])  # fmt: skip
def test_oversampled_share(count, share, expected):
    assert oversampled(count, share) == expected


def test_a_hidden_stream_shows_no_label_not_even_by_where_it_cuts():
    """Its items are those of cases that never had one."""
    never = [replace(c, label=None) for c in cases()]
    names = ("c0", "c1", "c2", "c3")
    hidden = dataset(streams=(Stream("unlabelled", names, 4, hidden=True),))
    without = dataset(streams=(Stream("unlabelled", names, 4),), known=never)
    for one, other in zip(loader(hidden), loader(without), strict=True):
        assert_equal_batches(one, other)
        assert not one.annotation.any()
        assert not one.labelled.any()


def test_sampler_starts_where_it_was_left():
    streams = (Stream("a", ("x",), 2),)
    assert list(StepSampler(streams, 6))[4:] == list(StepSampler(streams, 6, start=4))
    assert len(StepSampler(streams, 6, start=4)) == 2


def test_refuses_quotas_that_cannot_be_filled():
    with pytest.raises(HinterlandError, match="from 0 cases"):
        Stream("fine", (), 2)
    with pytest.raises(HinterlandError, match="every quota"):
        StepSampler((Stream("fine", (), 0),), 3)


# --- the same items, always -----------------------------------------------------------------------


@pytest.mark.parametrize("level", ["none", "flips", "nnunet"])
def test_item_depends_on_seed_phase_step_and_slot_only(level):
    data = dataset(level=level)
    key = SampleKey(3, 1, 0, False)
    first = data[key]
    np.random.seed(9)
    torch.manual_seed(9)
    data[SampleKey(0, 0, 0, False)]
    assert_equal_batches(collate([data[key]]), collate([first]))
    others = [
        dataset(level=level, seed=1)[key],
        dataset(level=level, phase=1)[key],
        data[key._replace(step=4)],
        data[key._replace(slot=0)],
    ]
    assert not any(torch.equal(first.image, o.image) for o in others)


def test_worker_count_changes_nothing():
    streams = (Stream("a", ("c0", "c1"), 1), Stream("b", ("c2", "c3"), 2))
    data = dataset(streams=streams, level="nnunet")
    for a, b in zip(loader(data, workers=0), loader(data, workers=2), strict=True):
        assert_equal_batches(a, b)


def test_two_ranks_together_are_one_process_with_doubled_counts():
    single = (Stream("a", ("c0", "c1"), 1), Stream("b", ("c2", "c3"), 2))
    double = tuple(replace(s, count=2 * s.count) for s in single)
    one = loader(dataset(streams=double, level="nnunet"))
    ranks = [loader(dataset(streams=single, level="nnunet"), rank=r, world=2) for r in (0, 1)]
    for whole, left, right in zip(one, *ranks, strict=True):
        for name in ("a", "b"):
            parts = [b.stream(name) for b in (left, right)]
            expected = whole.stream(name)
            assert expected.case == parts[0].case + parts[1].case
            assert torch.equal(expected.image, torch.cat([p.image for p in parts]))
            assert torch.equal(expected.annotation, torch.cat([p.annotation for p in parts]))


def test_resumed_loader_goes_on_with_the_same_batches():
    data = dataset(level="flips")
    whole = loader(data, steps=4)
    for a, b in zip(whole[2:], loader(data, steps=4, start=2), strict=True):
        assert_equal_batches(a, b)


# --- what is in a patch ---------------------------------------------------------------------------


def test_patch_is_a_piece_of_the_volume_with_its_annotation():
    data = dataset()
    rows = TABLE.label_set_ids(SPEC.scheme("full"))
    for slot in range(8):
        item = data[SampleKey(0, slot, 0, False)]
        source = data.prepared[item.case]
        flat = (item.image[0] - item.image[0].min()).long()
        start = int(item.image[0].min()) % 100_000
        z, y, x = np.unravel_index(start, SHAPE)
        box = (slice(z, z + 12), slice(y, y + 12), slice(x, x + 12))
        np.testing.assert_array_equal(item.image[0], source.image[0][box])
        expected = np.vectorize(rows.get)(source.label[box])
        np.testing.assert_array_equal(item.annotation, expected)
        assert flat.max() > 0
        assert item.labelled
        assert not item.covers


@pytest.mark.parametrize("patch", [(12, 12, 12), (13, 12), (32, 7, 30)])
def test_drawing_larger_for_rotation_keeps_the_place(patch):
    """Without its transforms, nnU-Net's augmentation gives the patch that `none` gives."""
    plain, larger = dataset(patch=patch), dataset(patch=patch, level="nnunet")
    chain = larger.augmentation.transform.transforms
    del chain[1:]
    chain[0].p_rotation = chain[0].p_scaling = 0
    assert larger.augmentation.draw_size > plain.augmentation.draw_size
    for slot in range(6):
        key = SampleKey(0, slot, 0, slot % 2 == 0)
        assert_equal_batches(collate([larger[key]]), collate([plain[key]]))


def test_random_places_reach_every_corner():
    data = dataset()
    starts = {
        tuple(
            int(v)
            for v in np.unravel_index(
                int(data[SampleKey(0, s, 0, False)].image.min()) % 100_000, SHAPE
            )
        )
        for s in range(300)
    }
    lows = np.array(sorted(starts))
    np.testing.assert_array_equal(lows.min(axis=0), (0, 0, 0))
    np.testing.assert_array_equal(lows.max(axis=0), (8, 10, 12))


def test_foreground_items_hold_the_target_and_a_third_is_foreground():
    streams = (Stream("labelled", ("c0", "c1", "c2", "c3"), 12),)
    data = dataset(streams=streams, patch=(6, 6, 6))
    lesion = TABLE.label_set_ids(SPEC.scheme("full"))[2]
    batches = loader(data, steps=10)
    held = torch.stack([(b.annotation == lesion).flatten(1).any(1) for b in batches])
    assert held[:, 8:].all()  # the last four of twelve
    assert held[:, :8].float().mean() < 0.2  # the lesion is small: elsewhere only by chance


def test_foreground_falls_back_to_anywhere():
    prepared = {f"c{i}": volume(i, values=(0, 1, 1)) for i in range(4)}
    item = dataset(prepared=prepared)[SampleKey(0, 0, 0, True)]
    assert item.image.shape == (1, 12, 12, 12)


def test_padding_is_zero_image_and_row_zero_and_covers():
    data = dataset(patch=(32, 22, 30))
    item = data[SampleKey(0, 0, 0, True)]
    assert item.covers
    outside = torch.ones(32, 22, 30, dtype=torch.bool)
    outside[6:26, :, 3:27] = False
    assert (item.image[0][outside] == 0).all()
    assert (item.annotation[outside] == 0).all()
    assert (item.annotation[~outside] > 0).all()
    np.testing.assert_array_equal(item.image[0, 6:26, :, 3:27], data.prepared[item.case].image[0])
    assert not dataset(patch=(32, 21, 30))[SampleKey(0, 0, 0, True)].covers


def test_slices_for_two_axes():
    data = dataset(patch=(16, 16))
    lesion = TABLE.label_set_ids(SPEC.scheme("full"))[2]
    slices = set()
    for slot in range(40):
        item = data[SampleKey(0, slot, 0, slot % 2 == 1)]
        assert item.image.shape == (1, 16, 16)
        assert not item.covers
        z = int(item.image.min()) % 100_000 // (22 * 24)
        slices.add(z)
        if slot % 2:
            assert z in (3, 4)
            assert (item.annotation == lesion).any()
    assert len(slices) > 8


def test_a_flat_image_with_several_channels_is_covered():
    prepared = {f"c{i}": volume(i, shape=(1, 22, 24), channels=2) for i in range(4)}
    item = dataset(patch=(32, 32), prepared=prepared)[SampleKey(0, 0, 0, False)]
    assert item.image.shape == (2, 32, 32)
    assert item.covers
    np.testing.assert_array_equal(item.image[1], -item.image[0])
    np.testing.assert_array_equal(item.image[0, 5:27, 4:28], prepared[item.case].image[0, 0])


# --- what the annotation says ---------------------------------------------------------------------


def test_each_scheme_has_its_own_rows():
    known = [*cases(3), Case("c3", (Path("i"),), Path("l"), scheme="coarse")]
    prepared = {f"c{i}": volume(i) for i in range(3)} | {"c3": volume(3, values=(0, 0, 7))}
    streams = (Stream("full", ("c0",), 1), Stream("coarse", ("c3",), 1))
    data = dataset(patch=(24, 24, 24), known=known, prepared=prepared, streams=streams)
    (batch,) = loader(data, steps=1)
    names = [{TABLE.schemes[r] for r in b.unique().tolist()} - {""} for b in batch.annotation]
    assert names == [{"full"}, {"coarse"}]


@pytest.mark.parametrize(
    "hidden",
    [
        cases(1)[0].with_scheme("none"),
        cases(1, scheme="none")[0],
        Case("c0", (Path("i"),), None, scheme="full"),
    ],
)
def test_unlabelled_cases_say_nothing_even_if_a_label_is_prepared(hidden):
    data = dataset(known=[hidden], streams=(Stream("u", ("c0",), 1),))
    item = data[SampleKey(0, 0, 0, True)]
    assert (item.annotation == 0).all()
    assert not item.labelled


def test_a_scheme_without_a_file_fills_the_image_with_its_only_value():
    """An image known to hold no lesion: every voxel is background, padding stays unknown."""
    healthy = SPEC.scheme("none").without(SPEC.tree.leaves_under("lesion"), "healthy")
    spec = SPEC.with_schemes(healthy)
    known = [Case("c0", (Path("i"),), None, scheme="healthy")]
    data = PatchDataset(
        known, {"c0": Arrays(volume(0).image, None)}, spec.label_sets, spec.schemes,
        (Stream("u", ("c0",), 1),), augment(a_plan((32, 22, 24)), "none"), seed=0, foreground={},
    )  # fmt: skip
    item = data[SampleKey(0, 0, 0, True)]
    row = spec.label_sets.label_set_ids(healthy)[0]
    assert (item.annotation[6:26] == row).all()
    assert (item.annotation[:6] == 0).all()
    assert item.labelled


def test_unnamed_value_is_refused_by_name():
    lookup = LabelSetLookup(TABLE, SPEC.scheme("full"))
    np.testing.assert_array_equal(lookup(np.array([-1, 0, 1, 2], np.int16), "c"), [0, 1, 2, 3])
    for value in (5, -2):
        with pytest.raises(HinterlandError, match=rf"'c3'.*\[{value}\].*full"):
            lookup(np.array([0, value], np.int16), "c3")


def test_image_labels_are_columns_of_the_tree():
    known = [Case("c0", (Path("i"),), None, image_labels={"lesion": 0, "organ": 1, "grade": "b"})]
    item = dataset(known=known, streams=(Stream("u", ("c0",), 1),))[SampleKey(0, 0, 0, False)]
    columns = dict(zip(SPEC.tree.nodes, item.image_labels.tolist(), strict=True))
    assert columns == {"background": -1, "organ": 1, "rest": -1, "lesion": 0}


def test_foreground_values_follow_the_question():
    full, coarse = SPEC.scheme("full"), SPEC.scheme("coarse")
    assert foreground_values(full, SPEC.target) == {2}
    assert foreground_values(full, SPEC.tree.leaves) == {1, 2}
    assert foreground_values(coarse, SPEC.tree.leaves) == {7}
    assert foreground_values(Scheme("none", SPEC.tree), SPEC.target) == frozenset()
    heart = LabelSpec.from_dict(
        {
            "tree": {"background": {}, "heart": {"RV": {}, "MYO": {}, "LV": {}}},
            "schemes": {
                "full": {0: "background", 1: "RV", 2: "MYO", 3: "LV"},
                "coarse": {0: "background", 1: "heart"},
                "ring": {0: "not MYO", 1: "MYO"},
            },
        }
    )
    for question in (heart.target, heart.tree.coarsen("LV"), heart.tree.leaves):
        assert foreground_values(heart.scheme("coarse"), question) == {1}
    assert foreground_values(heart.scheme("ring"), heart.tree.coarsen("LV")) == frozenset()


# --- pure parts -----------------------------------------------------------------------------------


def test_cut_outside_of_the_volume_is_all_fill():
    box = cut(np.ones((2, 5, 5)), (7, -9), (3, 4), -1)
    assert box.shape == (2, 3, 4)
    assert (box == -1).all()


def test_cut_copies():
    array = np.zeros((4, 4))
    cut(array, (0, 0), (4, 4), 0)[:] = 1
    assert (array == 0).all()


def test_corner_is_clipped_to_the_volume():
    rng = np.random.default_rng(0)
    assert patch_corner(rng, (20, 20, 5), (8, 8, 8), (1, 19, 2)) == (0, 12, -1)
    assert patch_corner(rng, (20,), (8,), (10,)) == (6,)


def test_foreground_voxel_chooses_values_evenly():
    where = {1: np.zeros((1000, 3), int), 2: np.ones((3, 3), int), 5: np.zeros((0, 3), int)}
    drawn = [
        int(foreground_voxel(sample_generator(0, 0, 0, s), where, {1, 2, 5})[0]) for s in range(400)
    ]
    assert 0.4 < np.mean(drawn) < 0.6
    assert foreground_voxel(np.random.default_rng(0), where, {5, 9}) is None


def test_phantoms_through_preprocessing_to_batches(tmp_path):
    """The real way: files, plan, preprocessing, workers."""
    from hinterland.data.dataset.read import read_dataset
    from hinterland.phantoms.dataset import make_phantoms

    phantoms = read_dataset(make_phantoms(tmp_path / "p", cases=(2, 1, 1), size=24))
    plan = a_plan((16, 16, 16))
    plan = replace(plan, spacing=(2.5, 2.5, 2.5))
    prepared = prepare(phantoms, plan, cache_dir=tmp_path / "cache", workers=0)
    spec = phantoms.labels
    data = PatchDataset(
        phantoms.cases, prepared, spec.label_sets, spec.schemes,
        (Stream("labelled", tuple(c.name for c in phantoms.train), 2),), augment(plan), seed=0,
        foreground={n: foreground_values(s, spec.target) for n, s in spec.schemes.items()},
    )  # fmt: skip
    for batch in loader(data, steps=2, workers=1):
        assert batch.image.shape == (2, 1, 16, 16, 16)
        assert torch.isfinite(batch.image).all()
        assert batch.labelled.all()
        names = {spec.label_sets.schemes[r] for r in batch.annotation.unique().tolist()}
        assert names <= {"", "full"}
