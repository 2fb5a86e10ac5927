"""The image-label loss: a positive label asks for enough voxels somewhere in the image."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.positions import positions

TAU = 100


class ImageLabelLoss(nn.Module):
    """-log mean{the `tau` largest of P(v below node)}, over items that show their whole image.

    A multiple-instance loss: the image is a bag of voxels, of which at least `tau` are positive.

    With an image label "node is there" and no voxel that is annotated so. `tau` is that of the rule
    (an image is positive if that many voxels are); of smaller images it is their size. Nodes that
    the method's cells do not tell apart are passed over. Lookup tables only, no parameters.

    >>> from hinterland.labels import LabelSpec
    >>> spec = LabelSpec.from_dict(
    ...     {"tree": {"rest": {}, "organ": {}}, "schemes": {"full": {0: "rest", 1: "organ"}}}
    ... )
    >>> loss = ImageLabelLoss(spec.tree.leaves, spec.label_sets, tau=2)
    >>> p = torch.tensor([[[0.1, 0.2, 0.7], [0.9, 0.8, 0.3]]])  # rest, organ
    >>> organ = spec.tree.nodes.index("organ")
    >>> round(loss(p, [(0, organ)]).item(), 4)  # -log of the mean of .9 and .8
    0.1625
    """

    certain: Tensor

    def __init__(self, cells: Coarsening, table: LabelSetTable, tau: int = TAU) -> None:
        super().__init__()
        tree = cells.tree
        self.tau = tau
        self.members: dict[int, list[int]] = {}
        below = [tree.leaves_under(node) for node in tree.nodes]
        for index, leaves in enumerate(below):
            inside = [i for i, group in enumerate(cells.groups) if group <= leaves]
            if frozenset().union(*(cells.groups[i] for i in inside)) == leaves:
                self.members[index] = inside
        certain = torch.tensor([[s <= leaves for leaves in below] for s in table.sets])
        self.register_buffer("certain", certain, persistent=False)

    def asked(
        self,
        image_labels: Int[Tensor, "batch nodes"],
        covers: Bool[Tensor, " batch"],
        annotation: Int[Tensor, "batch *space"],
    ) -> list[tuple[int, int]]:
        """Return the (item, node) pairs that the loss runs over.

        Args:
            image_labels: 1 present, 0 absent, -1 unknown, for each node.
            covers: whether a patch shows enough of its image for the image's label to hold.
            annotation: indices into the table of label sets.

        Returns:
            Pairs whose node is present and not yet annotated in the patch.
        """
        sets = annotation.flatten(1).long()
        there = torch.zeros(len(sets), len(self.certain), device=sets.device)
        there.scatter_(1, sets, 1.0)
        said = there @ self.certain.to(there.dtype) > 0
        asked = (image_labels == 1) & covers[:, None] & ~said
        pairs = enumerate(asked.tolist())  # the one place where the host reads
        return [(i, n) for i, row in pairs for n in self.members if row[n]]

    def forward(
        self, probabilities: Float[Tensor, "items cells *space"], pairs: list[tuple[int, int]]
    ) -> Float[Tensor, ""]:
        """Return the mean over pairs.

        Args:
            probabilities: of the items that `asked` names, over the method's cells.
            pairs: (position in `probabilities`, node), at least one.
        """
        terms = []
        for item, node in pairs:
            p = probabilities[item]
            q = p[positions(self.members[node], p)].sum(dim=0).flatten().float()
            largest = q.topk(min(self.tau, len(q))).values
            terms.append(-largest.mean().clamp(min=1e-6).log())
        return torch.stack(terms).mean()
