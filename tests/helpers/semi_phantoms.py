"""What the tests of the semi-supervised field share: labels, a context, a batch."""

from __future__ import annotations

import torch

from hinterland.labels import LabelSpec
from hinterland.methods import BuildContext
from hinterland.types import Batch, NetworkPlan, Normalisation, Plan

SPEC = LabelSpec.from_dict(
    {
        "tree": {"background": {}, "heart": {"ventricle": {}, "muscle": {}}},
        "schemes": {
            "full": {0: "background", 1: "ventricle", 2: "muscle"},
            "coarse": {0: "background", 1: "heart"},
        },
    }
)
LEAVES = SPEC.tree.leaves
EDGE = 8


def context() -> BuildContext:
    """A tiny 2D U-Net without deep supervision."""
    plan = Plan(
        dims=2, channels=("MRI",), normalisation=(Normalisation("zscore"),),
        spacing=(1.0, 1.0, 1.0), unit="mm", transpose=(0, 1, 2), median_shape=(EDGE,) * 3,
        patch_size=(EDGE, EDGE), batch_size=4, batch_dice=True, fingerprint="",
        network=NetworkPlan((4, 6, 6), ((1, 1), (2, 2), (2, 2)), ((3, 3),) * 3),
    )  # fmt: skip
    return BuildContext(plan, SPEC, SPEC.label_sets, deep_supervision=False)


def batch(labelled: int = 2, unlabelled: int = 2, scheme: str = "full") -> Batch:
    """Noise, with random annotations of a scheme on the labelled items."""
    n, generator = labelled + unlabelled, torch.Generator().manual_seed(3)
    lookup = SPEC.label_sets.label_set_ids(SPEC.scheme(scheme))
    names = torch.tensor([lookup[v] for v in sorted(lookup)])
    rows = names[torch.randint(len(names), (n, EDGE, EDGE), generator=generator)]
    rows[labelled:] = 0
    return Batch(
        image=torch.randn((n, 1, EDGE, EDGE), generator=generator), annotation=rows,
        labelled=torch.arange(n) < labelled,
        image_labels=torch.full((n, len(SPEC.tree.nodes)), -1, dtype=torch.int8),
        covers=torch.zeros(n, dtype=torch.bool), case=tuple(map(str, range(n))), group=("",) * n,
        domain=("",) * n, streams=("labelled",) * labelled + ("unlabelled",) * unlabelled,
    )  # fmt: skip
