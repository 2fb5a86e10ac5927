"""One short piece of work for everything that runs on a device: what the device test goes through.

A job knows nothing of the device: it is given one, real or pretended. Each part of it, such as a
phase, calls `begin` once it is built, and gives the name of the part when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from device_batches import STEPS, Begin, DeviceBatches
from factories import batch_of, plan_of, spec_of, teachers_of

from hinterland.classification.embeddings import stitched_features
from hinterland.classification.methods import ClassifierContext, ImageClassifier, YNet
from hinterland.classification.networks import IMAGE_CLASSIFIERS, SUMMARISERS
from hinterland.classification.trainer import predict_canvases
from hinterland.inference.forward import autocast
from hinterland.inference.window import sliding_window
from hinterland.losses.image_label import ImageLabelLoss
from hinterland.methods import BuildContext, Phase, make_method, method_names
from hinterland.methods.base import TrainableMethod
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.networks.registry import NETWORKS, network_names
from hinterland.training.config import make_config
from hinterland.training.loop.engine import LOG_EVERY, Engine
from hinterland.training.loop.image_label_term import ImageLabelTerm
from hinterland.training.optimisation.averaging import Weights
from hinterland.training.optimisation.optimisers import resolve_recipe
from hinterland.training.optimisation.pace import StepPace
from hinterland.types import Batch, Plan

SPEC = spec_of(
    {"background": {}, "heart": {"ventricle": {}, "muscle": {}}}, ["ventricle", "muscle"]
)
SPEC = SPEC.with_schemes(SPEC.coarse_scheme("full"))

OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("supervised", {"warm_start": 0.2}),
    ("pseudo-label", {"unlabelled": "all"}),
    ("pseudo-label", {"component": "all", "threshold": 0.5}),
    ("bcp", {"teacher": "train"}),
    ("bcp", {"region": "printed"}),
    ("mean-teacher", {"perturbation": "strong"}),
    ("mean-teacher", {"unlabelled": "coarse"}),
    ("cps", {"unlabelled": "coarse"}),
    ("dtc", {"unlabelled": "coarse"}),
    ("ss-net", {"unlabelled": "coarse"}),
    ("unimatch", {"component": "largest"}),
    ("cvbm", {"complement": "softmax"}),
    ("cvbm", {"views": "dual-background"}),
    ("cvbm", {"views": "dual-foreground", "output": "average"}),
    ("cvbm", {"views": "foreground"}),
    ("cvbm", {"cutmix": False, "output": "mix"}),
    ("subclass", {"marginal": True, "pc": False, "sn": False}),
    ("subclass", {"parts": "mixup"}),
    ("subclass", {"parts": "pseudo"}),
    ("subclass", {"sn": False, "shared": True}),
    ("negative-learning", {"form": "classes"}),
    ("distillation", {"labelled_share": 0.5}),
)
REGULARISERS: tuple[dict[str, dict[str, Any]], ...] = (
    {"discrepancy": {}},
    {"discrepancy": {"form": "map", "exchange": "batch", "warm_start": 0.0}},
    {"discrepancy": {"form": "sum", "learned": "free", "warm_start": 0.0}},
    {"discrepancy": {"exchange": "domains", "domains": ["a", "b"], "warm_start": 0.0}},
    {"contrastive": {"region": 2}},
    {"contrastive": {"positives": "class"}},
    {"deep-supervision": {}},
)
EDGES = {"unet": 16, "swinunetr": 64, "swinunet": 64}  # of patches; other networks want 32


@dataclass(frozen=True)
class Job:
    """Training steps of a method on a device, in each of its phases.

    Attributes:
        name: as it stands in tables.
        dims: 2 or 3.
        method: makes it.
        network: and whose settings.
        regularisers: name -> options.
        settings: of the training configuration.
        image_labels: whether images have labels to learn from.
        both: whether the method sees leaves and target.
    """

    name: str
    dims: int
    method: str = "supervised"
    options: Mapping[str, Any] = field(default_factory=dict)
    network: str = "unet"
    regularisers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    image_labels: bool = False
    both: bool = False

    def run(self, device: torch.device, precision: str, begin: Begin) -> Iterator[str]:
        """Train, and predict; yield the name of each phase."""
        method = make_method(
            self.method, SPEC, ("leaves", "target") if self.both else (), self.options
        )
        entry = NETWORKS.get(self.network)
        plan = small_plan(self.dims, EDGES.get(self.network, 32))
        wide = self.network in ("unet", "resenc-m", "resenc-l")
        context = BuildContext(
            plan, SPEC, SPEC.label_sets, self.network, {} if wide else {"features": (8, 16)},
            deep_supervision=entry.recipe.deep_supervision,
            teachers=teachers_of(plan, SPEC.tree.leaves, SPEC.tree.top)
            if method.needs_teachers
            else (),
        )  # fmt: skip
        config = make_config({"network": self.network, "steps": 20, **self.settings})
        for index, phase in enumerate(method.phases()):
            regularisers = build_regularisers(self.regularisers, context, method)
            term = None
            if self.image_labels:
                loss = ImageLabelLoss(method.cells, context.label_sets)
                term = ImageLabelTerm(method, loss, 1.0)
            batch = small_batch(phase, plan, image_labels=self.image_labels)
            train(
                method, context, config, batch, phase, index, device, precision, begin,
                regularisers=regularisers, image_label_term=term,
            )  # fmt: skip
            yield phase.name


@dataclass(frozen=True)
class Classification:
    """Training steps of a classifier."""

    name: str
    dims: int
    network: str

    def run(self, device: torch.device, precision: str, begin: Begin) -> Iterator[str]:
        cases = tuple("abcdef")
        edge = 64 if self.network in ("densenet121", "squeezenet") else 32
        context = ClassifierContext(
            small_plan(self.dims, edge), SPEC, SPEC.label_sets, deep_supervision=False, channels=1,
            classes=("no", "small", "large"), targets={c: i % 3 for i, c in enumerate(cases)},
        )  # fmt: skip
        y_net = self.network == "y-net"
        method = YNet((SPEC.target,)) if y_net else ImageClassifier(self.network)
        (phase,) = method.phases()
        batch = small_batch(phase, context.plan, cases=cases)
        train(
            method, context, make_config({"steps": 20}), batch, phase, 0, device, precision, begin
        )
        yield phase.name


@dataclass(frozen=True)
class Resume:
    """A step from optimiser states that lie on the CPU, as a checkpoint gives them."""

    name: str
    dims: int
    optimiser: str

    def run(self, device: torch.device, precision: str, begin: Begin) -> Iterator[str]:
        plan, method = small_plan(self.dims, 16), make_method("supervised", SPEC)
        config = make_config({"steps": 20, "optimiser": {"optimiser": self.optimiser}})
        context = BuildContext(plan, SPEC, SPEC.label_sets)
        (phase,) = method.phases()
        batch = small_batch(phase, plan)
        first = train(method, context, config, batch, phase, 0, device, precision, lambda: None)
        states = torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda t: t.cpu(), first.optimiser_state()
        )
        train(method, context, config, batch, phase, 0, device, precision, begin, states=states)
        yield "resumed"


@dataclass(frozen=True)
class Prediction:
    """Sliding windows over an image, mirrored, and features stitched together."""

    name: str
    dims: int
    method: str

    def run(self, device: torch.device, precision: str, begin: Begin) -> Iterator[str]:
        plan, method = small_plan(self.dims, 16), make_method(self.method, SPEC)
        networks = method.build(BuildContext(plan, SPEC, SPEC.label_sets)).to(device)
        networks.eval().requires_grad_(False)
        image = np.zeros((1, 2 if self.dims == 2 else 20, 16, 24), np.float32)
        begin()
        sliding_window(
            lambda x: method.probabilities(networks, x), image, plan.patch_size,
            mirror=tuple(range(self.dims)), batch=4, device=device, precision=precision,
        )  # fmt: skip
        yield "window"
        network = method.deployed(networks)
        begin()
        stitched_features(
            lambda x: network.encode(x)[-1], image, plan.patch_size, (4,) * self.dims,
            device=device, precision=precision,
        )  # fmt: skip
        yield "features"


@dataclass(frozen=True)
class Canvases:
    """A classifier's predictions."""

    name: str
    dims: int = 2

    def run(self, device: torch.device, precision: str, begin: Begin) -> Iterator[str]:
        context = ClassifierContext(
            small_plan(2, 16), SPEC, SPEC.label_sets, channels=1, classes=("no", "yes"),
            targets={"a": 1},
        )  # fmt: skip
        method = ImageClassifier("small")
        networks = method.build(context).to(device).eval()
        canvas = _Canvas(np.zeros((1, 1, 16, 16), np.float32))
        begin()
        predict_canvases(
            method, networks, {"a": canvas}, ["a"], device=str(device), precision=precision
        )
        yield "canvases"


