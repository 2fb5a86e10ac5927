"""What positive image labels add to the loss of a segmentation method."""

from __future__ import annotations

from torch import nn

from hinterland.losses.image_label import ImageLabelLoss
from hinterland.methods import Losses, Method
from hinterland.types import Batch
from hinterland.types.batch import take


class ImageLabelTerm(nn.Module):
    """Applies `ImageLabelLoss` to the items of a batch that show a whole image."""

    def __init__(self, method: Method, loss: ImageLabelLoss, weight: float) -> None:
        super().__init__()
        self.method, self.loss, self.weight = method, loss, weight

    def forward(self, networks: nn.Module, batch: Batch) -> Losses:
        """Return the term of a batch; no term at all where no item has a label to learn from."""
        pairs = self.loss.asked(batch.image_labels, batch.covers, batch.annotation)
        if not pairs:
            return Losses({})
        items = sorted({item for item, _ in pairs})
        p = self.method.probabilities(networks, take(batch.image, items))
        term = self.loss(p, [(items.index(item), node) for item, node in pairs])
        return Losses({"image-labels": term}, {"image-labels": self.weight})
