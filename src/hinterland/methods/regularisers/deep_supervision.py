"""L_deeps: deep supervision of hidden layers (Dou et al. 2016) as a regulariser."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.base import BuildContext, Losses, Method, Regulariser
from hinterland.methods.ramps import WarmStart
from hinterland.methods.regularisers.features import (
    choose_layers,
    feature_map,
    feature_widths,
    named,
    phase_shares,
)
from hinterland.networks.initialise import initialise, seeded
from hinterland.types import HinterlandError, Progress, View

ANY = 0  # the first label set of every table: any leaf


class DeepSupervision(Regulariser):
    """eta(t) sum_l CE_l: each layer predicts the classes through a 1x1 convolution of its own.

    Its logits are interpolated to the size of the annotation. eta(t) = weight 2^(-halvings t), t
    the share of all steps that is done: Dou et al. halve it as training proceeds.
    """

    name = "deep-supervision"

    def __init__(
        self,
        at: Coarsening,
        table: LabelSetTable,
        widths: dict[str, int],
        dims: int,
        rise: WarmStart,
        *,
        halvings: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.rise, self.halvings = rise, halvings
        self.layers = tuple(widths)
        self.loss = SegmentationLoss((at,), at, table, loss="ce")
        self.mode = "bilinear" if dims == 2 else "trilinear"
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        with seeded(seed):
            self.heads = nn.ModuleList(conv(width, len(at), 1) for width in widths.values())
            initialise(self.heads)

    def strength(self, progress: Progress) -> float:
        """Return the weight eta(t) at this step."""
        return self.rise.strength(progress) * 2 ** (-self.halvings * self.rise.done(progress))

    def forward(self, views: Sequence[View], progress: Progress) -> Losses:
        terms: dict[str, Tensor] = {}
        told = [view for view in views if view.annotation is not None]
        for name, head in zip(self.layers, self.heads, strict=True):
            values = [self._one(view, name, head) for view in told]
            zero = next(self.parameters()).new_zeros(())
            terms[f"ce.{name}"] = torch.stack(values).mean() if values else zero
        return Losses(terms, dict.fromkeys(terms, self.strength(progress)))

    def _one(self, view: View, name: str, head: nn.Module) -> Tensor:
        annotation = view.annotation
        assert annotation is not None
        if view.valid is not None:
            annotation = annotation.where(view.valid, ANY)
        logits = head(feature_map(view, name, self.name)).float()
        size = tuple(annotation.shape[1:])
        if tuple(logits.shape[2:]) != size:
            logits = F.interpolate(logits, size=size, mode=self.mode, align_corners=False)
        return self.loss([logits], annotation)


def make_deep_supervision(
    context: BuildContext,
    method: Method,
    *,
    on: str | None = None,
    layers: str | Sequence[str] | None = None,
    weight: float = 0.3,
    halvings: float = 4.0,
    warm_start: float = 0.0,
    ramp: float = 0.0,
) -> DeepSupervision:
    """Make the regulariser that supervises feature maps of a run.

    Args:
        context: what the run is built for.
        method: the method beside which the loss acts.
        on: the question that the layers answer; default, all that the network tells apart.
        layers: feature maps; default the decoder's maps below the highest, which has the network's
            own head.
        weight: of the loss, once it has risen.
        halvings: how often the weight is halved in the course of training.
        warm_start: share of all steps without the loss.
        ramp: share of all steps over which the weight rises.

    Returns:
        The regulariser, with a head a layer as parameters of its own.

    Raises:
        HinterlandError: a value that is not allowed, or a network without named feature maps.
    """
    widths = feature_widths(context, "deep-supervision")
    lower = [n for n in widths if n.startswith("decoder") and n != "decoder.0"]
    chosen = choose_layers("deep-supervision", layers or lower or "bottleneck", tuple(widths))
    if halvings < 0:
        raise HinterlandError(f"deep-supervision: halvings={halvings}: expected 0 or more.")
    with named("deep-supervision"):
        rise = WarmStart(phase_shares(method), weight, warm_start, ramp)
    at = method.cells if on is None else context.spec.question(on)
    return DeepSupervision(
        at, context.label_sets, {name: widths[name] for name in chosen}, context.plan.dims, rise,
        halvings=halvings, seed=context.seed,
    )  # fmt: skip
