"""L_con: local contrast in a decoder layer (Chaitanya et al. 2020, 2023) as a regulariser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.contrastive import (
    class_contrast,
    local_contrast,
    region_count,
    region_vectors,
)
from hinterland.losses.discrepancy import pool_membership
from hinterland.losses.membership import Membership
from hinterland.methods.base import BuildContext, Losses, Method, Regulariser
from hinterland.methods.parts.choice import some
from hinterland.methods.ramps import WarmStart
from hinterland.methods.regularisers.features import (
    check_option,
    feature_map,
    feature_widths,
    named,
    phase_shares,
)
from hinterland.networks.initialise import initialise, seeded
from hinterland.types import HinterlandError, Progress, View

Positives = Literal["place", "class"]


class LocalContrast(Regulariser):
    """weight ramp(t) L_con of one layer, through a projection of two 1x1 convolutions of its own.

    place   the same region in another version of the image (contrast and brightness changed, a
            second forward pass): needs no labels
    class   places of the same group, in any image of the batch

    samples: regions of each image, or places of each class in a batch, drawn at random each step.
    """

    name = "contrastive"

    def __init__(
        self,
        at: Coarsening,
        table: LabelSetTable,
        layer: str,
        width: int,
        dims: int,
        rise: WarmStart,
        *,
        positives: Positives = "place",
        temperature: float = 0.1,
        region: int = 3,
        samples: int = 64,
        channels: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.layer, self.rise, self.positives = layer, rise, positives
        self.temperature, self.region, self.samples = temperature, region, samples
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        with seeded(seed):
            self.project = nn.Sequential(conv(width, width, 1), nn.ReLU(), conv(width, channels, 1))
            initialise(self.project, slope=0.0)
        self.membership = Membership(at, table, at.foreground)

    def strength(self, progress: Progress) -> float:
        return self.rise.strength(progress)

    def forward(self, views: Sequence[View], progress: Progress) -> Losses:
        strength = self.strength(progress)
        if strength == 0:
            return Losses({"loss": next(self.parameters()).new_zeros(())}, {"loss": 0.0})
        of = self._places if self.positives == "place" else self._classes
        values = [of(view) for view in views if self.positives == "place" or _told(view)]
        zero = next(self.parameters()).new_zeros(())
        loss = torch.stack(values).mean() if values else zero
        return Losses({"loss": loss}, {"loss": strength})

    def _places(self, view: View) -> Tensor:
        assert view.forward_features is not None
        maps = [feature_map(view, self.layer, self.name)]
        maps.append(view.forward_features(other_version(view.image))[self.layer])
        count = region_count(tuple(maps[0].shape[2:]), self.region)
        if count < 2:
            raise HinterlandError(
                f"contrastive: layer {self.layer} is {tuple(maps[0].shape[2:])}, too small for two "
                f"regions of {self.region}. Choose a higher layer, or a smaller region."
            )
        chosen = torch.randperm(count, device=maps[0].device)[: self.samples]
        one, two = (region_vectors(self.project(m).float(), self.region, chosen) for m in maps)
        return local_contrast(one, two, self.temperature)

    def _classes(self, view: View) -> Tensor:
        assert view.annotation is not None
        member, decided = self.membership(view.annotation)
        if view.valid is not None:
            decided = decided & view.valid[:, None]
        features = feature_map(view, self.layer, self.name)
        front, back = pool_membership(member, decided, tuple(features.shape[2:]))
        classes = torch.full_like(front[:, 0], -1, dtype=torch.long)
        classes = torch.where(back.amin(dim=1) > 0, 0, classes)
        classes = torch.where(front.amax(dim=1) > 0, 1 + front.argmax(dim=1), classes).flatten()
        vectors = self.project(features).float().movedim(1, -1).flatten(0, -2)
        chosen = [some(classes == c, self.samples) for c in range(front.shape[1] + 1)]
        index, known = (torch.cat(parts) for parts in zip(*chosen, strict=True))
        said = torch.where(known, classes[index], -1)
        return class_contrast(vectors[index], said, self.temperature)


def other_version(image: Tensor) -> Tensor:
    """Change the contrast (0.8 to 1.2 times) and brightness (up to 0.1 of the spread) of items."""
    shape = (len(image),) + (1,) * (image.ndim - 1)
    scale, shift = (torch.rand(shape, device=image.device) for _ in range(2))
    mean = image.mean(dim=tuple(range(1, image.ndim)), keepdim=True)
    spread = image.std(dim=tuple(range(1, image.ndim)), keepdim=True)
    return mean + (image - mean) * (0.8 + 0.4 * scale) + spread * (0.2 * shift - 0.1)


def _told(view: View) -> bool:
    return view.annotation is not None


def make_contrastive(
    context: BuildContext,
    method: Method,
    *,
    on: str = "target",
    layer: str | None = None,
    positives: str = "place",
    weight: float = 0.1,
    warm_start: float = 0.0,
    ramp: float = 0.0,
    temperature: float = 0.1,
    region: int = 3,
    samples: int = 64,
    channels: int = 16,
) -> LocalContrast:
    """Make the local contrastive regulariser of a run.

    Args:
        context: what the run is built for.
        method: the method beside which the loss acts.
        on: the question whose groups are classes, for `positives=class`.
        layer: a feature map; default the decoder's map at a quarter of the resolution, or its
            lowest.
        positives: "place" (the same place in another view of the image) or "class".
        weight: of the loss, once it has risen.
        warm_start: share of all steps without the loss.
        ramp: share of all steps over which the weight rises.
        temperature: of the softmax over similarities.
        region: side of a region, in positions of the map.
        samples: regions of each image, or places of each class in a batch, drawn at each step.
        channels: of the projection.

    Returns:
        The regulariser, with the projection as parameters of its own.

    Raises:
        HinterlandError: a value that is not allowed, or a network without named feature maps.
    """
    check_option("contrastive", "positives", positives, get_args(Positives))
    if positives == "place" and not method.looks_again:
        raise HinterlandError(
            f"contrastive: {method.name} offers no second look at an image, which positives=place "
            "needs. Set regularisers.contrastive.positives=class, or take another method."
        )
    widths = feature_widths(context, "contrastive")
    decoders = [name for name in widths if name.startswith("decoder")]
    chosen = layer or decoders[min(2, len(decoders) - 1)]
    check_option("contrastive", "layer", chosen, tuple(widths))
    if temperature <= 0 or min(region, samples, channels) < 1:
        raise HinterlandError(
            f"contrastive: temperature={temperature}, region={region}, samples={samples}, "
            f"channels={channels}: expected a positive temperature and numbers from 1."
        )
    with named("contrastive"):
        rise = WarmStart(phase_shares(method), weight, warm_start, ramp)
    return LocalContrast(
        context.spec.question(on), context.label_sets, chosen, widths[chosen],
        context.plan.dims, rise,
        positives=cast(Positives, positives), temperature=temperature, region=region,
        samples=samples, channels=channels, seed=context.seed,
    )  # fmt: skip
