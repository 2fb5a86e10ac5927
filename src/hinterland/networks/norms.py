"""Instance normalisation that is fast on a CPU, known to MONAI's layers as "swift_instance"."""

from __future__ import annotations

import torch.nn.functional as F
from monai.networks.layers import Norm
from torch import Tensor, nn


def instance_norm(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise each channel of each image: as group norm with a group for each channel on a CPU.

    There torch's instance norm copies the whole map, and needs 1.7 times as long for a convolution
    with norm and activation (2D, 16 channels of 112x112), 1.2 times in 3D.
    """
    if x.device.type == "cpu":
        return F.group_norm(x, x.shape[1], layer.weight, layer.bias, layer.eps)  # type: ignore[arg-type]
    return F.instance_norm(x, weight=layer.weight, bias=layer.bias, eps=layer.eps)  # type: ignore[arg-type]


class InstanceNorm2d(nn.InstanceNorm2d):
    """Of maps (B, C, y, x)."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(self, x)


class InstanceNorm3d(nn.InstanceNorm3d):
    """Of maps (B, C, z, y, x)."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(self, x)


@Norm.factory_function("swift_instance")
def _swift_instance(dim: int) -> type[nn.Module]:
    return (nn.InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)[dim - 1]
