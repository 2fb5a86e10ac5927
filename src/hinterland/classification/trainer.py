"""Training a classifier by the engine that trains segmentation, on whole images on a canvas."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from hinterland.classification.methods import Classifier, ClassifierContext
from hinterland.classification.scores.metrics import auroc
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.patches import PatchDataset, PreparedByName, collate
from hinterland.data.sampling.sampler import StepSampler, Stream
from hinterland.inference.window import autocast
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.training.batch_composition import share_out
from hinterland.training.checkpoint import load_checkpoint, save_checkpoint
from hinterland.training.config import TrainConfig
from hinterland.training.device import data_workers, resolve_accelerator, resolve_precision
from hinterland.training.engine import Engine
from hinterland.training.lightning import lightning_trainer
from hinterland.training.logbook import Logbook
from hinterland.training.optimisers import resolve_recipe
from hinterland.types import Case, HinterlandError

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ClassifierData:
    """What a classifier learns from: cases, canvases by case name, class indices by case name."""

    train: tuple[Case, ...]
    val: tuple[Case, ...]
    canvases: PreparedByName
    balanced: bool = False


class ClassifierTrainer:
    """Trains a classifier into `run/checkpoints`, from the last checkpoint or from nothing.

    The best checkpoint is that of the highest validation AUROC (mean over classes, one against the
    rest); without validation cases the last one.
    """

    def __init__(
        self,
        run: Path,
        classifier: Classifier,
        context: ClassifierContext,
        data: ClassifierData,
        config: TrainConfig,
        report: Report,
        recipe: OptimiserRecipe | None = None,
    ) -> None:
        if config.devices * config.nodes > 1:
            raise HinterlandError("classifiers train on one device: set devices and nodes to 1.")
        if context.plan.batch_size < 2:
            raise HinterlandError("batch_size 1: classifiers normalise by batch; set 2 or more.")
        self.run, self.classifier, self.context, self.data = run, classifier, context, data
        self.config, self.report = config, report
        self.accelerator = resolve_accelerator(config.accelerator)
        self.precision = resolve_precision(config.precision, self.accelerator)
        self.recipe = resolve_recipe(config, recipe)
        self.networks = classifier.build(context)
        self.step, self.best = 0, -np.inf
        self._states: dict[str, Any] | None = None
        self._message = ""

    def fit(self) -> nn.ModuleDict:
        """Train to the end; the networks with the best weights, in evaluation mode on the CPU."""
        if self.config.deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)
        last = self.run / "checkpoints" / "last.ckpt"
        if last.is_file():
            content = load_checkpoint(last)
            self.networks.load_state_dict(content["networks"])
            self.step, self.best = content["step"], content["best"]
            self._states = content["optimisers"]
        if self.step < self.config.steps:
            self._fit()
        best = load_checkpoint(self.run / "checkpoints" / "best.ckpt")
        self.networks.load_state_dict(best["networks"])
        return self.networks.cpu().eval().requires_grad_(False)

    def _fit(self) -> None:
        config, phase = self.config, self.classifier.phases()[0]
        logbook = Logbook(self.run, start=self.step)
        engine = Engine(
            self.classifier,
            self.networks,
            nn.ModuleDict(),
            phase,
            index=0,
            steps=config.steps,
            start=self.step,
            offset=0,
            recipe=self.recipe,
            config=config,
            optimiser_states=self._states,
            write=lambda step, values: logbook.write(phase.name, step, values),
            at_interval=lambda e: self._interval(e, logbook),
            tick=lambda: self.report(engine.step, config.steps, self._message),
        )
        left = config.steps - self.step
        trainer = lightning_trainer(config, self.accelerator, self.precision, left)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.fit(engine, datamodule=_Loaders(self))
        logbook.close()

    def _interval(self, engine: Engine, logbook: Logbook) -> None:
        score = np.nan
        if self.data.val:
            names = [case.name for case in self.data.val]
            self.networks.eval()
            found = predict_canvases(
                self.classifier, self.networks, self.data.canvases, names,
                device=str(engine.device), precision=self.precision,
            )  # fmt: skip
            self.networks.train()
            area = mean_auroc(found, self.context.targets)
            logbook.write(engine.phase.name, engine.step - 1, {"val/auroc": area})
            self._message = f"val AUROC {area:.3f}"
            score = selected(self.config.validation.select, area, found, self.context.targets)
        improved = not np.isfinite(score) or score > self.best
        self.best = score if np.isfinite(score) and improved else self.best
        content = {
            "step": engine.step,
            "best": float(self.best),
            "networks": self.networks.state_dict(),
            "optimisers": engine.optimiser_state(),
        }
        logbook.flush()
        if improved:
            save_checkpoint(self.run / "checkpoints" / "best.ckpt", content)
        save_checkpoint(self.run / "checkpoints" / "last.ckpt", content)

    def streams(self) -> tuple[Stream, ...]:
        """One stream of all training cases, or with `balanced` one of equal size for each class."""
        size, targets = self.context.plan.batch_size, self.context.targets
        names = tuple(case.name for case in self.data.train)
        if not self.data.balanced:
            return (Stream("labelled", names, size),)
        classes = sorted({targets[n] for n in names if n in targets})
        counts = share_out([1.0] * len(classes), size)
        return tuple(
            Stream("labelled", tuple(n for n in names if targets.get(n) == c), count)
            for c, count in zip(classes, counts, strict=True)
        )


class _Loaders(L.LightningDataModule):
    """Batches of canvases, an epoch being the steps between two validations."""

    def __init__(self, trainer: ClassifierTrainer) -> None:
        super().__init__()
        self._owner, self._first = trainer, trainer.step

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        owner, config, context = self._owner, self._owner.config, self._owner.context
        streams = owner.streams()
        items = PatchDataset(
            owner.data.train,
            owner.data.canvases,
            context.label_sets,
            dict(context.spec.schemes),
            streams,
            augment(context.plan, config.data.augmentation),
            seed=config.seed,
            foreground={},
        )
        start = self._first + self.trainer.current_epoch * config.interval
        sampler = StepSampler(
            streams, min(start + config.interval, config.steps), start=start, foreground_share=0.0
        )
        return DataLoader(
            items,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=data_workers(config, owner.accelerator),
        )


def predict_canvases(
    classifier: Classifier,
    networks: nn.ModuleDict,
    canvases: PreparedByName,
    names: Sequence[str],
    *,
    device: str = "cpu",
    precision: str = "fp32",
    batch: int = 16,
) -> dict[str, np.ndarray]:
    """Case -> probabilities (classes,) float64, by networks in evaluation mode on `device`."""
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(names), batch):
        part = names[start : start + batch]
        images = torch.stack([_canvas(canvases[name].image) for name in part]).to(device)
        with torch.inference_mode(), autocast(images.device, precision):
            p = classifier.probabilities(networks, images).double().cpu().numpy()
        found |= dict(zip(part, p, strict=True))
    return found


def _canvas(image: np.ndarray) -> torch.Tensor:
    """(C, z, y, x), without the z of a 2D canvas."""
    array = torch.from_numpy(np.array(image, dtype=np.float32))
    return array[:, 0] if array.shape[1] == 1 else array


def selected(
    select: str | None,
    area: float,
    probabilities: Mapping[str, np.ndarray],
    targets: Mapping[str, int],
) -> float:
    """Compute what the best checkpoint is best at; NaN for "last".

    AUROC, or the balanced accuracy of the most probable class (macro recall).
    """
    if select in (None, "auroc"):
        return area
    if select == "last":
        return float("nan")
    names = [n for n in probabilities if n in targets]
    truth = np.array([targets[n] for n in names])
    right = np.array([int(probabilities[n].argmax()) for n in names]) == truth
    return float(np.mean([right[truth == c].mean() for c in np.unique(truth)]))


def mean_auroc(probabilities: Mapping[str, np.ndarray], targets: Mapping[str, int]) -> float:
    """AUROC of each class against the rest, averaged over the classes that have both; of two
    classes, that of the second. NaN where none has both.
    """
    names = [n for n in probabilities if n in targets]
    if not names:
        return float("nan")
    scores = np.stack([probabilities[n] for n in names])
    truth = np.array([targets[n] for n in names])
    classes = (1,) if scores.shape[1] == 2 else range(scores.shape[1])
    values = [auroc((truth == c).astype(int), scores[:, c]) for c in classes]
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")
