"""Compute in float32 where bf16 would round away what is asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def float32(like: Tensor) -> AbstractContextManager[None]:
    """Return a context in which products are computed in the type of their factors.

    A training step runs under autocast, which takes the factors of every matrix product to bf16,
    also those that were made float32 on purpose. Means over many voxels whose difference is a loss
    lose it so.

    Args:
        like: a tensor on the device where the products are.
    """
    return torch.autocast(like.device.type, enabled=False)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 if it is in half precision, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
