"""A regulariser of somebody else's: logits should be small."""

from collections.abc import Sequence

from hinterland.methods import BuildContext, Losses, Method, Regulariser
from hinterland.types import Progress, View


class SmallLogits(Regulariser):
    name = "outside-regulariser"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, views: Sequence[View], progress: Progress) -> Losses:
        term = sum(view.logits.float().square().mean() for view in views)
        return Losses({"size": term}, {"size": self.weight})


def make(context: BuildContext, method: Method, *, weight: float = 0.01) -> SmallLogits:
    return SmallLogits(weight)
