"""Batches made on a device: the loader's own where nothing is changed, wherever the cases lie."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from patch_sets import (
    SPEC,
    Arrays,
    a_plan,
    assert_equal_batches,
    cases,
    dataset,
    volume,
)
from scipy.stats import ks_2samp

from hinterland.data.on_device.ahead import Ahead
from hinterland.data.on_device.augmentation import BATCH_AUGMENTATIONS
from hinterland.data.on_device.batches import BatchMaker
from hinterland.data.on_device.crops import CropDataset, collate_crops
from hinterland.data.on_device.draws import draw
from hinterland.data.on_device.nnunet_recipe import NnunetBatches
from hinterland.data.on_device.packing import to_device
from hinterland.data.on_device.residents import bytes_needed, bytes_to_spare, load_residents
from hinterland.data.on_device.volumes import annotation_type, image_type
from hinterland.data.sampling.patches import collate
from hinterland.data.sampling.sampler import SampleKey, StepSampler, Stream, step_keys
from hinterland.types import Case, HinterlandError, Normalisation

CPU = torch.device("cpu")
PATCHES = [(12, 12, 12), (6, 20, 20), (16, 18), (16, 16), (30, 30, 30), (40, 12), (4, 14, 14)]
LEVELS = ["none", "flips", "nnunet"]


class Device:
    """The batches of a data set, from cases kept on the CPU as if it were the device."""

    def __init__(self, data, level, masked=(), dtype=torch.float32):
        self.augmentation = BATCH_AUGMENTATIONS.get(level)(a_plan(data.augmentation.patch_size))
        if masked:
            self.augmentation = replace(self.augmentation, masked=masked)
        self.data, self.dtype = data, dtype
        self.kept = load_residents(data, data.cases, dtype, CPU)
        self.make = BatchMaker(data, self.augmentation, CPU)
        self.count = self.augmentation.count(len(self.kept.volumes.image))

    def __call__(self, keys):
        draws = [draw(self.data, k, self.kept.outlines.__getitem__, self.count) for k in keys]
        boxes = [self.kept.boxes[d.place.case.name] for d in draws]
        return self.make(self.kept.volumes, boxes, draws)

    def from_crops(self, keys):
        crops = CropDataset(self.data, self.augmentation, self.dtype)
        work = collate_crops([crops[key] for key in keys])
        return self.make(work.volumes, work.boxes, work.draws)


def mixed(patch, level="none"):
    """Labelled, unlabelled, coarsely labelled and hidden cases of several shapes."""
    known = [
        *cases(2, image_labels={"lesion": 1}),
        Case("c2", (Path("i"),), Path("l"), "coarse", group="g", domain="d"),
        Case("c3", (Path("i"),), None, "none"),
    ]
    prepared = {
        "c0": volume(0), "c1": volume(1, (9, 33, 17)), "c2": volume(2, values=(0, 0, 7)),
        "c3": Arrays(volume(3, (11, 22, 40)).image, None),
    }  # fmt: skip
    streams = (
        Stream("fine", ("c0", "c1"), 2),
        Stream("coarse", ("c2",), 1),
        Stream("unlabelled", ("c3", "c0"), 3, hidden=True),
    )
    return dataset(patch, streams, level, prepared=prepared, known=known)


@pytest.mark.parametrize("patch", PATCHES)
def test_unchanged_batches_are_those_of_the_loader(patch):
    data = mixed(patch)
    device = Device(data, "none")
    for keys in StepSampler(data.streams, 15):
        expected, found = collate([data[key] for key in keys]), device(keys)
        assert_equal_batches(found, expected)
        assert (found.group, found.domain) == (expected.group, expected.domain)
        assert found.annotation.dtype == expected.annotation.dtype == torch.int16


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("level", LEVELS)
def test_where_the_cases_lie_changes_nothing(patch, level):
    data = mixed(patch, level)
    device = Device(data, level)
    for keys in StepSampler(data.streams, 8):
        assert_equal_batches(device.from_crops(keys), device(keys))


@pytest.mark.parametrize("level", LEVELS)
def test_an_item_is_the_same_in_any_batch_and_on_any_rank(level):
    single = (Stream("a", ("c0", "c1"), 2), Stream("b", ("c2", "c3"), 4))
    halves = tuple(replace(s, count=s.count // 2) for s in single)
    device = Device(dataset((16, 18), single, level), level)
    whole = device(step_keys(3, single, 0, 1, 0.33))
    by_slot = {}
    for rank in (0, 1):
        keys = step_keys(3, halves, rank, 2, 0.33)
        batch = device(keys)
        by_slot |= {key.slot: batch.image[i] for i, key in enumerate(keys)}
    for slot, image in enumerate(whole.image):
        torch.testing.assert_close(image, by_slot[slot], atol=0, rtol=1e-6)


def test_steps_slots_phases_and_seeds_differ():
    keys = [SampleKey(0, 0, 0, False), SampleKey(0, 1, 0, False), SampleKey(1, 0, 0, False)]
    images = [Device(dataset(level="nnunet"), "nnunet")(keys).image]
    images += [Device(dataset(level="nnunet", **c), "nnunet")(keys[:1]).image
               for c in ({"seed": 1}, {"phase": 1})]  # fmt: skip
    every = torch.cat(images)
    same = [(a == b).float().mean() for i, a in enumerate(every) for b in every[:i]]
    assert max(same) < 0.5


@pytest.mark.parametrize("patch", [(12, 12, 12), (20, 18)])
def test_mirrored_and_turned_patches_are_the_loaders_up_to_their_pose(patch):
    """The same voxels as at the same place unchanged, and every pose comes up."""
    data = dataset(patch)
    device, plain = Device(data, "flips"), Device(data, "none")
    poses = set()
    for step in range(150):
        keys = [SampleKey(step, 0, 0, True)]
        moved, still = device(keys).image[0, 0], plain(keys).image[0, 0]
        assert torch.equal(moved.flatten().sort()[0], still.flatten().sort()[0])
        corner = moved[(0,) * moved.ndim], moved[(0,) * (moved.ndim - 1) + (1,)]
        poses.add(tuple(int(c - still.min()) for c in corner))
    assert len(poses) == (16 if len(patch) == 3 else 4)


class OnlyWarped(NnunetBatches):
    """nnU-Net's augmentation without changes of intensity."""

    def recipe(self, numbers, seeds, channels):
        return replace(super().recipe(numbers, seeds, channels), steps=())


