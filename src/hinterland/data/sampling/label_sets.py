"""From the integers of a label file to rows of the data set's table of leaf sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hinterland.labels import Coarsening, LabelSetTable, Scheme
from hinterland.types import HinterlandError

_UNNAMED = -1


class LabelSetLookup:
    """Label values of one scheme -> rows of `table`; -1 (unlabelled, padding) -> row 0 (any leaf).

    A scheme whose only value is 0 needs no label file: `blank` is then that value's row, else 0.
    """

    def __init__(self, table: LabelSetTable, scheme: Scheme) -> None:
        self.scheme = scheme
        rows = table.label_set_ids(scheme)
        # one entry for each 16-bit value, negative ones at the end: a single look-up a voxel
        self._rows = np.full(2**16, _UNNAMED, dtype=np.int16)
        self._rows[-1] = 0
        for value, row in rows.items():
            self._rows[value] = row
        self.blank = rows[0] if set(rows) == {0} else 0

    def __call__(self, label: NDArray[np.int16], case: str) -> NDArray[np.int16]:
        """Return rows of a label array, same shape, int16.

        Raises HinterlandError, naming the case, for a value that the scheme does not name.
        """
        rows = self._rows[label.astype(np.int16, copy=False).view(np.uint16)]
        if rows.size and rows.min() == _UNNAMED:
            values = sorted(set(np.unique(label[rows == _UNNAMED]).tolist()))
            raise HinterlandError(
                f"case {case!r}: its label file holds {values}, which the scheme "
                f"{self.scheme.name!r} does not name (it names "
                f"{sorted(self.scheme.label_values)}). Run `hinterland check`, then correct the "
                "file or labels.yaml."
            )
        return rows


def foreground_values(scheme: Scheme, *questions: Coarsening) -> frozenset[int]:
    """Return the label values that are worth centring a patch on.

    Those are the values that may be foreground of one of the questions and do not hold the tree's
    remainder. For the binary baseline that is the target, for BackSplit every structure; of coarse
    labels, each node with foreground below it.
    """
    wanted = {leaf for q in questions for i in q.foreground for leaf in q.groups[i]}
    rest = scheme.tree.leaf_names.index(scheme.tree.remainder)
    return frozenset(v for v, leaves in scheme.values if leaves & wanted and rest not in leaves)
