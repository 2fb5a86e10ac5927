"""Small networks from a mask or an embedding to class logits, and SqueezeNet.

The heads are those that paper 5 summarises segmentations with (its appendix A2.2), for two or three
spatial axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from monai.networks.layers import Conv, Dropout, Norm, Pool
from torch import Tensor, nn

from hinterland.networks.initialise import initialise

HIDDEN = 100
_NARROW = 16


class FullyConnected(nn.Sequential):
    """One linear layer on the flattened (B, C, *size) input."""

    def __init__(self, dims: int, channels: int, classes: int, size: Sequence[int]) -> None:
        del dims
        super().__init__(nn.Flatten(), nn.Linear(channels * prod(size), classes))


class PooledLinear(nn.Sequential):
    """Global average of each channel, then one linear layer."""

    def __init__(self, dims: int, channels: int, classes: int, size: Sequence[int]) -> None:
        del size
        super().__init__(
            Pool[Pool.ADAPTIVEAVG, dims](1), nn.Flatten(), nn.Linear(channels, classes)
        )


class SimpleHead(nn.Sequential):
    """Global average pooling and three fully connected layers with ReLU between them.

    The paper gives no widths: here `HIDDEN` features, twice.
    """

    def __init__(self, dims: int, channels: int, classes: int, size: Sequence[int]) -> None:
        del size
        super().__init__(
            Pool[Pool.ADAPTIVEAVG, dims](1), nn.Flatten(),
            nn.Linear(channels, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, classes),
        )  # fmt: skip


class ComplexHead(nn.Sequential):
    """The paper's complex head.

    3 x [3x3 convolution to 16 channels, BN, ReLU, 2x2 max pooling], flatten,
    2 x [linear to 100, BN, ReLU, dropout .25], linear. An axis that is
    down to one voxel is not pooled further.
    """

    def __init__(self, dims: int, channels: int, classes: int, size: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        here, entering = list(size), channels
        for _ in range(3):
            steps = tuple(2 if n > 1 else 1 for n in here)
            layers += [
                Conv[Conv.CONV, dims](entering, _NARROW, 3, padding=1),
                Norm[Norm.BATCH, dims](_NARROW),
                nn.ReLU(),
                Pool[Pool.MAX, dims](steps, steps),
            ]
            here = [n // s for n, s in zip(here, steps, strict=True)]
            entering = _NARROW
        layers.append(nn.Flatten())
        entering *= prod(here)
        for _ in range(2):
            layers += [nn.Linear(entering, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU()]
            layers.append(nn.Dropout(0.25))
            entering = HIDDEN
        super().__init__(*layers, nn.Linear(HIDDEN, classes))


class Fire(nn.Module):
    """SqueezeNet's module: a 1x1 convolution, then 1x1 and 3x3 convolutions side by side."""

    def __init__(self, dims: int, entering: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        conv = Conv[Conv.CONV, dims]
        self.squeeze = conv(entering, squeezed, 1)
        self.one = conv(squeezed, expanded, 1)
        self.three = conv(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, *size) to (B, 2 expanded, *size)."""
        x = self.squeeze(x).relu()
        return torch.cat([self.one(x), self.three(x)], dim=1).relu()


class SqueezeNet(nn.Sequential):
    """SqueezeNet (Iandola et al. 2016), the variant 1.1 that pools early; any size from 16 voxels.

    Max pooling is padded, so that an axis of one voxel passes it unchanged. Convolutions begin with
    He's weights: it has no normalisation.
    """

    def __init__(self, dims: int, channels: int, classes: int, size: Sequence[int]) -> None:
        del size
        conv = Conv[Conv.CONV, dims]

        def pool() -> nn.Module:
            return Pool[Pool.MAX, dims](3, 2, padding=1)

        super().__init__(
            conv(channels, 64, 3, stride=2, padding=1), nn.ReLU(), pool(),
            Fire(dims, 64, 16, 64), Fire(dims, 128, 16, 64), pool(),
            Fire(dims, 128, 32, 128), Fire(dims, 256, 32, 128), pool(),
            Fire(dims, 256, 48, 192), Fire(dims, 384, 48, 192),
            Fire(dims, 384, 64, 256), Fire(dims, 512, 64, 256),
            Dropout[Dropout.DROPOUT, dims](0.5),
            conv(512, classes, 1), Pool[Pool.ADAPTIVEAVG, dims](1), nn.Flatten(),
        )  # fmt: skip
        initialise(self)


class SmallNet(nn.Sequential):
    """A classifier for a CPU and for tests.

    Four strided 3x3 convolutions with BN and ReLU (16 to 128 channels), pooled, one linear layer.
    Axes of one voxel are not strided.
    """

    def __init__(self, dims: int, channels: int, classes: int, size: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        here, entering = list(size), channels
        for width in (16, 32, 64, 128):
            steps = tuple(2 if n > 3 else 1 for n in here)
            layers += [
                Conv[Conv.CONV, dims](entering, width, 3, stride=steps, padding=1, bias=False),
                Norm[Norm.BATCH, dims](width),
                nn.ReLU(),
            ]
            here = [-(-n // s) for n, s in zip(here, steps, strict=True)]
            entering = width
        pooled = Pool[Pool.ADAPTIVEAVG, dims](1)
        super().__init__(*layers, pooled, nn.Flatten(), nn.Linear(entering, classes))
