"""URPC (Luo et al. 2021): predictions at several depths, rectified by how far each strays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.losses.consistency import rectified_consistency
from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Range, Weight
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import OnePhase
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks.base import Network, SplitNetwork
from hinterland.networks.heads import map_head
from hinterland.networks.registry import require_split
from hinterland.types import Batch, HinterlandError, Progress


class PyramidNetworks(StudentNetworks):
    """A student, L_seg, and a head for each lower map of its decoder."""

    network: SplitNetwork
    heads: nn.ModuleList


@dataclass(frozen=True)
class UncertaintyRectifiedPyramid(OnePhase[PyramidNetworks]):
    """Uncertainty-rectified pyramid consistency between the decoder's scales.

        L   = 1/S sum_s L_seg(Q_s) + lambda(t) L_u, L_u on the unlabelled images
        D_s = sum_c p_s log(p_s / m),  m = 1/S sum_s p_s
        L_u = 1/S sum_s ( sum_v exp(-D_s) mean_c (p_s - m)^2 / sum_v exp(-D_s)  +  mean_v D_s )

    Q_s are logits of the `scales` finest maps of the decoder (or as many as it has), interpolated
    to full resolution; lambda(t) = consistency exp(-5 (1 - t)^2). The pyramid takes the place of
    deep supervision. The finest prediction is deployed. A network of fewer than three levels, which
    has one map only, is refused.
    """

    name: str = "urpc"
    consistency: Weight = 0.1
    scales: Annotated[int, Range(low=2.0, whole=True)] = 4

    def build(self, context: BuildContext) -> PyramidNetworks:
        context = replace(context, deep_supervision=False)
        network = require_split(context.create_network(len(self.cells)), self.name)
        if len(network.widths) < 3:
            raise HinterlandError(
                f"{self.name}: a network of {len(network.widths)} levels has a single decoder map, "
                "and a pyramid needs two. Give a larger patch_size, or network_options with three "
                "features or more."
            )
        heads = nn.ModuleList(
            map_head(network, level, len(self.cells), seed=context.seed + 1001 + level)
            for level in range(1, min(self.scales, len(network.widths) - 1))
        )
        supervision = context.segmentation_loss(self.on, self.cells)
        return PyramidNetworks(network=network, supervision=supervision, heads=heads)

    def losses(self, networks: PyramidNetworks, batch: Batch, progress: Progress) -> Losses:
        both, learn, network = self.join(batch), networks.supervision, networks.network
        features = network.encode(both.image)
        decoded = network.decode(features)
        pyramid = [network.head(decoded)[0]]
        for head, coarse in zip(networks.heads, decoded[1:], strict=False):
            pyramid.append(_enlarge(head(coarse), both.image))
        seg = torch.stack([learn([q], both.annotation) for q in both.labelled(pyramid)]).mean()
        p = torch.stack([learn.estimate(both.unlabelled(q)) for q in pyramid])
        weights = {"pyramid": self.consistency * sigmoid_ramp(progress.fraction)}
        view = both.view(pyramid[0], network.feature_maps(features, decoded))
        return Losses({"seg": seg, "pyramid": rectified_consistency(p)}, weights, (view,))

    def deployed(self, networks: PyramidNetworks) -> Network:
        return networks.network


def _enlarge(logits: Tensor, image: Tensor) -> Tensor:
    mode = "bilinear" if image.ndim == 4 else "trilinear"
    return F.interpolate(logits.float(), size=image.shape[2:], mode=mode, align_corners=False)
