"""bf16 on a CPU, around a fault of the library that computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.overrides import TorchFunctionMode


class ShallowMaps(TorchFunctionMode):
    """In this context, 3D convolutions whose kernel is deeper than their input are float32.

    Where 1 < depth < kernel, oneDNN's bf16 gradient of the weights is made of whatever the memory
    holds: NaN, or wrong without a sign of it (torch 2.13, AVX-512 BF16). A patch 32 voxels deep
    gets there on the fifth level.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        return (_conv3d if func is torch.conv3d else func)(*args, **(kwargs or {}))


def _conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **named: Any
) -> Any:
    if not 1 < input.shape[-3] < weight.shape[-3]:
        return torch.conv3d(input, weight, bias, *rest, **named)
    with torch.autocast(input.device.type, enabled=False):
        added = None if bias is None else bias.float()
        return torch.conv3d(input.float(), weight.float(), added, *rest, **named)


class CpuMixedPrecision(MixedPrecision):
    """Lightning's bf16 on a CPU, with `ShallowMaps`."""

    def __init__(self) -> None:
        super().__init__("bf16-mixed", "cpu")

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        with super().forward_context(), ShallowMaps():
            yield
