"""FCN and DeepLabv3 on a dilated ResNet-50 (paper 5's segmenters), in 2D and 3D.

The modules have torchvision's names, so that its ImageNet weights fit (`networks.pretrained`). Maps
are an eighth of the image: the last two stages dilate their convolutions where the classifier
halves its maps. Long et al., CVPR 2015; Chen et al., arXiv 1706.05587; Hu et al., CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.networks.architectures.blocks import norm_layer
from hinterland.networks.architectures.layers import layer
from hinterland.networks.base import Network
from hinterland.networks.initialise import initialise, seeded
from hinterland.networks.roles import mark_end

BLOCKS = (3, 4, 6, 3)
DILATIONS = (1, 1, 2, 4)
STRIDES = (1, 2, 1, 1)
EXPANSION = 4
ASPP_RATES = (12, 24, 36)
SQUEEZE = 16


@dataclass(frozen=True)
class Layers:
    """Convolutions without norm, and norms, of so many axes."""

    dims: int
    norm_name: str

    def conv(
        self, entering: int, leaving: int, kernel: int, *, stride: int = 1, dilation: int = 1,
        bias: bool = False,
    ) -> nn.Module:  # fmt: skip
        """Make a convolution whose output is its input's size over the stride.

        Args:
            entering: channels of the input.
            leaving: channels of the output.
            kernel: edge in voxels.
            stride: in voxels.
            dilation: in voxels.
            bias: whether it has one.

        Returns:
            The layer.
        """
        padding = dilation * (kernel - 1) // 2
        return layer(
            "conv", self.dims, entering, leaving, kernel, stride, padding, dilation, bias=bias
        )

    def norm(self, channels: int) -> nn.Module:
        """Make a layer that normalises."""
        kind, options = norm_layer(self.norm_name)
        return layer(kind, self.dims, channels, **options)


class DilatedResNet50(nn.Module):
    """ResNet-50 whose output is an eighth of its input; with `squeeze`, SE-ResNet-50."""

    def __init__(self, layers: Layers, in_channels: int, width: int, *, squeeze: bool) -> None:
        super().__init__()
        self.conv1 = mark_end(layers.conv(in_channels, width, 7, stride=2))
        self.bn1 = layers.norm(width)
        self.maxpool = layer("max", layers.dims, 3, 2, 1)
        entering = width
        for stage, blocks in enumerate(BLOCKS):
            inner, made = width * 2**stage, []
            for block in range(blocks):
                # the first block of a dilated stage keeps the dilation before it, as torchvision's
                dilation = DILATIONS[max(stage - 1, 0) if block == 0 else stage]
                stride = STRIDES[stage] if block == 0 else 1
                made.append(Bottleneck(layers, entering, inner, stride, dilation, squeeze))
                entering = inner * EXPANSION
            setattr(self, f"layer{stage + 1}", nn.Sequential(*made))
        self.leaving = entering

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(len(BLOCKS)):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions around a shortcut; channels are weighted where `squeeze`."""

    def __init__(
        self, layers: Layers, entering: int, inner: int, stride: int, dilation: int, squeeze: bool
    ) -> None:
        super().__init__()
        leaving = inner * EXPANSION
        self.conv1 = layers.conv(entering, inner, 1)
        self.bn1 = layers.norm(inner)
        self.conv2 = layers.conv(inner, inner, 3, stride=stride, dilation=dilation)
        self.bn2 = layers.norm(inner)
        self.conv3 = layers.conv(inner, leaving, 1)
        self.bn3 = layers.norm(leaving)
        self.weighting = ChannelWeights(leaving) if squeeze else nn.Identity()
        self.downsample = (
            nn.Sequential(layers.conv(entering, leaving, 1, stride=stride), layers.norm(leaving))
            if stride != 1 or entering != leaving
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.weighting(self.bn3(self.conv3(y)))
        return F.relu(y + self.downsample(x))


class ChannelWeights(nn.Module):
    """Squeeze and excitation: each channel times sigmoid(W2 relu(W1 mean))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // SQUEEZE, 4)  # of narrow networks: one unit may be silent for good
        self.squeeze, self.excite = nn.Linear(channels, inner), nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.excite(F.relu(self.squeeze(x.flatten(2).mean(2)))).sigmoid()
        return x * weights.view(*weights.shape, *(1,) * (x.ndim - 2))


class FCNHead(nn.Sequential):
    """A 3 x 3 convolution to a quarter of the channels, norm, dropout, and the classes."""

    def __init__(self, layers: Layers, entering: int, classes: int) -> None:
        inner = max(entering // 4, 1)
        super().__init__(
            layers.conv(entering, inner, 3), layers.norm(inner), nn.ReLU(),
            nn.Dropout(0.1), mark_end(layers.conv(inner, classes, 1, bias=True)),
        )  # fmt: skip


class DeepLabHead(nn.Module):
    """Atrous spatial pyramid pooling, a 3 x 3 convolution, and the classes.

    The branch of the pooled image has no norm: there is one value a channel to normalise.
    """

    def __init__(self, layers: Layers, entering: int, classes: int) -> None:
        super().__init__()
        inner = max(entering // 8, 1)
        kernels = (1, *(3,) * len(ASPP_RATES))
        self.branches = nn.ModuleList(
            nn.Sequential(
                layers.conv(entering, inner, kernel, dilation=rate),
                layers.norm(inner), nn.ReLU(),
            )
            for kernel, rate in zip(kernels, (1, *ASPP_RATES), strict=True)
        )  # fmt: skip
        self.pooled = nn.Linear(entering, inner)
        self.project = nn.Sequential(
            layers.conv(inner * (len(kernels) + 1), inner, 1), layers.norm(inner),
            nn.ReLU(), nn.Dropout(0.5),
            layers.conv(inner, inner, 3), layers.norm(inner), nn.ReLU(),
        )  # fmt: skip
        self.classes = mark_end(layers.conv(inner, classes, 1, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        whole = F.relu(self.pooled(x.flatten(2).mean(2)))
        spread = whole.view(*whole.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
        maps = [branch(x) for branch in self.branches]
        return self.classes(self.project(torch.cat([*maps, spread.to(maps[0].dtype)], dim=1)))


class DilatedSegmenter(Network):
    """A dilated ResNet-50, a head, and logits enlarged linearly to the image's size."""

    head_of: type[nn.Module] = FCNHead
    squeeze = False

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        *,
        widths: Sequence[int] | None = None,
        norm: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(dims, in_channels, out_channels)
        width = widths[0] if widths else 64
        layers = Layers(dims, norm or "batch")
        with seeded(seed):
            self.backbone = DilatedResNet50(layers, in_channels, width, squeeze=self.squeeze)
            self.classifier = self.head_of(layers, self.backbone.leaving, out_channels)
            initialise(self, slope=0.0)

    def forward(self, x: Tensor) -> Tensor:
        small = self.classifier(self.backbone(x))
        mode = "bilinear" if self.dims == 2 else "trilinear"
        return F.interpolate(small, size=x.shape[2:], mode=mode, align_corners=False)


class FCNResNet50(DilatedSegmenter):
    """FCN on a ResNet-50."""


class FCNSEResNet50(DilatedSegmenter):
    """FCN on a ResNet-50 with squeeze and excitation."""

    squeeze = True


class DeepLabV3(DilatedSegmenter):
    """DeepLabv3 on a ResNet-50."""

    head_of = DeepLabHead
