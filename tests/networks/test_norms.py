"""Instance norm by whichever kernel is torch's own, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hinterland.networks.norms import InstanceNorm2d, InstanceNorm3d


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("dims", [2, 3])
def test_agrees_with_torchs_own(dims, last, training):
    generator = torch.Generator().manual_seed(0)
    ours = (InstanceNorm2d, InstanceNorm3d)[dims - 2](5, affine=True).train(training)
    theirs = (nn.InstanceNorm2d, nn.InstanceNorm3d)[dims - 2](5, affine=True).train(training)
    with torch.no_grad():
        for layer in (ours, theirs):
            layer.weight.copy_(torch.linspace(-1, 2, 5))
            layer.bias.copy_(torch.linspace(3, -1, 5))
    image = 3 + 2 * torch.randn(3, 5, *(6,) * dims, generator=generator)
    if last:
        image = image.to(memory_format=(torch.channels_last, torch.channels_last_3d)[dims - 2])
    factor = torch.randn(image.shape, generator=generator)
    found = []
    for layer in (ours, theirs):
        x = image.clone().requires_grad_()
        y = layer(x)
        (y * factor).sum().backward()
        found.append((y, x.grad, layer.weight.grad, layer.bias.grad))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