@pytest.mark.parametrize("patch", [(12, 12, 12), (6, 20, 20), (24, 20)])
def test_annotation_moves_with_the_image(patch):
    """An image that equals its annotation: they still do inside of blocks, and none is blended."""
    prepared = {}
    for i in range(4):
        label = np.kron(np.random.default_rng(i).integers(0, 3, (3, 4, 4)), np.ones((9, 9, 9)))
        label = label.astype(np.int16)
        prepared[f"c{i}"] = Arrays(label[None].astype(np.float32) + 1, label)
    data = dataset(patch, level="nnunet", prepared=prepared)
    device = Device(data, "nnunet")
    device.make.augmentation = OnlyWarped(patch)
    exact, shuffled = [], []
    for step in range(40):
        batch = device([SampleKey(step, slot, 0, False) for slot in range(4)])
        assert set(batch.annotation.unique().tolist()) <= {0, 1, 2, 3}
        seen = batch.annotation > 0
        gap = (batch.image[:, 0] - batch.annotation).abs()
        assert (gap[seen] <= 1.001).float().mean() > 0.8
        exact.append((gap[seen] < 1e-3).float().mean())
        shuffled.append((batch.image[:, 0] - batch.annotation.flip(-1)).abs()[seen].mean())
    assert np.mean(exact) > 0.7
    assert np.mean(shuffled) > 0.4


def test_masked_channels_stay_zero_outside():
    prepared = {}
    for i in range(4):
        image = np.random.default_rng(i).normal(3, 1, (2, 20, 30, 30)).astype(np.float32)
        image[:, :, :15] = 0
        label = (image[0] != 0).astype(np.int16)
        prepared[f"c{i}"] = Arrays(image, label)
    device = Device(dataset((24, 24), level="nnunet", prepared=prepared), "nnunet", masked=(0, 1))
    outside = 0
    for step in range(20):
        batch = device([SampleKey(step, slot, 0, False) for slot in range(4)])
        empty = batch.annotation == SPEC.label_sets.label_set_ids(SPEC.schemes["full"])[0]
        assert (batch.image.movedim(1, -1)[empty] == 0).all()
        outside += int(empty.sum())
    assert outside > 1000


@pytest.mark.parametrize("patch", [(16, 14), (10, 12, 12), (4, 16, 14)])
def test_whole_samples_are_distributed_as_on_the_cpu_path(patch):
    """1,000 samples of all changes together: moments, range, quantiles, and what is out of view."""
    rng = np.random.default_rng(0)
    prepared = {}
    for i in range(4):
        image = rng.normal(size=(1, 20, 30, 28)).cumsum(2).cumsum(3).astype(np.float32)
        image = (image - image.mean()) / image.std()
        prepared[f"c{i}"] = Arrays(image, (image[0] > 0.5).astype(np.int16) * 2)
    data = dataset(patch, level="nnunet", prepared=prepared)
    device = Device(data, "nnunet", dtype=torch.float16)

    def figures(image, annotation):
        x = image.double().numpy().ravel()
        steps = image[0].diff(dim=-1).abs()
        return [x.mean(), x.std(), x.min(), x.max(), *np.quantile(x, (0.1, 0.5, 0.9)),
                float(steps.mean()), float((annotation == 0).float().mean()),
                float((annotation == 3).float().mean())]  # fmt: skip

    ours, theirs = [], []
    for step in range(250):
        keys = [SampleKey(step, slot, 0, slot > 2) for slot in range(4)]
        batch = device(keys)
        ours += [figures(i, a) for i, a in zip(batch.image, batch.annotation, strict=True)]
        items = [data[key._replace(step=step + 1000)] for key in keys]
        theirs += [figures(item.image, item.annotation) for item in items]
    for column, (a, b) in enumerate(zip(np.array(ours).T, np.array(theirs).T, strict=True)):
        assert ks_2samp(np.round(a, 5), np.round(b, 5)).statistic < 0.09, column
        assert abs(a.mean() - b.mean()) < 0.2 * b.std() + 1e-6, column
        assert 0.8 < (a.std() + 1e-4) / (b.std() + 1e-4) < 1.25, column


