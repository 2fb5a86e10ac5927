"""Contrastive losses of places in a feature map.

sim(a, b) is the cosine of two vectors, tau a temperature.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hinterland.losses.precision import at_least_float32, float32
from hinterland.losses.reduce import all_sum


def region_vectors(
    features: Float[Tensor, "batch channels *space"], size: int, chosen: Int[Tensor, "regions"]
) -> Float[Tensor, "batch regions n"]:
    """Return regions of size x size (x size) positions as vectors, n = channels size^axes.

    Regions do not overlap and are counted row by row; `chosen` says which are taken.

    Args:
        features: a feature map.
        size: side of a region, in positions.
        chosen: indices of the regions that are taken.

    Returns:
        The regions' vectors, in the order of `chosen`.

    >>> features = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> region_vectors(features, 2, torch.tensor([0, 3])).int().tolist()
    [[[0, 1, 4, 5], [10, 11, 14, 15]]]
    """
    axes = features.ndim - 2
    blocks = features
    for axis in range(axes):
        blocks = blocks.unfold(2 + axis, size, size)
    places = blocks.flatten(2, 1 + axes)  # (batch, channels, places, size, ...)
    return places[:, :, chosen].movedim(2, 1).flatten(2)


def region_count(space: tuple[int, ...], size: int) -> int:
    """Return how many regions `region_vectors` has to choose from."""
    count = 1
    for n in space:
        count *= n // size
    return count


def local_contrast(
    one: Float[Tensor, "batch regions n"],
    two: Float[Tensor, "batch regions n"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return the loss by which a region of an image is like itself in another version of the image.

    Chaitanya et al. 2020:
    -log [exp(sim(a_r, b_r) / tau) / sum_s exp(sim(a_r, b_s) / tau)], s over the regions of the same
    image; mean over regions and images, and over both directions.

    Args:
        one: a_r, the regions of one version of the images.
        two: b_r, the same regions of the other version.
        temperature: tau.

    Returns:
        The loss.

    >>> one = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> round(local_contrast(one, one, temperature=1.0).item(), 4)
    0.3133
    >>> round(local_contrast(one, one.flip(1), temperature=1.0).item(), 4)
    1.3133
    """
    a, b = F.normalize(one, dim=-1), F.normalize(two, dim=-1)
    with float32(a):
        logits = at_least_float32(a) @ at_least_float32(b).mT / temperature
    itself = torch.arange(a.shape[1], device=a.device).expand(a.shape[:2])
    there = F.cross_entropy(logits.flatten(0, 1), itself.flatten())
    back = F.cross_entropy(logits.mT.flatten(0, 1), itself.flatten())
    return (there + back) / 2


def class_contrast(
    vectors: Float[Tensor, "places n"], classes: Int[Tensor, "places"], temperature: float = 0.1
) -> Float[Tensor, ""]:
    """Return the loss by which places of one class are alike, whatever image they lie in.

    Chaitanya et al. 2023: for each place a with others of its class P(a), the mean over p in P(a)
    of
    -log [exp(sim(a, p) / tau) / sum_{s != a} exp(sim(a, s) / tau)]. Zero if no place has a partner.
    Places of a negative class are not there.

    Args:
        vectors: z, one a place.
        classes: the class of each place.
        temperature: tau.

    Returns:
        The loss.

    >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(class_contrast(vectors, torch.tensor([0, 0, 1]), temperature=1.0).item(), 4)
    0.3133
    >>> round(class_contrast(vectors, torch.tensor([0, 1, 0]), temperature=1.0).item(), 4)
    1.0032
    """
    z = F.normalize(vectors, dim=-1)
    self, there = torch.eye(len(z), dtype=torch.bool, device=z.device), classes >= 0
    left_out = self | ~there
    with float32(z):
        logits = at_least_float32(z) @ at_least_float32(z).T / temperature
    lowest = torch.finfo(logits.dtype).min  # finite: a row may have nothing to be compared with
    logits = logits.masked_fill(left_out, lowest)
    log_p = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(left_out, 0.0)
    partner = (classes[:, None] == classes[None]) & ~left_out & there[:, None]
    count = partner.sum(dim=1)
    each = -(log_p * partner).sum(dim=1) / count.clamp(min=1)
    has = count > 0
    total = torch.where(has, each, 0).sum()
    return all_sum(total) / all_sum(has.sum().to(total.dtype)).clamp(min=1)
