"""Small arrays to a device in one copy: each copy of its own costs the host more than its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ALIGNED = 16  # bytes: a view of another type must begin at a multiple of its size


def to_device(arrays: Mapping[str, NDArray[Any]], device: torch.device) -> dict[str, Tensor]:
    """Copy arrays to a device, in one piece and without waiting for it.

    Args:
        arrays: By name; of the types that torch knows.
        device: Where they go.

    Returns:
        Tensors by the same names, of the same shapes and types.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    starts, total = {}, 0
    for name, array in contiguous.items():
        starts[name] = total
        total += -(-array.nbytes // _ALIGNED) * _ALIGNED
    host = torch.empty(total, dtype=torch.uint8, pin_memory=device.type == "cuda")
    content = host.numpy()
    for name, array in contiguous.items():
        start = starts[name]
        content[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
    there = host.to(device, non_blocking=True)

    def view(name: str, array: NDArray[Any]) -> Tensor:
        part = there[starts[name] : starts[name] + array.nbytes]
        return part.view(torch.from_numpy(array[:0]).dtype).view(array.shape)

    return {name: view(name, array) for name, array in contiguous.items()}
