"""Are masks likely to pay? The two divergences of Proposition 1, estimated from a few masks.

Image labels and masks train networks to tell two distributions apart. For the surroundings X of a
pixel, S whether it is target and y whether its image holds the target,

    masks          KL(P(X|S=0) || P(X|S=1))        image labels   KL(P(X|y=0) || P(X|y=1))

and the more the first exceeds the second, the more of what a mask says is lost in a label. But
image labels also separate what the background alone tells, KL(P(X|y=0) || P(X|S=0,y=1)), which may
be a shortcut. So masks are held against what labels would separate without it: the second
divergence with P(X|y=0) in the place of P(X|S=0,y=1), which is Proposition 1 in its own model.
Each is a lower bound that was evaluated on patients its classifier had not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hinterland.evaluation.statistics.bootstrap import percentile_interval
from hinterland.labels import Coarsening
from hinterland.studies.mask_samples import INSIDE, NEGATIVE, OUTSIDE, PixelSamples, sample_pixels
from hinterland.theory.density_ratio import cross_fitted_ratio
from hinterland.types import Dataset

LIKELY, UNLIKELY = 30.0, 5.0
"""Ratio of the divergences from which masks are likely to pay, and below which they are not."""
SEEN = 0.1
"""Nats below which a target does not differ from its surroundings."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over patients."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class MaskAdvice:
    """What was estimated and what follows.

    Attributes:
        masks: the divergences in nats.
        labels: the divergences in nats.
        shortcut: the divergences in nats.
        diluted: of labels, without the shortcut.
        ratio: masks / diluted.
        share: the target's share of a positive image.
        verdict: "likely", "unlikely" or "unclear".
        confidence: the share of bootstrap resamples with that verdict.
    """

    masks: Estimate
    labels: Estimate
    shortcut: Estimate
    diluted: Estimate
    ratio: Estimate
    share: float
    positives: int
    negatives: int
    patients: int
    verdict: str
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return the content in JSON's types, with the sentences."""
        return {**asdict(self), "findings": self.findings()}

    def findings(self) -> list[str]:
        """Say in plain sentences what was found, each with its uncertainty."""
        said = {
            "likely": "Masks are likely to pay",
            "unlikely": "Masks are not likely to pay much",
            "unclear": "Whether masks pay is unclear",
        }[self.verdict]
        lines = [
            f"{said} ({self.confidence:.0%} of the bootstrap resamples agree).",
            f"A pixel's surroundings tell target from the rest by {self.masks} nats; diluted in "
            f"positive images the target tells them from negative ones by {self.diluted} nats. "
            f"Ratio {self.ratio}.",
            f"The target fills {self.share:.2%} of a positive image ({self.positives} positive, "
            f"{self.negatives} negative images or slices with masks, {self.patients} patients).",
        ]
        if self.masks.high < SEEN:
            lines.append(
                "The target hardly differs from its surroundings within about 25 pixels: a mask "
                "adds little unless a network sees more than these statistics do."
            )
        if self.shortcut.low > self.labels.value / 2 and self.shortcut.low > 0.01:
            lines.append(
                f"The background alone tells positive from negative images by {self.shortcut} "
                f"nats; background and target together, by {self.labels}. A classifier can learn "
                "that instead of the target (a mark, a site, a position): masks are the safer "
                "choice, and robust AUROC should be looked at."
            )
        lines.append(
            "All are lower bounds from simple features; they say how much harder the image "
            "labels' task is, not how many images make up for it: with very many, both do."
        )
        return lines


def advise_masks(
    dataset: Dataset,
    at: Coarsening | None = None,
    *,
    most: int = 200,
    resamples: int = 1000,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> MaskAdvice:
    """Estimate from the masks that are there whether more of them are likely to pay.

    Args:
        dataset: the data set with a few masks.
        at: the question whose foreground is the target; default, the data set's.
        most: cases read.
        resamples: of the bootstrap over patients.
        seed: of all draws.
        report: called with (done, of how many).

    Returns:
        Estimates, their intervals, and what follows.

    Raises:
        HinterlandError: there is no mask, one image label only, or a single patient.
    """
    samples = sample_pixels(
        dataset, at or dataset.labels.target, most=most, seed=seed, report=report
    )
    return advise(samples, resamples=resamples, seed=seed)


def advise(samples: PixelSamples, *, resamples: int = 1000, seed: int = 0) -> MaskAdvice:
    """Derive the advice that follows from samples.

    Args:
        samples: of pixels.
        resamples: of the bootstrap over patients.
        seed: of the bootstrap.

    Returns:
        Estimates, their intervals, and what follows.
    """
    inside, negative = samples.of(INSIDE), samples.of(NEGATIVE)
    share = samples.share
    pairs = (
        (samples.of(NEGATIVE, OUTSIDE), inside),
        (negative, samples.of(OUTSIDE, INSIDE)),
        (negative, samples.of(OUTSIDE)),
        (negative, share * inside / inside.sum() + (1 - share) * negative / negative.sum()),
    )
    sums = [cross_fitted_ratio(samples.features, p, q, samples.group, seed=seed) for p, q in pairs]
    patients = len(sums[0].groups)
    drawn = np.random.default_rng(seed).integers(0, patients, size=(resamples, patients))
    weights = np.stack([np.bincount(row, minlength=patients) for row in drawn]).astype(float)
    points = [float(s.bound()[0]) for s in sums]
    spread = np.stack([s.bound(weights) for s in sums], axis=1)
    spread = spread[np.isfinite(spread).all(axis=1)]
    values = np.array([*points, _ratio(points[0], points[3])])
    spread = np.column_stack([spread, _ratio(spread[:, 0], spread[:, 3])])
    low, high = percentile_interval(spread, patients)
    masks, labels, shortcut, diluted, ratio = (
        Estimate(*(float(x) for x in row)) for row in zip(values, low, high, strict=True)
    )
    verdicts = np.array([_verdict(row[0], row[4]) for row in spread])
    verdict = _verdict(masks.value, ratio.value)
    confidence = float((verdicts == verdict).mean())
    if confidence < 0.8:
        verdict, confidence = (
            "unclear",
            1 - max(float((verdicts == word).mean()) for word in ("likely", "unlikely")),
        )
    return MaskAdvice(
        masks, labels, shortcut, diluted, ratio, share, samples.positives, samples.negatives,
        patients, verdict, confidence,
    )  # fmt: skip


def _ratio(masks: Any, diluted: Any) -> Any:
    """Divide, counting what labels tell as a thousandth of a nat at least."""
    return masks / np.maximum(diluted, 1e-3)


def _verdict(masks: float, ratio: float) -> str:
    if masks < SEEN or ratio < UNLIKELY:
        return "unlikely"
    return "likely" if ratio >= LIKELY else "unclear"
