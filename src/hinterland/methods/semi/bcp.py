"""BCP, bidirectional copy-paste (Bai et al. 2023): pseudo-labels, learned from mixtures."""

from __future__ import annotations

from dataclasses import dataclass

from hinterland.methods.options import Share
from hinterland.methods.semi.pseudo_label import OneDecoder
from hinterland.methods.semi.self_training import Mixing, Region


@dataclass(frozen=True)
class BidirectionalCopyPaste(OneDecoder):
    """Pseudo-labels whose images are cut into labelled ones, and the other way round.

        X^in  = X_l M + X_u (1 - M)      X^out = X_u M + X_l (1 - M)

    M is 0 in a box of `beta` of each edge. Pre-training copies and pastes among labelled images,
    both with weight 1.

    Attributes:
        beta: side of the box as a share of the patch.
        region: "joined" cuts the logits of both mixtures back together, image by image, and takes
            L = 2 L_seg(Q_l, Y) + 2 alpha L_seg(Q_u, P). "printed" has, for each mixture, a loss on
            the ring and one on the box, L_seg(Q, Y where X is X_l) + alpha L_seg(Q, P where X is
            X_u): the ring holds slivers of an object, and Dice of slivers misleads.
        pretrain_cutmix: whether pre-training mixes, too.
    """

    name: str = "bcp"
    beta: Share = 2 / 3
    region: Region = "joined"
    pretrain_cutmix: bool = True

    @property
    def mixing(self) -> Mixing | None:
        return Mixing(self.beta, self.pretrain_cutmix)

    @property
    def joined(self) -> bool:
        return self.region == "joined"
