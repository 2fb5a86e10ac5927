"""Initial weights from an explicit seed, by nnU-Net's rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's CPU generator as if it had just been seeded; its state is put back after.

    Modules are built on the CPU, so CUDA's generators are not touched (torch.manual_seed would).
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


def initialise(module: nn.Module, slope: float = 1e-2) -> None:
    """Give all convolutions He's normal weights for a leaky ReLU of this slope, and zero biases."""
    for layer in module.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, a=slope)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise_tokens(module: nn.Module) -> None:
    """Give all linear layers normal weights of 0.02, cut off at two, and zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
