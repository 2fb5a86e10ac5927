"""Make the settings and batches that every method of the contract is run on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from factories import batch_of, plan_of, spec_of, teachers_of

from hinterland.methods import BuildContext, Phase
from hinterland.networks import recipe
from hinterland.types import Batch

SPEC = spec_of(
    {"background": {}, "heart": {"ventricle": {}, "muscle": {}}}, ["ventricle", "muscle"]
)
SPEC = SPEC.with_schemes(SPEC.coarse_scheme("full"))
OPTIONS = {"ad-mt": {"rise": 0.0, "threshold": 0.0}}
"""Where a loss rises because its weight does, or because there are labels to learn later only."""
EDGE = 16
STEPS = 20


def context_for(dims: int) -> BuildContext:
    plan = plan_of((EDGE,) * dims, (4, 8, 8), batch_size=4, batch_dice=True)
    return BuildContext(
        plan, SPEC, SPEC.label_sets, "unet", deep_supervision=recipe("unet").deep_supervision,
        teachers=teachers_of(plan, SPEC.tree.leaves, SPEC.tree.top),
    )  # fmt: skip


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
    return batch_of(
        (truth + 0.2 * noise)[:, None].float(), rows, nodes=len(SPEC.tree.nodes),
        labelled=torch.tensor([s != "none" for s in schemes]), streams=tuple(streams),
    )  # fmt: skip