@dataclass(frozen=True)
class _Canvas:
    image: np.ndarray


class Stepped(Engine):
    """The engine without a Lightning trainer around it."""

    def _optimisers(self) -> list[Any]:
        if not hasattr(self, "_made"):
            self._made = self.configure_optimizers()
        return self._made

    def manual_backward(self, loss: torch.Tensor, *_: Any, **__: Any) -> None:
        loss.backward()


def train(
    method: TrainableMethod,
    context: BuildContext,
    config: Any,
    batch: Batch,
    phase: Phase,
    index: int,
    device: torch.device,
    precision: str,
    begin: Begin,
    *,
    regularisers: torch.nn.ModuleDict | None = None,
    image_label_term: ImageLabelTerm | None = None,
    states: dict[str, Any] | None = None,
) -> Engine:
    """Take `STEPS` steps of one phase through the engine itself, and predict once."""
    networks = method.build(context)
    weights = Weights(networks, config.averaging)
    recipe: OptimiserRecipe = resolve_recipe(config)
    engine = Stepped(
        method, networks, regularisers or torch.nn.ModuleDict(), phase, index=index,
        pace=StepPace(20, 20), start=LOG_EVERY - STEPS, offset=0, recipe=recipe, config=config,
        optimiser_states=states, write=lambda *_: None, at_interval=lambda _: None,
        tick=weights.update, image_label_term=image_label_term,
    )  # fmt: skip
    engine.to(device).train()
    weights.update()  # on the device from here on
    begin()
    for _ in range(STEPS):
        moved = engine.transfer_batch_to_device(batch, device, 0)
        with autocast(device, precision):
            engine.training_step(moved, 0)
    with torch.no_grad(), autocast(device, precision):
        p = method.probabilities(networks.eval(), moved.image)
    assert p.device.type == device.type, p.device
    return engine


