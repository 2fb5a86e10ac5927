"""Items of one step to a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hinterland.data.patches import Item
from hinterland.types import Batch


def collate(items: Sequence[Item]) -> Batch:
    """Stack items in their order; the `collate_fn` of a DataLoader."""
    return Batch(
        image=torch.stack([i.image for i in items]),
        annotation=torch.stack([i.annotation for i in items]),
        labelled=torch.tensor([i.labelled for i in items]),
        image_labels=torch.stack([i.image_labels for i in items]),
        covers=torch.tensor([i.covers for i in items]),
        case=tuple(i.case for i in items),
        group=tuple(i.group for i in items),
        domain=tuple(i.domain for i in items),
        streams=tuple(i.stream for i in items),
    )
