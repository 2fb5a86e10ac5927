"""CVBM's background loss: one decoder answers, class by class, where that class is not."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.base import VoxelLoss
from hinterland.losses.marginal import soft_dice_loss
from hinterland.losses.membership import Membership
from hinterland.losses.positions import positions
from hinterland.losses.reduce import all_sum
from hinterland.types import HinterlandError

FORMS = ("class-side", "printed")


class ComplementTargets(Membership):
    """Complement labels y_k = 1 - [S inside cell k], and where they are decided; both as floats."""

    def complements(
        self, annotation: Int[Tensor, "batch *space"]
    ) -> tuple[Float[Tensor, "batch cells *space"], Float[Tensor, "batch cells *space"]]:
        """Return (y, decided)."""
        member, decided = self(annotation)
        return 1 - member.float(), decided.float()


class Complement(VoxelLoss):
    """One sigmoid a cell, q_k = P(not cell k), against the complement labels y_k.

    For leaf annotations y is CVBM's eq. 2, and for two classes its eq. 1; only voxels count whose
    annotation decides about the cell, by a scheme that names it.

    class-side: sum_k BCE(q_k, y_k), its mean over voxels, and Dice of 1 - q_k with 1 - y_k over the
        foreground cells: a class of 2 % of the voxels is 98 % of its complement, whose Dice is
        nearly 1 whatever the class does and teaches next to nothing.
    printed: the mean over cells of BCE and of the Dice of q_k with y_k, as the paper has it.

    The estimate is 1 - q_k, so that foreground and background can sum to 1 class by class.

    >>> from hinterland.labels import LabelSpec
    >>> spec = LabelSpec.from_dict(
    ...     {"tree": {"rest": {}, "organ": {}}, "schemes": {"full": {0: "rest", 1: "organ"}}}
    ... )
    >>> table = spec.label_sets
    >>> loss = Complement(spec.tree.leaves, table)
    >>> organ = table.label_set_ids(spec.scheme("full"))[1]
    >>> import torch
    >>> undecided = torch.zeros(1, 2, 1)  # q = 1/2: 2 log 2, and a Dice of 2/3
    >>> round(loss.at_resolution(undecided, torch.tensor([[organ]])).item(), 4)
    1.7196
    """

    def __init__(
        self,
        cells: Coarsening,
        table: LabelSetTable,
        *,
        batch_dice: bool = True,
        form: str = "class-side",
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise HinterlandError(f"form={form!r}; expected one of {', '.join(FORMS)}.")
        self.batch_dice, self.form = batch_dice, form
        self.foreground = list(cells.foreground)
        self.targets = ComplementTargets(cells, table)

    def at_resolution(
        self, logits: Float[Tensor, "batch cells *space"], annotation: Int[Tensor, "batch *space"]
    ) -> Float[Tensor, ""]:
        logits = logits.float()
        y, decided = self.targets.complements(annotation)
        bce = all_sum(binary_cross_entropy_with_logits(logits, y, decided, reduction="sum"))
        if self.form == "printed":
            ce = bce / all_sum(decided.sum()).clamp(min=1)
            return ce + soft_dice_loss(logits.sigmoid(), y, decided, batch=self.batch_dice)
        ce = bce / all_sum(decided.amax(dim=1).sum()).clamp(min=1)
        chosen = positions(self.foreground, logits)
        p, member, known = (t[:, chosen] for t in ((-logits).sigmoid(), 1 - y, decided))
        return ce + soft_dice_loss(p, member, known, batch=self.batch_dice)

    def estimate(
        self, logits: Float[Tensor, "batch cells *space"]
    ) -> Float[Tensor, "batch cells *space"]:
        return (-logits.float()).sigmoid()


class SoftmaxComplement(VoxelLoss):
    """The complement labels under a softmax, as CVBM's released code has it: kept to be measured.

    The labels are multi-hot (K - 1 of K are 1), which no softmax can reach: cross entropy
    -sum_k y_k log p_k, Dice of p with y, and softmax(1 - logits) as the estimate.
    """

    def __init__(self, cells: Coarsening, table: LabelSetTable, *, batch_dice: bool = True) -> None:
        super().__init__()
        self.batch_dice = batch_dice
        self.targets = ComplementTargets(cells, table)

    def at_resolution(
        self, logits: Float[Tensor, "batch cells *space"], annotation: Int[Tensor, "batch *space"]
    ) -> Float[Tensor, ""]:
        logits = logits.float()
        y, decided = self.targets.complements(annotation)
        known = decided.amax(dim=1)
        ce = -(y * decided * logits.log_softmax(dim=1)).sum()
        ce = all_sum(ce) / all_sum(known.sum()).clamp(min=1)
        return ce + soft_dice_loss(logits.softmax(dim=1), y, decided, batch=self.batch_dice)

    def estimate(
        self, logits: Float[Tensor, "batch cells *space"]
    ) -> Float[Tensor, "batch cells *space"]:
        return (1 - logits.float()).softmax(dim=1)
