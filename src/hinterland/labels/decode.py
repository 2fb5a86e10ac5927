"""From probabilities over cells to integers in a file."""

from __future__ import annotations

from itertools import count

import numpy as np

from hinterland.errors import LabelError
from hinterland.labels.coarsening import Coarsening
from hinterland.labels.scheme import Scheme


def decode(probabilities: np.ndarray, cells: Coarsening, at: Coarsening) -> np.ndarray:
    """Find the most probable group of `at` for each voxel.

    Group probabilities are sums of cell probabilities, so the answer may differ from merging the
    most
    probable cell: three organs of 0.2 each outvote a lesion of 0.4 when the question is "lesion or
    not".

    Args:
        probabilities: (cells, *spatial), summing to 1 over the first axis.
        cells: what the channels stand for.
        at: the coarsening that is asked for.

    Returns:
        Group indices of `at` (*spatial), uint8 (uint16 above 256 groups).

    Raises:
        LabelError: `at` splits a cell, or the channels are not the cells.
    """
    if probabilities.ndim < 1 or probabilities.shape[0] != len(cells):
        raise LabelError(
            f"probabilities of shape {probabilities.shape} came for {len(cells)} cells ({cells}); "
            "expected one channel a cell, first axis."
        )
    matrix = at.over(cells).astype(probabilities.dtype)
    flat = probabilities.reshape(probabilities.shape[0], -1)
    merged = matrix @ flat if not _is_identity(matrix) else flat
    dtype = np.min_scalar_type(len(at) - 1)
    return np.asarray(merged.argmax(axis=0).astype(dtype).reshape(probabilities.shape[1:]))


def _is_identity(matrix: np.ndarray) -> bool:
    return matrix.shape[0] == matrix.shape[1] and bool((np.diag(matrix) == 1).all())


def group_values(at: Coarsening, scheme: Scheme | None) -> dict[str, int]:
    """Tell which integer stands for each group in a written segmentation.

    The data set's own integers where a value of `scheme` means exactly that group, so that
    predictions and references can be laid side by side. The background is 0 unless the scheme has
    another integer for it; the remaining groups take the lowest free integers.
    """
    known = {leaves: value for value, leaves in reversed(scheme.values)} if scheme else {}
    values = {n: known[g] for n, g in zip(at.names, at.groups, strict=True) if g in known}
    background = at.names[at.background]
    if background not in values and 0 not in values.values():
        values[background] = 0
    for name in at.names:
        if name not in values:
            values[name] = next(v for v in count() if v not in values.values())
    return {name: values[name] for name in at.names}