def test_half_precision_where_intensities_are_of_unit_scale():
    assert image_type([Normalisation("zscore"), Normalisation("ct")]) == torch.float16
    assert image_type([Normalisation("zscore"), Normalisation("none")]) == torch.float32
    assert annotation_type(256) == torch.uint8
    assert annotation_type(257) == torch.int16


def test_an_intensity_that_half_precision_cannot_hold_is_refused():
    huge = {f"c{i}": Arrays(np.full((1, 4, 4, 4), 1e6, np.float32), None) for i in range(4)}
    with pytest.raises(HinterlandError, match=r"'c0' .* up to 1e\+06 .*data\.device=cpu"):
        Device(dataset(prepared=huge), "none", dtype=torch.float16)


def test_a_value_that_the_scheme_does_not_name_is_refused():
    prepared = {f"c{i}": volume(i, values=(0, 1, 5 * (i == 1))) for i in range(4)}
    with pytest.raises(HinterlandError, match=r"'c1'.*\[5\]"):
        Device(dataset(prepared=prepared), "none")


def test_memory_is_counted_before_anything_is_loaded():
    data = dataset(prepared={f"c{i}": volume(0, (3, 5, 7), channels=2) for i in range(4)})
    assert bytes_needed(data, ["c0", "c1"], torch.float16) == 2 * 3 * 5 * 7 * (2 * 2 + 1)
    volumes = load_residents(data, ["c0", "c1"], torch.float16, CPU).volumes
    assert volumes.image.nbytes + volumes.annotation.nbytes == 2 * 3 * 5 * 7 * (2 * 2 + 1)
    assert bytes_to_spare(CPU, 8.0) > 0
    assert bytes_to_spare(torch.device("mps"), 8.0) == 0


def test_locations_are_kept_of_foreground_only():
    kept = load_residents(dataset(), ["c0"], torch.float32, CPU)
    assert set(kept.outlines["c0"].locations) == {2}


def test_arrays_arrive_as_they_are():
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.random((3, 2)).astype(np.float32), "b": rng.integers(0, 9, (4,)),
        "c": np.array([True, False, True]), "d": np.zeros((0, 2, 2), np.float32),
        "e": np.arange(7, dtype=np.int16)[::-1],
    }  # fmt: skip
    for name, tensor in to_device(arrays, CPU).items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name])
        assert tensor.numpy().dtype == arrays[name].dtype


def test_batches_come_in_order_and_are_counted():
    data = dataset(level="nnunet")
    device = Device(data, "nnunet")
    keys = list(StepSampler(data.streams, 4))
    batches = Ahead(keys, device, CPU)
    assert len(batches) == 4
    for found, step in zip(batches, keys, strict=True):
        assert_equal_batches(found, device(step))


class Streams:
    """Stands in for CUDA's streams, and writes down what is asked of them."""

    def __init__(self, monkeypatch):
        self.told = told = []

        class Stream:
            def __init__(self, name="side"):
                self.name = name

            def wait_stream(self, other):
                told.append(f"{self.name} waits for {other.name}")

            def record_event(self):
                return "made"

            def wait_event(self, event):
                told.append(f"{self.name} waits until {event}")

        used = Stream("main")
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: used)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        monkeypatch.setattr(
            torch.Tensor, "record_stream", lambda tensor, stream: told.append(stream.name)
        )


def test_on_cuda_the_next_batch_is_made_before_the_last_is_handed_out(monkeypatch):
    streams, data = Streams(monkeypatch), dataset(level="nnunet")
    told, device = streams.told, Device(data, "nnunet")

    def make(keys):
        told.append(f"make {keys[0].step}")
        return device(keys)

    keys = list(StepSampler(data.streams, 3))
    for step, batch in enumerate(Ahead(keys, make, torch.device("cuda", 0))):
        told.append(f"step {step}")
        assert_equal_batches(batch, device(keys[step]))
    handed = ["main waits until made", *["main"] * 5]  # the batch has five tensors
    assert told == [
        "side waits for main", "make 0", "make 1", *handed, "step 0", "make 2", *handed, "step 1",
        *handed, "step 2",
    ]  # fmt: skip
