"""Feature discrepancy: how far foreground lies from background in a layer's feature map.

Notation: F (C channels) at the positions v of a layer; y_v in {0, 1} says that v is foreground,
b_v that it is background. A position that is neither is undecided and counts on neither side.
Every group of a coarsening is a foreground of its own, against all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from hinterland.losses.precision import float32
from hinterland.losses.reduce import all_sum

Form = Literal["prototype", "map", "sum"]
FORMS: tuple[str, ...] = get_args(Form)
EPS = 1e-6
CHANNELS = 8  # of a map in half precision, taken to float32 at a time


@dataclass(frozen=True)
class Sides:
    """What a layer says of foreground and background, per item and group.

    foreground, background  (B, G, N): N channels, or positions in the map form
    has_foreground, has_background  (B, G): is there any such position
    """

    foreground: Float[Tensor, "batch groups n"]
    background: Float[Tensor, "batch groups n"]
    has_foreground: Bool[Tensor, "batch groups"]
    has_background: Bool[Tensor, "batch groups"]

    def with_background_of(self, partner: Tensor) -> Sides:
        """Return the same foregrounds against the background of the item `partner[i]`."""
        return replace(
            self,
            background=self.background[partner],
            has_background=self.has_background[partner],
        )


def pool_membership(
    member: Bool[Tensor, "batch groups *space"],
    decided: Bool[Tensor, "batch groups *space"],
    size: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """Return foreground and background (B, G, *size), 0/1: membership max-pooled to a layer's size.

    A position is foreground if any of its voxels is, and background if all of its voxels are: the
    maximum of what is known. With an undecided voxel and no foreground it is neither.

    Args:
        member: whether a voxel is inside a group.
        decided: whether that is known.
        size: positions of the layer, one number an axis.

    Returns:
        Foreground y and background b.

    >>> member = torch.tensor([[[[True, False, False, False]]]])
    >>> decided = torch.tensor([[[[True, True, True, False]]]])
    >>> inside, outside = pool_membership(member, decided, (1, 2))
    >>> inside.int().flatten().tolist(), outside.int().flatten().tolist()
    ([1, 0], [0, 0])
    """
    inside, unknown = (member & decided).float(), (~decided).float()
    if tuple(member.shape[2:]) != tuple(size):
        pool = F.adaptive_max_pool2d if len(size) == 2 else F.adaptive_max_pool3d
        inside, unknown = pool(inside, size), pool(unknown, size)  # type: ignore[arg-type]
    return inside, (1 - inside) * (1 - unknown)


def rms_normalise(features: Float[Tensor, "batch channels *space"]) -> Tensor:
    """Return each item's features divided by their root mean square over channels and positions.

    The gradient goes through the divisor, so that no layer gains by growing its features.
    """
    axes = tuple(range(1, features.ndim))
    return features / (features.square().mean(dim=axes, keepdim=True) + EPS).sqrt()


class _Sums(torch.autograd.Function):
    """Compute the sums over masks, and the sum of squares, of a map.

    Autograd alone would pass over the map, which may be larger than all else in a step, twice as
    often.

    (B, C, V), (B, M, V) -> sum_v m_v F_v (B, M, C), sum_cv F_cv^2 (B,).
    """

    @staticmethod
    def forward(ctx: Any, flat: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(flat, masks)
        with float32(flat):
            if flat.dtype == masks.dtype:
                return masks @ flat.mT, torch.linalg.vector_norm(flat, dim=(1, 2)).square()
            # A map in half precision is added up in float32 a few channels at a time: a copy of the
            # whole would double what a step remembers of it.
            parts = flat.split(CHANNELS, dim=1)
            sums = [masks @ part.to(masks.dtype).mT for part in parts]
            squares = [part.to(masks.dtype).square().sum(dim=(1, 2)) for part in parts]
            return torch.cat(sums, dim=2), torch.stack(squares).sum(dim=0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_sums: Tensor, of_square: Tensor) -> tuple[Tensor, None]:
        flat, masks = ctx.saved_tensors
        with float32(flat):
            if flat.dtype == masks.dtype:
                gradient = of_sums.mT @ masks
                return gradient.addcmul_(flat, 2 * of_square[:, None, None]), None
            gradient = torch.empty_like(flat)
            for start in range(0, flat.shape[1], CHANNELS):
                part = slice(start, start + CHANNELS)
                value = of_sums[:, :, part].mT @ masks
                gradient[:, part] = value.addcmul_(
                    flat[:, part].to(masks.dtype), 2 * of_square[:, None, None]
                ).to(flat.dtype)
            return gradient, None


def sides(
    features: Float[Tensor, "batch channels *space"],
    foreground: Float[Tensor, "batch groups *space"],
    background: Float[Tensor, "batch groups *space"],
    form: Form = "prototype",
    normalise: bool = False,
) -> Sides:
    """Return F_g and B_g of a layer, in one of three readings of the paper's Definition 1.

    prototype   F_g = sum_v F_v y_v / sum_v y_v and B_g likewise with b: vectors of C channels
    map         F_g = y_v mean_c F_vc and B_g likewise: maps over positions, as printed
    sum         F_g = sum_v F_v y_v / ||sum_v F_v||: what the proof of Lemma 1 works with

    As y b = 0, ||F_g - B_g||^2 of the map form is sum_v (mean_c F_vc)^2 over decided positions: it
    does not depend on the mask.

    Args:
        features: F, a feature map.
        foreground: y, 1 at the positions of a group.
        background: b, 1 outside it.
        form: which reading.
        normalise: as if `features` had passed `rms_normalise`; the forms are linear in the features
            (or blind to their scale), so that the result is divided instead of a whole map.

    Returns:
        Both sides, and which of them have a position.
    """
    flat = features.flatten(2)
    y, b = foreground.flatten(2), background.flatten(2)
    sums, square = _Sums.apply(flat, torch.cat([y, b], dim=1))
    scale = (square / flat[0].numel() + EPS).rsqrt()[:, None, None] if normalise else 1.0
    count_y, count_b = y.sum(-1), b.sum(-1)
    has = (count_y > 0, count_b > 0)
    if form == "map":
        mean = flat.mean(dim=1, keepdim=True, dtype=y.dtype) * scale
        return Sides(mean * y, mean * b, *has)
    one, other = sums.split(y.shape[1], dim=1)
    if form == "prototype":
        one = one / count_y.clamp(min=1)[..., None] * scale
        other = other / count_b.clamp(min=1)[..., None] * scale
    else:
        total = (flat.sum(-1, dtype=y.dtype).square().sum(-1) + EPS**2).sqrt()[:, None, None]
        one, other = one / total, other / total
    return Sides(one, other, *has)


def feature_discrepancy(layer: Sides, eps: float = EPS) -> Float[Tensor, ""]:
    """Return L_fd = mean of -log(||F_g - B_g||^2 + eps) over items and groups that have both sides.

    Zero if there is none. The minus sign is what Lemmas 1 and 2 of the paper need.

    >>> features = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
    >>> foreground, background = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> layer = sides(features, foreground, background)
    >>> round(feature_discrepancy(layer).item(), 4)  # -log(2^2)
    -1.3863
    """
    distance = (layer.foreground - layer.background).square().sum(-1)
    return _mean(-(distance + eps).log(), layer.has_foreground & layer.has_background)


def exchanged_discrepancy(layer: Sides, shift: int, eps: float = EPS) -> Float[Tensor, ""]:
    """Return L_exch of Algorithm 1: item i's foreground and item (i + shift) mod n's background.

    Zero where shift is a multiple of n: an item is no partner of its own.

    Args:
        layer: F_g and B_g of the items.
        shift: how far away the partner is in the batch.
        eps: added inside the logarithm.

    Returns:
        The loss.
    """
    n = len(layer.foreground)
    partner = (torch.arange(n, device=layer.foreground.device) + shift) % n
    if shift % n == 0:
        return 0 * layer.foreground.sum()
    return feature_discrepancy(layer.with_background_of(partner), eps)


def domain_discrepancy(
    layer: Sides, base: Bool[Tensor, "batch"], novel: Bool[Tensor, "batch"], eps: float = EPS
) -> Float[Tensor, ""]:
    """Return L_exch of Definition 2, for the items of two domains.

    -log(||F_g(base) - B_g(novel)||^2 + ||F_g(novel) - B_g(base)||^2 + eps), F_g(D) the mean over
    the items of D that have that side. Mean over the groups with all four; zero without any.

    Args:
        layer: F_g and B_g of the items.
        base: the items of the base domain.
        novel: the items of the novel domain.
        eps: added inside the logarithm.

    Returns:
        The loss.
    """
    one, has_one = _across(layer, base, novel)
    other, has_other = _across(layer, novel, base)
    return _mean(-(one + other + eps).log(), has_one & has_other)


def _across(layer: Sides, front: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distance (G,) of one domain's mean foreground to the other's background.

    The background is a mean, too.
    """
    one, has_one = _domain_mean(layer.foreground, layer.has_foreground & front[:, None])
    other, has_other = _domain_mean(layer.background, layer.has_background & back[:, None])
    return (one - other).square().sum(-1), has_one & has_other


def _domain_mean(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (G, N) mean over chosen items, and (G,) whether there is any."""
    count = chosen.sum(0)
    return (values * chosen[..., None]).sum(0) / count.clamp(min=1)[:, None], count > 0


def _mean(values: Tensor, known: Tensor) -> Tensor:
    total = torch.where(known, values, 0).sum()
    return all_sum(total) / all_sum(known.sum().to(total.dtype)).clamp(min=1)
