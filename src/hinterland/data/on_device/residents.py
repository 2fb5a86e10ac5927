"""Preprocessed cases that stay on the device for the whole of a training."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from hinterland.data.on_device.volumes import Box, Volumes, annotation_type
from hinterland.data.sampling.patches import PatchDataset, PreparedArrays
from hinterland.data.sampling.places import Outline
from hinterland.types import Case, HinterlandError

_SHARE = 0.5  # of the memory that training leaves free


@dataclass(frozen=True)
class Residents:
    """Cases on a device: their voxels, and by name where each lies and what its outline is."""

    volumes: Volumes
    boxes: Mapping[str, Box]
    outlines: Mapping[str, Outline]


def bytes_needed(data: PatchDataset, names: Iterable[str], dtype: torch.dtype) -> int:
    """Return the memory that cases would take on a device.

    Args:
        data: the patches that would be drawn from them.
        names: the cases.
        dtype: of the image.

    Returns:
        Bytes of images and annotations.
    """
    shapes = [data.prepared[name].image.shape for name in names]
    voxel = annotation_type(len(data.says)).itemsize
    return sum(prod(s) * dtype.itemsize + prod(s[1:]) * voxel for s in shapes)


def bytes_to_spare(device: torch.device, training_gb: float) -> float:
    """Return how much of a device's memory cases may take.

    It is half of what is free once training has its share; on a CPU, half of what is free.

    Args:
        device: Where training runs.
        training_gb: What training takes there, in GB.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return _SHARE * (free - training_gb * 2**30)
    names = getattr(os, "sysconf_names", {})
    if device.type != "cpu" or "SC_AVPHYS_PAGES" not in names:
        return 0.0
    return _SHARE * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def load_residents(
    data: PatchDataset, names: Iterable[str], dtype: torch.dtype, device: torch.device
) -> Residents:
    """Bring cases to a device.

    Args:
        data: The patches that would be drawn from them.
        names: The cases.
        dtype: Of the image; see `image_type`.
        device: Where they go.

    Returns:
        The cases, one behind the other in the device's memory.

    Raises:
        HinterlandError: A label file holds a value that its scheme does not name, or an intensity
            does not fit `dtype`.
    """
    names = sorted(names)
    boxes: dict[str, Box] = {}
    outlines: dict[str, Outline] = {}
    total = channels = 0
    for name in names:
        shape = data.prepared[name].image.shape
        boxes[name] = Box(total, tuple(shape[1:]))
        total, channels = total + prod(shape[1:]), shape[0]
    image = torch.empty((channels, total), dtype=dtype, device=device)
    annotation = torch.empty(total, dtype=annotation_type(len(data.says)), device=device)
    for name in names:
        stored, case, start = data.prepared[name], data.cases[name], boxes[name].start
        part = slice(start, start + prod(boxes[name].shape))
        image[:, part] = torch.from_numpy(np.array(stored.image)).to(dtype).flatten(1)
        if not bool(torch.isfinite(image[:, part]).all()):
            raise HinterlandError(
                f"case {name!r} has intensities up to {np.abs(stored.image).max():g} after "
                "normalisation, which 16 bits cannot hold. Correct the image, or train with "
                "--set data.device=cpu."
            )
        annotation[part] = torch.from_numpy(rows_of(data, case, stored)).to(annotation).flatten()
        wanted = data.foreground.get(case.scheme, frozenset())
        outlines[name] = Outline(
            boxes[name].shape,
            stored.label is not None,
            {v: np.array(at) for v, at in stored.locations.items() if v in wanted},
        )
    return Residents(Volumes(image, annotation), boxes, outlines)


def rows_of(data: PatchDataset, case: Case, stored: PreparedArrays) -> NDArray[np.int16]:
    """Return the label sets (z, y, x) of a whole case, as far as they are ever seen.

    Args:
        data: knows the label sets.
        case: the case, with its scheme.
        stored: its preprocessed arrays.

    Returns:
        Indices into the table of label sets, int16 (z, y, x).
    """
    lookup, label = data.lookups.get(case.scheme), stored.label
    if lookup is None or label is None or not case.labelled or case.label is None:
        return np.full(stored.image.shape[1:], data.blank(case), np.int16)
    return lookup(np.asarray(label), case.name)
