"""Do voxels' probabilities mean what they say? Brier score, calibration error and reliability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.data.integrity.geometry import compare
from hinterland.data.io.formats import is_flat
from hinterland.data.io.volume import read_header, read_volume
from hinterland.evaluation.folders import GroupMasks, Row, iterate_masks
from hinterland.evaluation.masks import encode
from hinterland.evaluation.pairing import label_files
from hinterland.labels import Coarsening, LabelSpec
from hinterland.types import Case, HinterlandError
from hinterland.types.box import bounding_box

BINS = 15
MARGIN = 5  # voxels
_BIN_COLUMNS = ("voxels", "probability", "share")


@dataclass(frozen=True)
class VoxelCalibration:
    """How well the probabilities of some voxels are calibrated.

    Attributes:
        brier: mean squared difference of probability and reference (0 or 1).
        ece: expected calibration error, sum_b n_b / n |mean probability - share inside|.
        counts: (bins,) voxels, sum of probabilities and voxels inside of each bin: (bins, 3).
    """

    brier: float
    ece: float
    counts: np.ndarray


def voxel_calibration(
    probabilities: np.ndarray, reference: np.ndarray, bins: int = BINS
) -> VoxelCalibration:
    """Hold probabilities against a mask, in bins of equal width.

    Args:
        probabilities: of being inside, any shape, 0..1.
        reference: bool of the same shape.
        bins: how many.

    Returns:
        Scores and bins; NaN without a voxel.

    Example:
        >>> inside = np.array([True, False, True, False])
        >>> found = voxel_calibration(np.full(4, 0.5), inside)
        >>> round(found.brier, 4), found.ece < 1e-9
        (0.25, True)
    """
    p, inside = np.asarray(probabilities, dtype=np.float64).ravel(), reference.ravel()
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    sums = (np.bincount(bin_of, w, minlength=bins) for w in (np.ones(len(p)), p, inside))
    counts = np.stack(list(sums), axis=1)
    if not len(p):
        return VoxelCalibration(float("nan"), float("nan"), counts)
    brier = float(np.square(p - inside).mean())
    return VoxelCalibration(brier, calibration_error(counts), counts)


def calibration_error(counts: np.ndarray) -> float:
    """Return the expected calibration error of bins.

    Args:
        counts: (bins, 3): voxels, sum of probabilities, voxels inside.

    Returns:
        The error, 0..1.
    """
    return float(np.abs(counts[:, 1] - counts[:, 2]).sum() / counts[:, 0].sum())


def calibrate_folder(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    spec: LabelSpec | Path | str | None = None,
    at: str = "target",
    cases: Iterable[str] | None = None,
    bins: int = BINS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the calibration of stored probabilities, voxel by voxel.

    Nearly all voxels are far from any structure and surely outside, so that the scores of whole
    images are always good. `brier_near` and `ece_near` are those of the box that holds reference
    and prediction, five voxels wider. Voxels that the reference leaves undecided do not count.

    Args:
        predictions: folder of `hinterland predict --probabilities`: label files, and beside them
            `probabilities/`, one channel for each group of the question.
        references: folder of label files, or the cases of a data set.
        spec: what the references' integers mean; default, the nearest on disk.
        at: the question that was predicted.
        cases: only these; default, all references.
        bins: of the reliability, equally wide.

    Returns:
        A table with a row for each case and class (brier, ece, brier_near, ece_near, voxels), and
        one with a row for each class and bin, over all cases near structures (voxels, mean
        probability, share inside).

    Raises:
        HinterlandError: no probabilities, of another question or on another grid; and as
            `evaluate_folders`.
    """
    files = label_files(Path(predictions) / "probabilities", "probabilities")
    pooled: dict[str, np.ndarray] = {}

    def rows(masks: GroupMasks, known: LabelSpec) -> list[Row]:
        question = known.question(at)
        probability = _probability(files, masks, question)
        group = question.names.index(masks.name)
        what = f"{masks.case}: the reference"
        undecided = encode(masks.labels, masks.scheme.label_values, question, what).undecided(group)
        counted = np.ones(masks.reference.shape, bool) if undecided is None else ~undecided
        near = counted & _near(masks.reference | masks.prediction)
        scores: Row = {}
        for name, where in (("", counted), ("_near", near)):
            found = voxel_calibration(probability[where], masks.reference[where], bins)
            scores |= {f"brier{name}": found.brier, f"ece{name}": found.ece}
        pooled[masks.name] = pooled.get(masks.name, 0) + found.counts
        return [scores | {"voxels": int(counted.sum()), "voxels_near": int(near.sum())}]

    # one case after the other: a volume of probabilities is large, and the bins are summed
    found = iterate_masks(rows, predictions, references, spec=spec, at=at, cases=cases, threads=1)
    return pd.DataFrame(found), _reliability(pooled, bins)


def _probability(files: dict[str, Path], masks: GroupMasks, question: Coarsening) -> np.ndarray:
    """Read the probabilities of one class on the reference's grid.

    Raises:
        HinterlandError: they are missing, of another question, or on another grid.
    """
    if masks.case not in files:
        raise HinterlandError(
            f"{masks.case} has no probabilities; predict it with `hinterland predict "
            "--probabilities`."
        )
    path = files[masks.case]
    problem = None if is_flat(path) else compare(
        read_header(masks.file), read_header(path), masks.case, "the probabilities", "the reference"
    )  # fmt: skip
    if problem is not None and problem.code != "geometry-noise":
        raise HinterlandError(f"{masks.case}: {problem.message}")
    array = read_volume(path).array
    if array.shape != (len(question), *masks.reference.shape):
        raise HinterlandError(
            f"{path} has the shape {array.shape}; expected {len(question)} groups "
            f"({', '.join(question.names)}) of {masks.reference.shape} voxels. Say with --at which "
            "question was predicted."
        )
    return array[question.names.index(masks.name)]


def _near(mask: np.ndarray) -> np.ndarray:
    """Mark the box that holds a mask, `MARGIN` voxels wider; nothing where the mask is empty."""
    marked = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    if box is not None:
        marked[tuple(slice(max(s.start - MARGIN, 0), s.stop + MARGIN) for s in box)] = True
    return marked


def _reliability(pooled: dict[str, np.ndarray], bins: int) -> pd.DataFrame:
    """Tabulate the bins of each class; those without a voxel are left out."""
    rows = []
    for name, counts in pooled.items():
        for number, (voxels, summed, inside) in enumerate(counts.tolist()):
            if voxels:
                values = (int(voxels), summed / voxels, inside / voxels)
                low = {"class": name, "from": number / bins, "to": (number + 1) / bins}
                rows.append(low | dict(zip(_BIN_COLUMNS, values, strict=True)))
    return pd.DataFrame(rows)
