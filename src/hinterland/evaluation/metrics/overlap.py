"""Overlap and volume of two masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Voxel counts of a prediction P and a reference R: |P|, |R|, |P and R|."""

    prediction: int
    reference: int
    both: int

    @classmethod
    def of(cls, prediction: np.ndarray, reference: np.ndarray) -> Counts:
        """Count two boolean masks of one shape."""
        return cls(
            int(np.count_nonzero(prediction)),
            int(np.count_nonzero(reference)),
            int(np.count_nonzero(prediction & reference)),
        )

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|); undefined (ZeroDivisionError) where both are empty."""
        return 2 * self.both / (self.prediction + self.reference)

    @property
    def jaccard(self) -> float:
        """|P and R| / |P or R|; undefined (ZeroDivisionError) where both are empty."""
        return self.both / (self.prediction + self.reference - self.both)

    def volume_error(self, spacing: Sequence[float]) -> float:
        """Return predicted minus reference volume in mL.

        `spacing` is in mm; a 2D image is 1 mm thick unless the spacing says otherwise.
        """
        return (self.prediction - self.reference) * millilitres(spacing)

    @property
    def relative_volume_difference(self) -> float:
        """100 (|P| - |R|) / |R| in percent; NaN where the reference is empty."""
        if not self.reference:
            return float("nan")
        return 100.0 * (self.prediction - self.reference) / self.reference


def millilitres(spacing: Sequence[float]) -> float:
    """Return the volume of one voxel in mL, for a spacing in mm."""
    return float(np.prod(spacing)) / 1000.0
