"""One residual trunk under two heads: the class of an image, or of each pixel (paper 5, A4.2).

A comparison of classification with segmentation wants networks that differ in nothing but what is
asked of them. Both are a ResNet without its last layers; the classifier averages the trunk's map
over all positions, the segmentation network has a fully convolutional head on it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.networks.base import Network
from hinterland.networks.initialise import seeded
from hinterland.types import HinterlandError

Trunk = Literal["resnet50", "small"]
TRUNKS: dict[str, dict[str, Any]] = {
    "resnet50": {
        "block": "bottleneck", "layers": [3, 4, 6, 3], "block_inplanes": [64, 128, 256, 512],
        "conv1_t_size": 7, "conv1_t_stride": 2, "no_max_pool": False, "bias_downsample": False,
    },
    "small": {
        "block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [16, 32, 32, 32],
        "conv1_t_size": 5, "conv1_t_stride": 2, "no_max_pool": True, "bias_downsample": False,
    },
}  # fmt: skip
"""Arguments of MONAI's ResNet. `small` (0.07 M parameters) is for CPUs and images of 64 pixels."""


class ResidualTrunk(nn.Module):
    """MONAI's ResNet up to its last map, 2D. `width` is the number of that map's channels.

    With `dense`, the last two stages keep their resolution (stride 1) and their 3x3 kernels are
    dilated by 2 and 4 instead, as usual under a fully convolutional head: the map has 1/8 of the
    image's edges (`resnet50`) or 1/4 (`small`), with the same weights.
    """

    def __init__(self, kind: Trunk, in_channels: int, dense: bool) -> None:
        super().__init__()
        if kind not in TRUNKS:
            raise HinterlandError(f"trunk {kind!r}: expected one of {', '.join(TRUNKS)}.")
        from monai.networks.nets.resnet import ResNet

        shape: dict[str, Any] = TRUNKS[kind]
        net = ResNet(**shape, spatial_dims=2, n_input_channels=in_channels, feed_forward=False)
        pool = [] if net.no_max_pool else [net.maxpool]
        self.stem = nn.Sequential(net.conv1, net.bn1, net.act, *pool)
        self.stages = nn.Sequential(net.layer1, net.layer2, net.layer3, net.layer4)
        self.width = net.in_planes
        if dense:
            _dilate(net.layer3, 2)
            _dilate(net.layer4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the last feature map (B, width, h, w)."""
        return self.stages(self.stem(x))


def _dilate(stage: nn.Module, rate: int) -> None:
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
            if layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (rate, rate)


class PooledClassifier(nn.Module):
    """Image (B, C, H, W) to class logits (B, classes): trunk, global average, one linear layer."""

    def __init__(self, kind: Trunk, in_channels: int, classes: int, *, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.trunk = ResidualTrunk(kind, in_channels, dense=False)
            self.head = nn.Linear(self.trunk.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, classes)."""
        return self.head(self.trunk(x).mean(dim=(2, 3)))


class FullyConvolutional(Network):
    """Image to logits of the same size: dense trunk, head, bilinear interpolation.

    The head is a 3x3 convolution to a quarter of the trunk's channels (32 at least), batch norm,
    ReLU, dropout of 0.1, and a 1x1 convolution.
    """

    def __init__(self, kind: Trunk, in_channels: int, out_channels: int, *, seed: int = 0) -> None:
        super().__init__(2, in_channels, out_channels)
        with seeded(seed):
            self.trunk = ResidualTrunk(kind, in_channels, dense=True)
            middle = max(self.trunk.width // 4, 32)
            self.head = nn.Sequential(
                nn.Conv2d(self.trunk.width, middle, 3, padding=1, bias=False),
                nn.BatchNorm2d(middle),
                nn.ReLU(inplace=True),
                nn.Dropout(0.1),
                nn.Conv2d(middle, out_channels, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, classes, H, W)."""
        logits = self.head(self.trunk(x))
        return F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)
