"""Make the settings and batches that every method of the contract is run on."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hinterland.labels import LabelSpec
from hinterland.methods import BuildContext, Phase
from hinterland.networks import recipe
from hinterland.types import Batch, NetworkPlan, Normalisation, Plan

SPEC = LabelSpec.from_dict(
    {
        "tree": {"background": {}, "heart": {"ventricle": {}, "muscle": {}}},
        "target": ["ventricle", "muscle"],
        "schemes": {"full": {0: "background", 1: "ventricle", 2: "muscle"}},
    }
)
SPEC = SPEC.with_schemes(SPEC.coarse_scheme("full"))
EDGE = 16
STEPS = 20


def context_for(dims: int) -> BuildContext:
    plan = Plan(
        dims=dims, channels=("MRI",), normalisation=(Normalisation("zscore"),),
        spacing=(1.0, 1.0, 1.0), unit="mm", transpose=(0, 1, 2), median_shape=(EDGE,) * 3,
        patch_size=(EDGE,) * dims, batch_size=4, batch_dice=True, fingerprint="",
        network=NetworkPlan((4, 8, 8), ((1,) * dims, (2,) * dims, (2,) * dims), ((3,) * dims,) * 3),
    )  # fmt: skip
    return BuildContext(
        plan, SPEC, SPEC.label_sets, "unet", deep_supervision=recipe("unet").deep_supervision
    )


def batch_for(phase: Phase, context: BuildContext) -> Batch:
    """Two items for each quota, annotated as the quota asks; images show their classes."""
    schemes, streams = [], []
    for quota in phase.quotas:
        wanted = quota.where.get("scheme", "full")
        scheme = wanted if isinstance(wanted, str) else next(iter(wanted))  # type: ignore[arg-type]
        schemes += ["none" if quota.where.get("labelled") is False else scheme] * 2
        streams += [quota.name] * 2
    generator = torch.Generator().manual_seed(0)
    dims, n = context.plan.dims, len(schemes)
    coarse = torch.rand((n, 3, *(3,) * dims), generator=generator)
    coarse[:, 0] += 0.2
    mode = "bilinear" if dims == 2 else "trilinear"
    truth = F.interpolate(coarse, size=(EDGE,) * dims, mode=mode).argmax(dim=1)
    rows = torch.zeros_like(truth)
    for i, name in enumerate(schemes):
        if name != "none":
            lookup = SPEC.label_sets.label_set_ids(SPEC.scheme(name))
            rows[i] = torch.tensor([lookup[v] for v in range(3)])[truth[i]]
    noise = torch.randn(truth.shape, generator=generator)
    return Batch(
        image=(truth + 0.2 * noise)[:, None].float(), annotation=rows,
        labelled=torch.tensor([s != "none" for s in schemes]),
        image_labels=torch.full((n, len(SPEC.tree.nodes)), -1, dtype=torch.int8),
        covers=torch.zeros(n, dtype=torch.bool), case=tuple(map(str, range(n))), group=("",) * n,
        domain=("",) * n, streams=tuple(streams),
    )  # fmt: skip
