"""What the tests of CVBM share: labels of two and four classes, a context, a batch."""

from __future__ import annotations

import factories
import torch
import torch.nn.functional as F
from factories import plan_of, spec_of

from hinterland.labels import LabelSpec
from hinterland.methods import BuildContext
from hinterland.types import Batch, Progress

TWO = spec_of({"rest": {}, "organ": {}})
FOUR = spec_of(
    {"background": {"lung": {}, "rest": {}}, "infection": {}, "organ": {}},
    target=["infection", "organ"],
    schemes={
        "full": {0: "rest", 1: "lung", 2: "infection", 3: "organ"},
        "partial": {0: "background", 2: "infection", 3: "organ"},
    },
)


def build_context(spec: LabelSpec, dims: int = 2, network: str = "unet", **changes) -> BuildContext:
    edge = 32 if network != "unet" else 16
    plan = plan_of((edge,) * dims, (4, 6, 8), batch_size=4, batch_dice=True)
    options = {"features": (4, 16)} if network != "unet" else {}
    values = {"network_options": options, "deep_supervision": network == "unet", **changes}
    return BuildContext(plan, spec, spec.label_sets, network, **values)


def batch_of(context: BuildContext, unlabelled: int = 0, labelled: int = 4, seed: int = 0) -> Batch:
    """Images that show their classes; rows of the scheme `full`, and row 0 where unlabelled."""
    generator = torch.Generator().manual_seed(seed)
    n, space = labelled + unlabelled, context.plan.patch_size
    classes = len(context.spec.tree)
    coarse = torch.rand((n, classes, *(4,) * len(space)), generator=generator)
    mode = "bilinear" if len(space) == 2 else "trilinear"
    truth = F.interpolate(coarse, size=space, mode=mode).argmax(dim=1)
    noise = torch.randn((n, 1, *space), generator=generator)
    known = torch.arange(n) < labelled
    rows = torch.where(known.view(n, *(1,) * len(space)), truth + 1, 0)
    return factories.batch_of(
        truth[:, None] + 0.1 * noise, rows, nodes=classes, labelled=known,
        streams=("labelled",) * labelled + ("unlabelled",) * unlabelled,
    )  # fmt: skip


PRE = Progress("pre-train", 0, 10)
SELF = Progress("self-train", 5, 10)
