"""Pseudo-labels: what a teacher predicts, written as rows of the data set's table."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.types import HinterlandError

COMPONENTS = ("largest", "all")


class PseudoLabels(nn.Module):
    """Probabilities over `cells` to rows of `table`: the data set's rows, then one row a cell.

    The row of the most probable cell; row 0 ("any leaf", no loss) where its probability is below
    `threshold`. With component "largest", each foreground cell keeps its largest connected
    component in each item (a patch; a slice in 2D), and the rest of it becomes background: right
    for organs that are one piece, wrong for lesions and pairs of organs, which want "all".

    No parameters. Build losses with `table`.
    """

    def __init__(
        self,
        cells: Coarsening,
        table: LabelSetTable,
        component: str = "largest",
        threshold: float = 0.0,
    ) -> None:
        super().__init__()
        if component not in COMPONENTS:
            raise HinterlandError(f"component={component!r}: expected 'largest' or 'all'.")
        self.label_sets, self.first = table.with_groups(cells, "pseudo-label")
        self.background = cells.background
        self.component, self.threshold = component, threshold

    @torch.no_grad()
    def forward(
        self, probabilities: Float[Tensor, "batch cells *space"]
    ) -> Int[Tensor, "batch *space"]:
        confidence, cells = probabilities.max(dim=1)
        if self.component == "largest":
            cells = keep_largest(cells, self.background)
        rows = self.first + cells
        return rows if self.threshold <= 0 else torch.where(confidence >= self.threshold, rows, 0)

    def hidden(self, rows: Int[Tensor, "batch *space"]) -> Int[Tensor, "batch *space"]:
        """The rows that annotations gave, and 0 on pseudo-labels: what regularisers may read."""
        return torch.where(rows < self.first, rows, 0)


def keep_largest(
    classes: Int[Tensor, "batch *space"], background: int = 0
) -> Int[Tensor, "batch *space"]:
    """Each class of each item cut down to its largest connected component; the rest is background.

    Voxels touch along faces, edges and corners. Of equally large components the first one stays.
    """
    items = classes.cpu().numpy()
    structure = np.ones((3,) * (items.ndim - 1), dtype=bool)
    result = np.full_like(items, background)
    for item, kept in zip(items, result, strict=True):
        for value in np.unique(item):
            if value != background:
                labels, count = ndimage.label(item == value, structure)
                largest = 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count > 1 else 1
                kept[labels == largest] = value
    return torch.from_numpy(result).to(classes.device)
