"""Where the voxels of a preprocessed case came from, and the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hinterland.data.preprocessing.resample import (
    AxisMap,
    Shape,
    Spacing,
    resample,
    resample_labels,
    resampled_shape,
    separate_axis,
)

_KEYS = ("original_shape", "transpose", "start", "stop", "spacing", "target")


@dataclass(frozen=True)
class Geometry:
    """The steps from the array of a file to the array of a network: transpose, crop, resample.

    `original_shape` (z, y, x) is the file's; everything below it is after `transpose`. The crop is
    [`start`, `stop`) in voxels; `spacing` is that of the file and `target` that of the plan.
    """

    original_shape: Shape
    transpose: tuple[int, int, int]
    start: Shape
    stop: Shape
    spacing: Spacing
    target: Spacing

    @cached_property
    def cropped_shape(self) -> Shape:
        """Shape after transposing and cropping, before resampling."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @cached_property
    def shape(self) -> Shape:
        """Shape (z, y, x) of the preprocessed case."""
        return resampled_shape(self.cropped_shape, self.spacing, self.target)

    @property
    def _box(self) -> tuple[slice, ...]:
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def crop(self, array: np.ndarray) -> np.ndarray:
        """Return a view of (..., z, y, x) in the file's order: transposed and cropped."""
        lead = array.ndim - 3
        order = (*range(lead), *(lead + axis for axis in self.transpose))
        return array.transpose(order)[(slice(None),) * lead + self._box]

    def apply_to_label(self, label: np.ndarray) -> np.ndarray:
        """Return a label array of the file's shape as the network sees it, int16 (z, y, x)."""
        cropped = self.crop(label).astype(np.int16)
        return resample_labels(cropped, self.shape, self.spacing, self.target)

    @cached_property
    def way_back(self) -> tuple[AxisMap, AxisMap, AxisMap]:
        """What the voxels of the crop are made of, axis by axis; see `undo`."""
        apart = separate_axis(self.target, self.spacing)
        maps = [
            AxisMap.nearest(old, new) if axis == apart else AxisMap.linear(old, new)
            for axis, (old, new) in enumerate(zip(self.shape, self.cropped_shape, strict=True))
        ]
        return maps[0], maps[1], maps[2]

    def undo(self, array: np.ndarray, background: int = 0) -> np.ndarray:
        """Return probabilities (G, z, y, x) of the preprocessed case in the file's order and shape.

        Interpolation is linear (nearest slice along a thick axis). Outside the crop, where the
        image is zero, channel `background` gets probability 1. Float32, one channel at a time.

        Raises:
            ValueError: the array is not of the preprocessed case's shape.
        """
        out = np.empty((len(array), *self.original_shape), np.float32)
        for channel, result in zip(self._restored(array, background), out, strict=True):
            result[...] = channel
        return out

    def undo_argmax(self, array: np.ndarray, background: int = 0) -> np.ndarray:
        """Return `undo(array).argmax(axis=0)` as int16.

        Channels are restored one at a time, so that they are never all held at full size.
        """
        best = np.full(self.original_shape, -np.inf, np.float32)
        out = np.zeros(self.original_shape, np.int16)
        for index, channel in enumerate(self._restored(array, background)):
            np.copyto(out, np.int16(index), where=channel > best)
            np.maximum(best, channel, out=best)
        return out

    def _restored(self, array: np.ndarray, background: int) -> Iterator[np.ndarray]:
        if array.ndim != 4 or array.shape[1:] != self.shape:
            raise ValueError(f"expected (G, {', '.join(map(str, self.shape))}), got {array.shape}")
        back = np.argsort(self.transpose)
        full = tuple(self.original_shape[axis] for axis in self.transpose)
        for index in range(len(array)):
            channel = np.full(full, float(index == background), np.float32)
            channel[self._box] = resample(
                array[index : index + 1], self.cropped_shape, self.target, self.spacing, order=1
            )[0]
            yield channel.transpose(back)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists; `from_dict` reads them back to an equal geometry."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Geometry:
        """Read what `to_dict` wrote, also after a way through JSON."""
        return cls(**{key: tuple(data[key]) for key in _KEYS})

    def to_json(self) -> str:
        """Serialise; `from_json` reads it back to an equal geometry."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Geometry:
        """Read what `to_json` wrote."""
        return cls.from_dict(json.loads(text))
