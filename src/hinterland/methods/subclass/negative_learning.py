"""Negative learning: one plain network, and a penalty on classes outside the annotated superclass.

A baseline of paper 4 (after NLNL): coarse labels say which classes a voxel is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable, LabelSpec
from hinterland.losses import all_sum, marginalise
from hinterland.methods.base import BuildContext, Losses, Method, Phase
from hinterland.methods.options import require_numbers
from hinterland.methods.subclass.levels import LevelLosses, rows_known_at, schemes_known_at
from hinterland.methods.subclass.method import fine_and_coarse
from hinterland.methods.supervised import forward_with_features
from hinterland.networks.base import Network
from hinterland.types import Batch, HinterlandError, Progress, View

Form = Literal["superclass", "classes"]


class NegativeLoss(nn.Module):
    """The penalty, on voxels of the schemes that do not know the cells. Lookup tables only.

    With S the cells that an annotation allows:
    "superclass": sum_S mean_{v annotated S} -log(1 - sum_{k not in S} p_vk), every superclass with
    the same weight (as released);
    "classes": mean over voxels and over k not in S of -log(1 - p_vk) (NLNL's loss, averaged over
    its random choice of k).
    """

    pattern: Tensor
    outside: Tensor

    def __init__(self, cells: Coarsening, table: LabelSetTable, form: Form) -> None:
        super().__init__()
        self.form = form
        allowed = table.allowed(cells)
        coarse = ~rows_known_at(table, cells) & ~allowed.all(axis=1)
        sets = [tuple(row.nonzero()[0].tolist()) for row in allowed]
        self.sets = list(dict.fromkeys(s for s, c in zip(sets, coarse, strict=True) if c))
        pattern = [self.sets.index(s) if c else -1 for s, c in zip(sets, coarse, strict=True)]
        self.register_buffer("pattern", torch.tensor(pattern), persistent=False)
        self.register_buffer("outside", torch.tensor(~allowed), persistent=False)

    def forward(
        self,
        logits: Float[Tensor, "batch cells *space"],
        rows: Int[Tensor, "batch *space"],
    ) -> Float[Tensor, ""]:
        rows, logits = rows.long(), logits.float()
        pattern = self.pattern[rows]
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
        outside = self.outside[rows].movedim(-1, 1) & (pattern >= 0)[:, None]
        # log(1 - p_k), from the logits of the other classes: p_k may round to 1
        others = [[j for j in range(log_p.shape[1]) if j != k] for k in range(log_p.shape[1])]
        penalty = -marginalise(log_p, others) * outside
        per_voxel = penalty.sum(dim=1) / outside.sum(dim=1).clamp(min=1)
        return all_sum(per_voxel.sum()) / all_sum((pattern >= 0).sum().float()).clamp(min=1)


@dataclass(frozen=True)
class NegativeLearning(Method):
    """L = L_seg on fine-labelled items + weight * NegativeLoss on coarsely labelled ones."""

    derived: ClassVar[tuple[str, ...]] = ("fine", "coarse")
    on: tuple[Coarsening, ...]
    fine: tuple[str, ...]
    coarse: tuple[str, ...]
    name: str = "negative-learning"
    weight: float = 1.0
    share: float = 0.5
    form: Form = "superclass"

    def __post_init__(self) -> None:
        if self.form not in ("superclass", "classes"):
            raise HinterlandError(f"form={self.form!r}: expected superclass or classes.")
        require_numbers(self.name, self, "share", high=1.0, above=True)
        require_numbers(self.name, self, "weight")

    @property
    def cells(self) -> Coarsening:
        return self.on[-1]

    def build(self, context: BuildContext) -> nn.ModuleDict:
        context = replace(context, deep_supervision=False)
        return nn.ModuleDict(
            {
                "network": context.create_network(len(self.cells)),
                "losses": LevelLosses(self.on, context.label_sets, batch_dice=context.batch_dice),
                "negative": NegativeLoss(self.cells, context.label_sets, self.form),
            }
        )

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(quotas=fine_and_coarse(self.fine, self.coarse, self.share)),)

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        del progress
        (logits, *_), features = forward_with_features(networks["network"], batch.image)
        rows, negative = batch.annotation.long(), cast(NegativeLoss, networks["negative"])
        fine = torch.where(negative.pattern[rows] < 0, rows, 0)
        terms = networks["losses"]([logits], fine)
        terms["negative"] = negative(logits, rows)
        view = View(batch.image, logits, batch.annotation, features=features, domain=batch.domain)
        return Losses(terms, {"negative": self.weight}, (view,))

    def probabilities(self, networks: nn.ModuleDict, image: Tensor) -> Tensor:
        return networks["network"](image).float().softmax(dim=1)

    def deployed(self, networks: nn.ModuleDict) -> Network:
        return cast(Network, networks["network"])


def make_negative_learning(
    spec: LabelSpec, on: tuple[Coarsening, ...], **options: Any
) -> NegativeLearning:
    """The method for the labels at hand; its cells are the last of `on`, else the leaves."""
    cells = on[-1] if on else spec.tree.leaves
    fine, coarse = schemes_known_at(spec, cells)
    return NegativeLearning((cells,), fine, coarse, **options)
