"""What the tests of the semi-supervised field share: labels, a context, a batch."""

from __future__ import annotations

import torch
from factories import batch_of, plan_of, spec_of

from hinterland.methods import BuildContext
from hinterland.types import Batch

SPEC = spec_of(
    {"background": {}, "heart": {"ventricle": {}, "muscle": {}}},
    schemes={
        "full": {0: "background", 1: "ventricle", 2: "muscle"},
        "coarse": {0: "background", 1: "heart"},
    },
)
LEAVES = SPEC.tree.leaves
EDGE = 8


def context() -> BuildContext:
    """A tiny 2D U-Net without deep supervision."""
    plan = plan_of((EDGE, EDGE), (4, 6, 6), batch_size=4, batch_dice=True)
    return BuildContext(plan, SPEC, SPEC.label_sets, deep_supervision=False)


def batch(labelled: int = 2, unlabelled: int = 2, scheme: str = "full") -> Batch:
    """Noise, with random annotations of a scheme on the labelled items."""
    n, generator = labelled + unlabelled, torch.Generator().manual_seed(3)
    lookup = SPEC.label_sets.label_set_ids(SPEC.scheme(scheme))
    names = torch.tensor([lookup[v] for v in sorted(lookup)])
    rows = names[torch.randint(len(names), (n, EDGE, EDGE), generator=generator)]
    rows[labelled:] = 0
    return batch_of(
        torch.randn((n, 1, EDGE, EDGE), generator=generator), rows, nodes=len(SPEC.tree.nodes),
        labelled=torch.arange(n) < labelled,
        streams=("labelled",) * labelled + ("unlabelled",) * unlabelled,
    )  # fmt: skip
