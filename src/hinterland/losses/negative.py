"""Negative learning: a penalty on the classes that a coarse annotation rules out."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.levels import label_sets_known_at
from hinterland.losses.marginal import marginalise
from hinterland.losses.reduce import all_sum
from hinterland.types import HinterlandError

FORMS = ("superclass", "classes")


class NegativeLoss(nn.Module):
    """The penalty, on voxels of the schemes that do not know the cells.

    With S the cells that an annotation allows:
    "superclass": sum_S mean_{v annotated S} -log(1 - sum_{k not in S} p_vk), every superclass with
    the same weight (as released);
    "classes": mean over voxels and over k not in S of -log(1 - p_vk) (NLNL's loss, averaged over
    its random choice of k).

    Lookup tables only, no parameters.

    >>> from hinterland.labels import LabelSpec
    >>> spec = LabelSpec.from_dict({
    ...     "tree": {"rest": {}, "organ": {"lesion": {}, "healthy": {}}},
    ...     "schemes": {
    ...         "full": {0: "rest", 1: "lesion", 2: "healthy"},
    ...         "coarse": {0: "rest", 1: "organ"},
    ...     },
    ... })
    >>> loss = NegativeLoss(spec.tree.leaves, spec.label_sets)
    >>> organ = spec.label_sets.label_set_ids(spec.scheme("coarse"))[1]
    >>> logits = torch.tensor([[[0.5], [0.25], [0.25]]]).log()
    >>> round(loss(logits, torch.tensor([[organ]])).item(), 4)  # -log(1 - .5)
    0.6931
    """

    pattern: Tensor
    outside: Tensor

    def __init__(self, cells: Coarsening, table: LabelSetTable, form: str = "superclass") -> None:
        super().__init__()
        if form not in FORMS:
            raise HinterlandError(f"form={form!r}; expected one of {', '.join(FORMS)}.")
        self.form = form
        allowed = table.allowed(cells)
        coarse = ~label_sets_known_at(table, cells) & ~allowed.all(axis=1)
        sets = [tuple(row.nonzero()[0].tolist()) for row in allowed]
        self.sets = list(dict.fromkeys(s for s, c in zip(sets, coarse, strict=True) if c))
        pattern = [self.sets.index(s) if c else -1 for s, c in zip(sets, coarse, strict=True)]
        self.register_buffer("pattern", torch.tensor(pattern), persistent=False)
        self.register_buffer("outside", torch.tensor(~allowed), persistent=False)

    def forward(
        self, logits: Float[Tensor, "batch cells *space"], annotation: Int[Tensor, "batch *space"]
    ) -> Float[Tensor, ""]:
        """Return the penalty of softmax logits; 0 where no voxel is coarsely annotated."""
        annotation, logits = annotation.long(), logits.float()
        pattern = self.pattern[annotation]
        if not self.sets:
            return logits.sum() * 0
        log_p = logits.log_softmax(dim=1)
        if self.form == "superclass":
            inside = marginalise(log_p, self.sets)
            terms = []
            for i in range(len(self.sets)):
                here = (pattern == i).to(log_p.dtype)
                total = all_sum(-(inside[:, i] * here).sum())
                terms.append(total / all_sum(here.sum()).clamp(min=1))
            return torch.stack(terms).sum()
        outside = self.outside[annotation].movedim(-1, 1) & (pattern >= 0)[:, None]
        # log(1 - p_k), from the logits of the other classes: p_k may round to 1
        others = [[j for j in range(log_p.shape[1]) if j != k] for k in range(log_p.shape[1])]
        penalty = -marginalise(log_p, others) * outside
        per_voxel = penalty.sum(dim=1) / outside.sum(dim=1).clamp(min=1)
        return all_sum(per_voxel.sum()) / all_sum((pattern >= 0).sum().float()).clamp(min=1)
