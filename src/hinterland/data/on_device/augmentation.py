"""Augmentations of whole batches by the names of those of patches one by one."""

from __future__ import annotations

from collections.abc import Callable

from hinterland.data.on_device.nnunet_recipe import nnunet_batches
from hinterland.data.on_device.poses import Poses
from hinterland.data.on_device.recipe import BatchAugmentation
from hinterland.types import Plan
from hinterland.types.registry import Registry

BATCH_AUGMENTATIONS: Registry[Callable[[Plan], BatchAugmentation]] = Registry(
    "augmentation of batches",
    "hinterland.batch_augmentations",
    {
        "nnunet": nnunet_batches,
        "flips": lambda plan: Poses(plan.patch_size, moved=True),
        "none": lambda plan: Poses(plan.patch_size, moved=False),
    },
)
"""All that can be done on a device, by name, also those of other packages."""