def small_plan(dims: int, edge: int) -> Plan:
    """Plan patches of three levels."""
    return plan_of((edge,) * dims, (4, 8, 8), batch_size=4, batch_dice=True)


def small_batch(
    phase: Phase, plan: Plan, *, image_labels: bool = False, cases: tuple[str, ...] = ()
) -> Batch:
    """Draw two items for each quota (or one a case), annotated as the quota asks."""
    quotas = [(q, q.where.get("scheme", "full")) for q in phase.quotas for _ in range(2)]
    schemes = [s if isinstance(s, str) else s[0] for _, s in quotas]  # type: ignore[index]
    silent = [q.where.get("labelled") is False or q.hidden for q, _ in quotas]
    schemes = ["none" if s else name for s, name in zip(silent, schemes, strict=True)]
    streams = tuple(q.name for q, _ in quotas)
    if cases:
        schemes, streams = ["full"] * len(cases), ("labelled",) * len(cases)
    n, (dims, space) = len(schemes), (plan.dims, plan.patch_size)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((n, 3, *(3,) * dims), generator=generator)
    coarse[:, 0] += 0.2
    mode = "bilinear" if dims == 2 else "trilinear"
    truth = F.interpolate(coarse, size=space, mode=mode).argmax(dim=1)
    annotation = torch.zeros_like(truth)
    for item, name in enumerate(schemes):
        if name != "none":
            numbers = SPEC.label_sets.label_set_ids(SPEC.scheme(name))
            annotation[item] = torch.tensor([numbers[v] for v in range(3)])[truth[item]]
    noise = torch.randn(truth.shape, generator=generator)
    batch = batch_of(
        (truth + 0.2 * noise)[:, None].float(), annotation, nodes=len(SPEC.tree.nodes),
        labelled=torch.tensor([s != "none" for s in schemes]), streams=streams,
        domain=tuple("ab"[i % 2] for i in range(n)), case=cases or tuple(map(str, range(n))),
    )  # fmt: skip
    if not image_labels:
        return batch
    batch.image_labels[:, list(SPEC.tree.nodes).index("heart")] = 1
    batch.annotation[:1] = 0
    return replace(batch, covers=torch.ones(n, dtype=torch.bool))


