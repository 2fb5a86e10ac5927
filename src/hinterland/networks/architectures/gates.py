"""Gates on skip connections, `gate(skip, below) -> skip`: what of the encoder's map is let through.

skip is the encoder's map of a level (B, width, *space), below the decoder's map one level down, at
half the resolution.
"""

from __future__ import annotations

from torch import Tensor, cat, nn

from hinterland.networks.architectures.stages import Shape


class AttentionGate(nn.Module):
    """Additive attention of Attention U-Net (Oktay et al. 2018).

    a = sigmoid(psi relu(W_x skip + W_g below)), one number a position of the coarser grid, where
    W_x is strided; interpolated to the finer grid, and skip * a.
    """

    def __init__(self, shape: Shape, width: int, below: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.of_skip = shape.conv(width, inner, 2, 2, only=True)
        self.of_below = shape.conv(below, inner, 1, only=True)
        self.score = shape.conv(inner, 1, 1, only=True)
        self.upsample = shape.upsample(align_corners=False)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        score = self.score((self.of_skip(skip) + self.of_below(below)).relu())
        return skip * self.upsample(score.sigmoid())


class ChannelGate(nn.Module):
    """NucleiSegNet's attention gate (Lal et al. 2021): a weight for each position and channel.

    skip * sigmoid(norm relu(W (relu(theta skip) + up(relu(phi relu(V below)))))), theta and phi
    3x3 to half the channels, V and W 1x1.
    """

    def __init__(self, shape: Shape, width: int, below: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.of_skip = shape.conv(width, inner, only=True)
        self.thin = shape.conv(below, width, 1, only=True)
        self.of_below = shape.conv(width, inner, only=True)
        self.upsample = shape.upsample(align_corners=False)
        self.score = shape.conv(inner, width, 1, act="relu", order="AN")

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        gating = self.of_below(self.thin(below).relu()).relu()
        joined = self.of_skip(skip).relu() + self.upsample(gating)
        return skip * self.score(joined).sigmoid()


class MultiScaleGate(nn.Module):
    """CMUNet's multi-scale attention gate (Tang et al. 2023); it looks at the skip alone.

    skip + skip * sigmoid(norm W relu[norm 1x1, norm 3x3, norm 3x3 dilated by 2]), W 1x1.
    """

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.views = nn.ModuleList(
            shape.conv(width, width, kernel, act=None, dilation=dilation)
            for kernel, dilation in ((1, 1), (3, 1), (3, 2))
        )
        self.vote = shape.conv(3 * width, width, 1, act="sigmoid")

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        del below
        seen = cat([view(skip) for view in self.views], dim=1).relu()
        return skip + skip * self.vote(seen)
