"""The terms of a segmentation loss at one coarsening."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.comparison import Comparison
from hinterland.losses.many_classes import LARGE, ManyClasses
from hinterland.losses.marginal import IGNORE
from hinterland.losses.membership import Membership
from hinterland.losses.registry import LOSSES


class PartitionLoss(nn.Module):
    """The loss that sees the partition `at`, of a network whose channels are `cells`.

    For an annotation S the groups that S touches are possible: the cross entropy is
    -log of their summed probability, the usual one where S lies in a single group, nothing where S
    touches every group. Dice runs over the groups of `at` except its background (the group with
    the tree's remainder leaf), each on the voxels where membership is decided by a scheme that
    names the group. For leaf annotations both are ordinary Dice and cross entropy.

    Lookup tables only, no parameters and no state.

    Args:
        at: the coarsening.
        cells: what the network's channels stand for.
        table: the label sets that annotations point at.
        batch_dice: whether Dice sums over the items of a batch before it divides.
        virtual_dice: whether Dice counts a class that no annotation names as absent everywhere, as
            nnU-Net does; default, it is left out of the mean.
        loss: a name of `losses.registry.LOSSES`.

    Example:
        >>> import torch
        >>> from hinterland.labels import LabelSpec
        >>> spec = LabelSpec.from_dict(
        ...     {"tree": {"rest": {}, "organ": {}}, "schemes": {"full": {0: "rest", 1: "organ"}}}
        ... )
        >>> loss = PartitionLoss(spec.tree.leaves, spec.tree.leaves, spec.label_sets)
        >>> annotation = torch.tensor([[[1, 2], [2, 0]]])  # rest, organ, organ, unlabelled
        >>> terms = loss(torch.zeros(1, 2, 2, 2), annotation)
        >>> {name: round(value.item(), 3) for name, value in terms.items()}
        {'ce': 0.693, 'dice': 0.429}
    """

    target: Tensor
    group_of: Tensor
    open_cells: Tensor

    def __init__(
        self,
        at: Coarsening,
        cells: Coarsening,
        table: LabelSetTable,
        *,
        batch_dice: bool = True,
        virtual_dice: bool = False,
        loss: str = "dice-ce",
    ) -> None:
        super().__init__()
        self.batch_dice, self.terms = batch_dice, LOSSES.get(loss)
        over = at.over(cells)
        allowed = table.allowed(at)
        decisive = ~allowed.all(axis=1)
        patterns, inverse = np.unique(allowed[decisive], axis=0, return_inverse=True)
        # From the last to the first, so that single groups stand in their own order.
        patterns, inverse = patterns[::-1], len(patterns) - 1 - inverse
        target = np.full(len(table), IGNORE)
        target[decisive] = inverse.reshape(-1)
        foreground = list(at.foreground)
        self.groups = _members(over[foreground])
        self.patterns = _members((patterns.astype(int) @ over.astype(int)) > 0)
        group_of = np.full(len(cells), -1)
        for group, members in enumerate(self.groups):
            group_of[members] = group
        open_cells = np.zeros((len(self.patterns), len(cells)), dtype=bool)
        for pattern, members in enumerate(self.patterns):
            open_cells[pattern, members] = True
        self.register_buffer("group_of", torch.tensor(group_of), persistent=False)
        self.register_buffer("open_cells", torch.tensor(open_cells), persistent=False)
        self.register_buffer("target", torch.tensor(target, dtype=torch.long), persistent=False)
        self.membership = Membership(at, table, foreground, unnamed=virtual_dice)

    def forward(
        self, logits: Float[Tensor, "batch cells *space"], annotation: Int[Tensor, "batch *space"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the terms of the loss, in float32 whatever the logits' precision."""
        if not self.patterns:  # a table that decides nothing: no label file, no loss
            return {name: logits.float().sum() * 0 for name in self.terms}
        found = (self._many if logits.numel() >= LARGE else self._few)(logits, annotation.long())
        return {name: term(found) for name, term in self.terms.items()}

    def _few(self, logits: Tensor, annotation: Tensor) -> Comparison:
        member, decided = self.membership(annotation)
        return Comparison(
            logits.float().log_softmax(dim=1), self.groups, member, decided, self.patterns,
            self.target[annotation], self.batch_dice,
        )  # fmt: skip

    def _many(self, logits: Tensor, annotation: Tensor) -> Comparison:
        return ManyClasses(
            logits, annotation, self.membership, self.group_of, self.open_cells,
            self.target[annotation], self.groups, self.patterns, batch=self.batch_dice,
        )  # fmt: skip


def _members(matrix: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in matrix]