AnyJob = Job | Classification | Resume | Prediction | Canvases | DeviceBatches


def jobs() -> list[AnyJob]:
    """Return all of them, planes first."""
    return [job for dims in (2, 3) for job in _jobs(dims)]


def _jobs(dims: int) -> Iterator[AnyJob]:
    yield DeviceBatches("batches made on the device", dims)
    for name, options in (*((name, {}) for name in method_names()), *(OPTIONS * (dims == 2))):
        said = " ".join(f"{k}={v}" for k, v in options.items())
        yield Job(f"{name} {said}".strip(), dims, name, options)
    if dims == 3:
        yield from _in_space()
        return
    for asked in REGULARISERS:
        ((name, options),) = asked.items()
        said = " ".join(f"{k}={v}" for k, v in options.items())
        yield Job(f"supervised + {name} {said}".strip(), dims, regularisers=asked)
    mixed = {"discrepancy": {"warm_start": 0.0}}
    yield Job("cvbm + discrepancy", dims, "cvbm", regularisers=mixed)
    yield Job("supervised + image labels", dims, image_labels=True)
    yield Job("supervised on leaves and target", dims, both=True)
    yield Job("supervised, averaged weights", dims, settings={"averaging": 0.9})
    for optimiser in ("adam", "adamw", "muon"):
        settings = {"optimiser": {"optimiser": optimiser}}
        yield Job(f"supervised, {optimiser}", dims, settings=settings)
    for network in network_names():
        yield Job(f"network {network}", dims, network=network)
    for network in (*IMAGE_CLASSIFIERS, *SUMMARISERS, "y-net"):
        if network != "resnet101":  # resnet50, longer
            yield Classification(f"classifier {network}", dims, network)
    for method in ("supervised", "cvbm", "subclass"):
        yield Prediction(f"predict {method}", dims, method)
    for optimiser in ("sgd", "adam", "adamw", "muon"):
        yield Resume(f"resume {optimiser}", dims, optimiser)
    yield Canvases("predict canvases")


def _in_space() -> Iterator[AnyJob]:
    """Yield what volumes add to planes, beside the methods."""
    yield Job("supervised + discrepancy", 3, regularisers={"discrepancy": {"warm_start": 0.0}})
    yield Job("supervised + contrastive", 3, regularisers={"contrastive": {"region": 2}})
    yield Job("mean-teacher perturbation=strong", 3, "mean-teacher", {"perturbation": "strong"})
    yield Job("network resenc-m", 3, network="resenc-m")
    yield Classification("classifier small", 3, "small")
    yield Classification("classifier y-net", 3, "y-net")
    yield Prediction("predict supervised", 3, "supervised")
