"""One training step of anything in the registries, on any device: made small, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hinterland.labels import LabelSpec
from hinterland.losses.image_label import ImageLabelLoss
from hinterland.methods import BuildContext, Phase, make_method, method_names
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.networks import network_names, recipe
from hinterland.training.config import make_config
from hinterland.training.loop.engine import LOG_EVERY, Engine
from hinterland.training.loop.image_label_term import ImageLabelTerm
from hinterland.training.optimisation.optimisers import resolve_recipe
from hinterland.training.optimisation.pace import StepPace
from hinterland.types import Batch, NetworkPlan, Normalisation, Plan

STEPS = 20
SPEC = LabelSpec.from_dict(
    {
        "tree": {"background": {}, "heart": {"ventricle": {}, "muscle": {}}},
        "target": ["ventricle", "muscle"],
        "schemes": {"full": {0: "background", 1: "ventricle", 2: "muscle"}},
    }
)
SPEC = SPEC.with_schemes(SPEC.coarse_scheme("full"))
VARIANTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("supervised", {"warm_start": 0.2}),
    ("bcp", {"region": "printed"}),
    ("cvbm", {"complement": "printed"}),
    ("cvbm", {"views": "dual-background"}),
    ("cvbm", {"cutmix": False, "output": "mix"}),
    ("subclass", {"parts": "mixup"}),
    ("subclass", {"sn": False, "shared": True}),
)
REGULARISERS: Mapping[str, Mapping[str, Any]] = {
    "discrepancy": {"warm_start": 0.0},
    "contrastive": {},
    "deep-supervision": {},
}


@dataclass(frozen=True)
class Job:
    """A method with options, regularisers and a network, in 2D or 3D, by a recipe."""

    dims: int
    method: str = "supervised"
    options: Mapping[str, Any] = field(default_factory=dict)
    network: str = "unet"
    regularisers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipe: str = "fast"
    image_labels: bool = False

    @property
    def name(self) -> str:
        """What a table calls it."""
        words = [self.method, *(f"{k}={v}" for k, v in self.options.items()), *self.regularisers]
        words += [self.network] if self.network != "unet" else []
        words += [self.recipe] if self.recipe != "fast" else []
        words += ["image labels"] if self.image_labels else []
        return f"{' '.join(words)} {self.dims}D"


def all_jobs() -> Iterator[Job]:
    """Every method, variant, regulariser, network and recipe, in 2D and 3D."""
    for dims in (2, 3):
        yield from (Job(dims, name) for name in method_names())
        yield from (Job(dims, name, options) for name, options in VARIANTS)
        yield from (Job(dims, regularisers={k: v}) for k, v in REGULARISERS.items())
        yield from (Job(dims, network=name) for name in network_names() if name != "unet")
        yield from (Job(dims, recipe=name) for name in ("nnunet", "paper"))
        yield Job(dims, image_labels=True)


class Stepped(Engine):
    """The engine without a Lightning trainer around it."""

    made: list[torch.optim.Optimizer] | None = None

    def _optimisers(self) -> list[Any]:
        if self.made is None:
            self.made = self.configure_optimizers()
        return self.made

    def manual_backward(self, loss: torch.Tensor, *_: Any, **__: Any) -> None:
        loss.backward()


def engines(job: Job, device: str) -> Iterator[tuple[str, Stepped, Batch]]:
    """Yield (phase, engine on the device, batch on the device) for each phase of a job.

    Weights and batches are the same on every device.
    """
    context = _context(job)
    method = make_method(job.method, SPEC, (), dict(job.options))
    config = make_config({"network": job.network, "steps": STEPS, "recipe": job.recipe})
    for index, phase in enumerate(method.phases()):
        torch.manual_seed(0)
        networks = method.build(context)
        loss = ImageLabelLoss(method.cells, context.label_sets)
        term = ImageLabelTerm(method, loss, 1.0) if job.image_labels else None
        engine = Stepped(
            method, networks,
            build_regularisers({k: dict(v) for k, v in job.regularisers.items()}, context, method),
            phase, index=index, pace=StepPace(STEPS, STEPS), start=LOG_EVERY - 1, offset=0,
            recipe=resolve_recipe(config), config=config, optimiser_states=None,
            write=lambda *_: None, at_interval=lambda *_: None, tick=lambda: None,
            image_label_term=term,
        )  # fmt: skip
        engine.to(device).train()
        batch = engine.transfer_batch_to_device(_batch(phase, job), torch.device(device), 0)
        yield phase.name, engine, batch


def _edge(job: Job) -> int:
    return {"unet": 16, "swinunetr": 64}.get(job.network, 32)


def _context(job: Job) -> BuildContext:
    dims, edge = job.dims, _edge(job)
    planned = recipe(job.network).deep_supervision
    plan = Plan(
        dims=dims, channels=("MRI",), normalisation=(Normalisation("zscore"),),  # type: ignore[arg-type]
        spacing=(1.0, 1.0, 1.0), unit="mm", transpose=(0, 1, 2), median_shape=(edge,) * 3,
        patch_size=(edge,) * dims, batch_size=4, batch_dice=True, fingerprint="",
        network=NetworkPlan((4, 8, 8), ((1,) * dims, (2,) * dims, (2,) * dims), ((3,) * dims,) * 3),
    )  # fmt: skip
    wide = {} if job.network in ("unet", "resenc-m", "resenc-l") else {"features": (8, 16)}
    return BuildContext(plan, SPEC, SPEC.label_sets, job.network, wide, deep_supervision=planned)


def _batch(phase: Phase, job: Job) -> Batch:
    """Two items for each quota, annotated as the quota asks; images show their classes."""
    schemes, streams = [], []
    for quota in phase.quotas:
        wanted = quota.where.get("scheme", "full")
        scheme = wanted if isinstance(wanted, str) else next(iter(wanted))  # type: ignore[arg-type]
        schemes += ["none" if quota.where.get("labelled") is False else scheme] * 2
        streams += [quota.name] * 2
    generator = torch.Generator().manual_seed(0)
    n, dims, edge = len(schemes), job.dims, _edge(job)
    coarse = torch.rand((n, 3, *(3,) * dims), generator=generator)
    coarse[:, 0] += 0.2
    mode = "bilinear" if dims == 2 else "trilinear"
    truth = F.interpolate(coarse, size=(edge,) * dims, mode=mode).argmax(dim=1)
    annotation = torch.zeros_like(truth)
    for i, name in enumerate(schemes):
        if name != "none":
            lookup = SPEC.label_sets.label_set_ids(SPEC.scheme(name))
            annotation[i] = torch.tensor([lookup[v] for v in range(3)])[truth[i]]
    noise = torch.randn(truth.shape, generator=generator)
    nodes = list(SPEC.tree.nodes)
    image_labels = torch.full((n, len(nodes)), -1, dtype=torch.int8)
    if job.image_labels:
        annotation[:1] = 0
        image_labels[:, nodes.index("heart")] = 1
    names = tuple(map(str, range(n)))
    return Batch(
        image=(truth + 0.2 * noise)[:, None].float(), annotation=annotation,
        labelled=torch.tensor([s != "none" for s in schemes]), image_labels=image_labels,
        covers=torch.full((n,), job.image_labels), case=names, group=names,
        domain=tuple("ab"[i % 2] for i in range(n)), streams=tuple(streams),
    )  # fmt: skip


def parameters_of(module: nn.Module) -> torch.Tensor:
    """All parameters in one vector on the CPU."""
    return torch.cat([p.detach().float().cpu().flatten() for p in module.parameters()])
