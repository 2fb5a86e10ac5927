"""bf16 on a CPU: the gradients of 3D convolutions are those of float32, on shallow maps too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hinterland.training.config import make_config
from hinterland.training.loop.lightning import lightning_trainer
from hinterland.training.optimisation.cpu_precision import CpuMixedPrecision


def _spoil_memory() -> None:
    """Fill memory that is free again afterwards, so that what is not written shows as NaN."""
    sizes = [2**k for k in range(10, 21)] * 3
    held = [torch.full((n,), float("nan"), dtype=d) for n in sizes for d in (None, torch.bfloat16)]
    del held


def _weight_gradient(convolution: nn.Conv3d, image: Tensor, seed: Tensor) -> Tensor:
    convolution.zero_grad()
    convolution(image).float().backward(seed)
    assert convolution.weight.grad is not None
    return convolution.weight.grad.clone()


@pytest.mark.parametrize("space", [(2, 3, 3), (2, 4, 4), (1, 4, 4), (3, 4, 4), (4, 2, 2)])
@pytest.mark.parametrize("channels", [16, 64])
def test_weight_gradients_are_those_of_float32(space: tuple[int, ...], channels: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv3d(channels, channels, 3, padding=1)
    image, seed = (torch.randn(2, channels, *space) for _ in range(2))
    expected = _weight_gradient(convolution, image, seed)
    for _ in range(3):
        _spoil_memory()
        with CpuMixedPrecision().forward_context():
            found = _weight_gradient(convolution, image, seed)
        assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_only_shallow_maps_leave_bf16() -> None:
    convolution = nn.Conv3d(4, 4, 3, padding=1)
    with CpuMixedPrecision().forward_context():
        assert convolution(torch.randn(1, 4, 4, 4, 4)).dtype == torch.bfloat16
        assert convolution(torch.randn(1, 4, 1, 4, 4)).dtype == torch.bfloat16
        assert convolution(torch.randn(1, 4, 2, 4, 4)).dtype == torch.float32
    assert convolution(torch.randn(1, 4, 2, 4, 4)).dtype == torch.float32


def test_training_in_bf16_on_a_cpu_goes_through_it() -> None:
    config = make_config({"steps": 1})
    of = {p: lightning_trainer(config, "cpu", p).precision_plugin for p in ("bf16", "fp32")}
    assert isinstance(of["bf16"], CpuMixedPrecision)
    assert not isinstance(of["fp32"], CpuMixedPrecision)
