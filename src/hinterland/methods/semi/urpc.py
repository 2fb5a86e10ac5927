"""URPC (Luo et al. 2021): predictions at several depths, rectified by how far each strays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import require_numbers
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import SemiSupervised, supervision
from hinterland.methods.semi.level_sets import map_head
from hinterland.networks.base import SplitNetwork, require_split
from hinterland.types import Batch, HinterlandError, Progress


@dataclass(frozen=True)
class UncertaintyRectifiedPyramid(SemiSupervised):
    """L = 1/S sum_s L_seg(Q_s) + lambda(t) L_u, L_u on the unlabelled images:

        D_s = sum_c p_s log(p_s / m),  m = 1/S sum_s p_s
        L_u = 1/S sum_s ( sum_v exp(-D_s) mean_c (p_s - m)^2 / sum_v exp(-D_s)  +  mean_v D_s )

    Q_s are logits of the `scales` finest maps of the decoder (or as many as it has), interpolated
    to full resolution; lambda(t) = consistency exp(-5 (1 - t)^2). The pyramid takes the place of
    deep supervision. The finest prediction is deployed. A network of fewer than three levels, which
    has one map only, is refused.
    """

    name: str = "urpc"
    consistency: float = 0.1
    scales: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "consistency")
        require_numbers(self.name, self, "scales", low=2.0, whole=True)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        networks = super().build(replace(context, deep_supervision=False))
        network = require_split(self.deployed(networks), self.name)
        if len(network.widths) < 3:
            raise HinterlandError(
                f"{self.name}: a network of {len(network.widths)} levels has a single decoder map, "
                "and a pyramid needs two. Give a larger patch_size, or network_options with three "
                "features or more."
            )
        networks["heads"] = nn.ModuleList(
            map_head(network, level, len(self.cells), seed=context.seed + 1001 + level)
            for level in range(1, min(self.scales, len(network.widths) - 1))
        )
        return networks

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        both, learn = self.join(batch), supervision(networks)
        network = cast(SplitNetwork, self.deployed(networks))
        features = network.encode(both.image)
        decoded = network.decode(features)
        pyramid = [network.head(decoded)[0]]
        for head, coarse in zip(cast(nn.ModuleList, networks["heads"]), decoded[1:], strict=False):
            pyramid.append(_enlarge(head(coarse), both.image))
        seg = torch.stack([learn.loss([q], both.rows) for q in both.labelled(pyramid)]).mean()
        p = torch.stack([learn.estimate(both.unlabelled(q)) for q in pyramid])
        weights = {"pyramid": self.consistency * sigmoid_ramp(progress.fraction)}
        view = both.view(pyramid[0], network.feature_maps(features, decoded))
        return Losses({"seg": seg, "pyramid": rectified(p)}, weights, (view,))


def rectified(p: Tensor) -> Tensor:
    """L_u of probabilities (scales, B, cells, *space)."""
    mean = p.mean(dim=0, keepdim=True)
    strays = (p * (p.clamp(min=1e-6).log() - mean.clamp(min=1e-6).log())).sum(dim=2)
    trust = (-strays).exp()
    voxels = tuple(range(1, strays.ndim))
    distance = ((p - mean).square().mean(dim=2) * trust).sum(voxels) / trust.sum(voxels)
    return (distance + strays.mean(voxels)).mean()


def _enlarge(logits: Tensor, image: Tensor) -> Tensor:
    mode = "bilinear" if image.ndim == 4 else "trilinear"
    return F.interpolate(logits.float(), size=image.shape[2:], mode=mode, align_corners=False)
