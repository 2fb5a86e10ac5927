"""Small volumes that say where a patch of them is from, and the patches of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from factories import plan_of
from torch.utils.data import DataLoader

from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.label_sets import foreground_values
from hinterland.data.sampling.patches import PatchDataset, collate
from hinterland.data.sampling.sampler import StepSampler, Stream
from hinterland.labels import LabelSpec
from hinterland.types import Case

SPEC = LabelSpec.from_dict(
    {
        "tree": {"background": {"organ": {}, "rest": {}}, "lesion": {}},
        "target": ["lesion"],
        "schemes": {
            "full": {0: "rest", 1: "organ", 2: "lesion"},
            "coarse": {0: "background", 7: "lesion"},
        },
    }
)
TABLE = SPEC.label_sets
SHAPE = (20, 22, 24)


def a_plan(patch, channels=1):
    return plan_of(patch, (8,), ("MR",) * channels, median_shape=SHAPE)


@dataclass
class Arrays:
    image: np.ndarray
    label: np.ndarray | None
    locations: dict = field(default_factory=dict)


def volume(seed, shape=SHAPE, channels=1, values=(0, 1, 2)):
    """The image is the label plus a number that names the voxel, so that a patch says where it
    is from; a single small lesion in one corner, an organ around it."""
    label = np.full(shape, values[0], np.int16)
    label[:8, :8, :8] = values[1]
    label[3:5, 3:5, 3:5] = values[-1]
    image = np.arange(label.size, dtype=np.float32).reshape(shape) + seed * 100_000
    image = np.stack([image, -image])[:channels]
    return Arrays(image, label, {int(v): np.argwhere(label == v) for v in np.unique(label)})


def cases(count=4, **changes):
    return [Case(f"c{i}", (Path(f"c{i}.nii.gz"),), Path("l"), **changes) for i in range(count)]


def dataset(
    patch=(12, 12, 12), streams=(), level="none", seed=0, phase=0, prepared=None, known=None
):
    prepared = prepared or {f"c{i}": volume(i) for i in range(4)}
    return PatchDataset(
        known or cases(),
        prepared,
        TABLE,
        SPEC.schemes,
        streams or (Stream("labelled", ("c0", "c1", "c2", "c3"), 2),),
        augment(a_plan(patch), level),
        seed=seed,
        phase=phase,
        foreground={n: foreground_values(s, SPEC.target) for n, s in SPEC.schemes.items()},
    )


def loader(data, steps=3, workers=0, **sampler):
    keys = StepSampler(data.streams, steps, **sampler)
    return list(DataLoader(data, batch_sampler=keys, collate_fn=collate, num_workers=workers))


def assert_equal_batches(a, b):
    assert a.case == b.case
    assert a.streams == b.streams
    for name in ("image", "annotation", "labelled", "image_labels", "covers"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
