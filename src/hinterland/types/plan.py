"""A plan: everything that follows from the data and the machine before any training."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hinterland.errors import HinterlandError


@dataclass(frozen=True)
class Normalisation:
    """How one channel is brought to unit scale.

    `zscore`: (x - mean of the case) / std of the case. `ct`: clip to [lower, upper], then subtract
    `mean` and divide by `std`, all four measured on the foreground of the training set.
    `rescale`: (x - lower) / (upper - lower), or the case's own minimum and maximum where upper is
    lower. `none`: as it is. With `masked`, zscore uses non-zero voxels only.
    """

    scheme: Literal["zscore", "ct", "rescale", "none"]
    lower: float = 0.0
    upper: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    masked: bool = False


@dataclass(frozen=True)
class NetworkPlan:
    """Topology by nnU-Net's rules; stages from the highest resolution down.

    `strides[0]` is all ones. `convolutions` counts the convolutions of one block.
    """

    features: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    convolutions: int = 2


@dataclass(frozen=True)
class Plan:
    """The plan of one data set in 2D or 3D.

    Arrays are (channel, z, y, x) after `transpose`, which brings the axis of largest spacing to z;
    a 2D image has z = 1. `spacing` is the target spacing (z, y, x) in `unit`; in 2D its z entry is
    None: slices are taken as they are. `patch_size` has `dims` entries.
    """

    dims: Literal[2, 3]
    channels: tuple[str, ...]
    normalisation: tuple[Normalisation, ...]
    spacing: tuple[float | None, float, float]
    unit: Literal["mm", "voxel"]
    transpose: tuple[int, int, int]
    median_shape: tuple[int, int, int]
    patch_size: tuple[int, ...]
    batch_size: int
    batch_dice: bool
    network: NetworkPlan
    fingerprint: str
    memory_gb: float = 8.0
    planner: str = "hinterland"

    def to_json(self) -> str:
        """Serialise; `from_json` reads it back to an equal plan."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            HinterlandError: the text is anything else.
        """
        try:
            return cls._from_dict(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HinterlandError(
                f"this is not a plan: {type(error).__name__}: {error}. Expected the plan.json that "
                "`hinterland plan` or `hinterland train` wrote; make it anew with "
                "`hinterland plan DATASET`."
            ) from None

    @classmethod
    def _from_dict(cls, data: dict[str, Any]) -> Plan:
        data["normalisation"] = tuple(Normalisation(**n) for n in data["normalisation"])
        net = data["network"]
        data["network"] = NetworkPlan(
            features=tuple(net["features"]),
            strides=tuple(tuple(s) for s in net["strides"]),
            kernels=tuple(tuple(k) for k in net["kernels"]),
            convolutions=net["convolutions"],
        )
        for key in ("channels", "spacing", "transpose", "median_shape", "patch_size"):
            data[key] = tuple(data[key])
        return cls(**data)
