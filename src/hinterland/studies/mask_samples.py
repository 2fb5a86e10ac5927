"""Pixels of a data set with what surrounds them, their labels and those of their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hinterland.data.io.volume import read_label, read_volume
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.labels import Coarsening
from hinterland.types import Case, Dataset, HinterlandError

NEGATIVE, OUTSIDE, INSIDE = range(3)
"""Kinds of pixels: of a negative image, background of a positive one, target."""
PIXELS = 64
"""Pixels drawn of the target of an image, and as many of its background."""
SLICES = 6
"""Images of each label drawn of a case (a 2D case has one)."""
_SCALES = (1.0, 3.0, 8.0)  # sigma in pixels


@dataclass(frozen=True)
class PixelSamples:
    """features (n, f): grey values around each pixel at three scales, and how they vary there.

    kind (n,): NEGATIVE, OUTSIDE or INSIDE. weight (n,): each image weighs 1, times the images that
    it stands for, divided over its pixels as target and background share its area. group (n,):
    patient. positives, negatives: images in all; a volume counts slice by slice.
    """

    features: NDArray[np.float64]
    kind: NDArray[np.int64]
    weight: NDArray[np.float64]
    group: np.ndarray
    positives: int
    negatives: int

    @property
    def share(self) -> float:
        """Compute lambda = Pr(S = 1) / Pr(y = 1), images weighing as much as they stand for."""
        return float(self.of(INSIDE).sum() / self.of(INSIDE, OUTSIDE).sum())

    def of(self, *kinds: int) -> NDArray[np.float64]:
        """Take the weights of some kinds of pixels, 0 for all others."""
        return np.where(np.isin(self.kind, kinds), self.weight, 0.0)


@dataclass(frozen=True)
class _Draw:
    features: NDArray[np.float64]
    kind: int
    weight: float
    group: str


def sample_pixels(
    dataset: Dataset,
    at: Coarsening,
    *,
    most: int = 200,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> PixelSamples:
    """Draw pixels of at most `most` cases with a mask that are not in the test split.

    The target is what lies in a foreground group of `at`.

    Args:
        dataset: the cases.
        at: the question.
        most: cases read.
        seed: of the draws.
        report: called with (done, of how many).

    Returns:
        Pixels of images with and without the target.

    Raises:
        HinterlandError: no case has a mask, or all images (slices) have one label.
    """
    cases = [c for c in dataset.cases if c.labelled and c.split != "test"]
    if not cases:
        raise HinterlandError(
            f"{dataset.root} has no case with a mask (outside of its test split). A few are needed "
            "to tell whether more would pay: draw those of some ten positive images first."
        )
    rng = np.random.default_rng(seed)
    chosen = [cases[i] for i in sorted(rng.permutation(len(cases))[:most])]
    draws: list[_Draw] = []
    positives = negatives = 0
    for done, case in enumerate(chosen, start=1):
        target = _target(case, dataset, at)
        share = target.mean(axis=(1, 2))
        image = read_volume(case.images).array.astype(np.float32)
        for slices in (np.flatnonzero(share), np.flatnonzero(share == 0)):
            for z in rng.permutation(slices)[:SLICES]:
                stands_for = len(slices) / min(len(slices), SLICES)
                draws += _draw(image[:, z], target[z], stands_for, case.group or case.name, rng)
        positives += int((share > 0).sum())
        negatives += int((share == 0).sum())
        if report:
            report(done, len(chosen))
    _refuse_one_label(dataset, positives, negatives)
    sizes = [len(d.features) for d in draws]
    return PixelSamples(
        np.concatenate([d.features for d in draws]),
        np.repeat([d.kind for d in draws], sizes),
        np.repeat([d.weight / n for d, n in zip(draws, sizes, strict=True)], sizes),
        np.repeat([d.group for d in draws], sizes),
        positives,
        negatives,
    )


def _refuse_one_label(dataset: Dataset, positives: int, negatives: int) -> None:
    if not positives or not negatives:
        word = "holds the target" if positives else "is without the target"
        raise HinterlandError(
            f"every image (slice) of {dataset.root} that has a mask {word}: image labels tell "
            "nothing apart there. Give masks of images of both kinds (an empty mask is one), or "
            "ask for another target with --at."
        )


def _target(case: Case, dataset: Dataset, at: Coarsening) -> NDArray[np.bool_]:
    """Return (z, y, x): where the annotation lies inside a foreground group."""
    assert case.label is not None
    table = dataset.labels.label_sets
    label = read_label(case.label, case.images[0]).array[0]
    rows = LabelSetLookup(table, dataset.labels.schemes[case.scheme])(label, case.name)
    inside = np.asarray(table.member(at)[:, list(at.foreground)].any(axis=1), dtype=bool)
    return inside[rows]


def _draw(
    channels: NDArray[np.float32],
    target: NDArray[np.bool_],
    stands_for: float,
    group: str,
    rng: np.random.Generator,
) -> list[_Draw]:
    """Draw pixels of one 2D image (C, H, W)."""
    maps = pixel_features(channels)
    share = float(target.mean())
    parts = [(INSIDE, target, share), (OUTSIDE if share else NEGATIVE, ~target, 1 - share)]
    draws = []
    for kind, where, weight in parts:
        places = np.flatnonzero(where)
        if len(places):
            some = rng.permutation(places)[:PIXELS]
            draws.append(_Draw(maps[some], kind, weight * stands_for, group))
    return draws


def pixel_features(channels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Describe each pixel by its surroundings, (C, H, W) -> (H * W, 6 C).

    For each channel the Gaussian mean and the standard deviation under the same Gaussian, at three
    scales.

    Grey values are counted from the image's median in interquartile ranges: mean and standard
    deviation would depend on the target, and so carry the image's label into its background.
    """
    columns = []
    for channel in channels:
        low, median, high = np.percentile(channel, (25, 50, 75))
        spread = high - low if high > low else max(float(channel.std()), 1e-6)
        grey = np.clip((channel - median) / spread, -10, 10)
        for sigma in _SCALES:
            mean = gaussian_filter(grey, sigma)
            square = gaussian_filter(grey * grey, sigma)
            columns += [mean.ravel(), np.sqrt(np.maximum(square - mean * mean, 0)).ravel()]
    return np.stack(columns, axis=1).astype(np.float64)
