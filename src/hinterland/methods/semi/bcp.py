"""BCP, bidirectional copy-paste (Bai et al. 2023): pseudo-labels, learned from mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hinterland.methods.options import require_numbers
from hinterland.methods.semi.cutmix import Arrangement, box_mask, cut_mix, halves, pair
from hinterland.methods.semi.pseudo_label import PseudoLabel
from hinterland.methods.semi.teacher import split_streams
from hinterland.types import Batch


@dataclass(frozen=True)
class BidirectionalCopyPaste(PseudoLabel):
    """Pseudo-labels whose images are cut into labelled ones, and the other way round:

        X^in  = X_l M + X_u (1 - M)      X^out = X_u M + X_l (1 - M)
        L = sum over in, out of  L_seg(Q, Y where X is X_l) + alpha L_seg(Q, P where X is X_u)

    M is 0 in a box of `beta` of each edge. Pre-training copies and pastes among labelled images,
    both with weight 1.
    """

    name: str = "bcp"
    beta: float = 2 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "beta", high=1.0)

    def sources(self, batch: Batch, teaching: bool) -> Sequence[Batch]:
        return pair(*split_streams(batch)) if teaching else halves(batch)

    def arrange(self, images: Sequence[Tensor]) -> Arrangement:
        one, other = images
        return cut_mix(one, other, box_mask(one.shape[2:], self.beta, device=one.device))
