"""From network outputs to the figures of a synthetic trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hinterland.classification.scores.metrics import (
    ImageScores,
    YoudenThreshold,
    auroc,
    image_level_table,
    image_metrics,
)

# One half belongs to a positive answer of a classifier; the rule's negative images end at t = 0.5.
_HALF = YoudenThreshold(float(np.nextafter(0.5, 1)), frozenset())


def rule_scores(
    p: Float[Tensor, "batch height width"],
    mask: Bool[Tensor, "batch height width"],
    t: float,
    tau: int,
) -> tuple[Float[Tensor, "batch"], Bool[Tensor, "batch"]]:
    """Apply Algorithms 1 and 2 to a whole batch, as `class_probability` of the rule has them.

    The second answer is for strict recall.

    Args:
        p: the target's probability.
        mask: where the target is.
        t: from which on a pixel counts.
        tau: pixels that make an image positive.

    Returns:
        The score of each image, and whether a called pixel lies on the target.
    """
    high, low = p > t, p <= t
    above = (p * high).sum((1, 2)) / high.sum((1, 2)).clamp(min=1)
    below = (p * low).sum((1, 2)) / low.sum((1, 2)).clamp(min=1)
    above, below = (
        torch.where(some.any(-1).any(-1), mean, t) for some, mean in ((high, above), (low, below))
    )
    called = (p >= t).sum((1, 2)) >= tau
    return torch.where(called, above, below), ((p >= t) & mask).any(-1).any(-1)


@dataclass(frozen=True)
class Scores:
    """Scores of test images, all (images,).

    scores, labels (0 or 1), whether the spurious object is there, and whether the right region was
    found (segmentation only).
    """

    part: str
    values: np.ndarray
    labels: np.ndarray
    spurious: np.ndarray
    located: np.ndarray | None = None

    def image_scores(self, chosen: np.ndarray | None = None) -> ImageScores:
        """Return the scores of all images or of the chosen ones, as `evaluation` takes them."""
        keep = np.arange(len(self.values)) if chosen is None else np.flatnonzero(chosen)
        return ImageScores(
            tuple(f"{self.part} {i}" for i in keep),
            self.values[keep],
            self.labels[keep],
            None if self.located is None else self.located[keep],
        )

    def balanced_accuracy(self) -> float:
        """Return the balanced accuracy of decisions at one half."""
        return image_metrics(self.image_scores(), _HALF)["balanced_accuracy"]

    def auroc(self) -> float:
        """Return the area under the ROC curve."""
        return auroc(self.labels, self.values)


def metrics_of(validation: Scores, test: Scores, resamples: int = 200) -> dict[str, float]:
    """Return the figures of the test images.

    Without suffix: at one half, as the paper has them. `_fitted`: at the Youden point of the
    validation images. `_low`, `_high`: 95 % bootstrap interval over images. `robust_`: on the
    images that break the correlation (the spurious object there and no target, or the reverse).

    Args:
        validation: scores of validation images.
        test: scores of test images.
        resamples: of the bootstrap.

    Returns:
        Name -> figure.
    """
    scores = test.image_scores()
    table = image_level_table(scores, _HALF, resamples=resamples)
    found = table.set_index("metric").to_dict("index")
    result = {str(name): float(row["value"]) for name, row in found.items()}
    for name in ("auroc", "balanced_accuracy"):
        result |= {f"{name}_{end}": float(found[name][end]) for end in ("low", "high")}
    fitted = image_metrics(scores, YoudenThreshold.fit(validation.image_scores()))
    result |= {f"{k}_fitted": v for k, v in fitted.items() if k != "auroc"}
    broken = test.spurious != test.labels.astype(bool)
    if broken.any():
        chosen = image_metrics(test.image_scores(broken), _HALF)
        result |= {f"robust_{k}": chosen[k] for k in ("auroc", "balanced_accuracy")}
    return {k: round(v, 5) for k, v in result.items()}
