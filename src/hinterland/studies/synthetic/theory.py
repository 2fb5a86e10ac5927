"""Proposition 1 along a sweep: both divergences of the synthetic generator, exactly."""

from __future__ import annotations

import pandas as pd

from hinterland.studies.synthetic.exact import pixel_joint
from hinterland.studies.synthetic.images import SyntheticParameters
from hinterland.studies.synthetic.sweeps import Sweep
from hinterland.theory.masks import MaskTerms, mask_terms, with_noise

NOISE = 0.01
"""Share of pixels with a random colour. Without any, the target's pixels have one colour and no
other pixel's distribution is absolutely continuous to theirs: the left side is infinite."""


def generator_terms(parameters: SyntheticParameters, noise: float = NOISE) -> MaskTerms:
    """Compute the terms of Proposition 1 for the colour of a random pixel, in nats."""
    return mask_terms(with_noise(pixel_joint(parameters).mean(axis=(0, 1)), noise))


def theory_table(sweep: Sweep, size: str, noise: float = NOISE) -> pd.DataFrame:
    """Tabulate the terms of each training population of a sweep, one row for each value.

    Empty for sweeps whose population is no scene of objects (the grid).

    Args:
        sweep: what is varied.
        size: of the study.
        noise: of the images.

    Returns:
        The table.
    """
    rows = []
    for value in sweep.along[size]:
        train, _, _ = sweep.make(size, value)
        if isinstance(train, SyntheticParameters):
            terms = generator_terms(train, noise)
            rows.append({
                "sweep": sweep.name, "value": value, "noise": noise, "masks": terms.pixel,
                "labels": terms.image, "scaled_labels": terms.scaled, "share": terms.share,
                "background": terms.background, "holds": terms.holds,
            })  # fmt: skip
    return pd.DataFrame(rows)
