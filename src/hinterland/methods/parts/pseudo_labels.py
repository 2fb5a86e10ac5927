"""Pseudo-labels: what a teacher predicts, written as numbers of label sets."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.morphology.components import keep_largest
from hinterland.methods.options import OneOf

Component = Annotated[str, OneOf("largest", "all")]


class PseudoLabels(nn.Module):
    """Write the most probable cell of each voxel as a label set of its own.

    The label sets of `label_sets` are those of the data set, then one a cell, from number `first`
    on; losses that learn from pseudo-labels are built with this table. Lookup only, no parameters.

    Args:
        cells: what probabilities are over.
        table: the data set's label sets.
        component: with "largest", each foreground cell keeps its largest connected component in
            each item (a patch; a slice in 2D), and the rest of it becomes background: right for
            organs that are one piece, wrong for lesions and pairs of organs, which want "all".
        threshold: where the largest probability is below it, the voxel is label set 0 ("any leaf",
            no loss).
    """

    def __init__(
        self,
        cells: Coarsening,
        table: LabelSetTable,
        component: Component = "largest",
        threshold: float = 0.0,
    ) -> None:
        super().__init__()
        self.label_sets, self.first = table.with_groups(cells, "pseudo-label")
        self.background = cells.background
        self.component, self.threshold = component, threshold

    @torch.no_grad()
    def forward(
        self, probabilities: Float[Tensor, "batch cells *space"]
    ) -> Int[Tensor, "batch *space"]:
        """Return the pseudo-labels, as numbers of label sets."""
        confidence, cells = probabilities.max(dim=1)
        if self.component == "largest":
            cells = keep_largest(cells, self.background, probabilities.shape[1])
        said = self.first + cells
        return said if self.threshold <= 0 else torch.where(confidence >= self.threshold, said, 0)

    def hidden(self, annotation: Int[Tensor, "batch *space"]) -> Int[Tensor, "batch *space"]:
        """Return an annotation with 0 on pseudo-labels: what regularisers may read."""
        return torch.where(annotation < self.first, annotation, 0)
