"""Training a classifier by the engine that trains segmentation, on whole images on a canvas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hinterland.classification.dataset.answers import Target, holds
from hinterland.classification.methods import Classifier, ClassifierContext
from hinterland.classification.scores.metrics import auroc
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.patches import PatchDataset, PreparedByName
from hinterland.data.sampling.sampler import Stream
from hinterland.inference.forward import autocast
from hinterland.networks.pretrained import load_pretrained
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.training.config import TrainConfig
from hinterland.training.loop.batch_composition import share_out
from hinterland.training.loop.engine import Engine
from hinterland.training.loop.trainer import Report, Trainer, Validation
from hinterland.training.optimisation.recipes import with_recipe
from hinterland.types import Case, HinterlandError


@dataclass(frozen=True)
class ClassifierData:
    """What a classifier learns from: cases, canvases by case name, class indices by case name."""

    train: tuple[Case, ...]
    val: tuple[Case, ...]
    canvases: PreparedByName
    balanced: bool = False


class ClassifierTrainer(Trainer):
    """Trains a classifier into `run/checkpoints`, from the last checkpoint or from nothing.

    The best checkpoint is that of the highest validation AUROC (mean over classes, one against the
    rest); without validation cases the last one.
    """

    method: Classifier
    context: ClassifierContext

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
        super().__init__(run, classifier, context, with_recipe(config), report, recipe)
        self.data = data
        self.streams = [streams_by_class(data, context)]

    def begin(self) -> None:
        if self.config.pretrained:
            load_pretrained(self.networks, self.config.pretrained)

    def patches(self, phase: int) -> tuple[PatchDataset, ...]:
        whole = PatchDataset(
            self.data.train,
            self.data.canvases,
            self.context.label_sets,
            dict(self.context.spec.schemes),
            self.streams[phase],
            augment(self.context.plan, self.config.data.augmentation),
            seed=self.config.seed,
            phase=phase,
            foreground={},
        )
        return (whole,)

    def assess(self, engine: Engine) -> Validation | None:
        if not self.data.val:
            return None
        names = [case.name for case in self.data.val]
        networks = self.weights.deployed.eval()
        found = predict_canvases(
            self.method, networks, self.data.canvases, names,
            device=str(engine.device), precision=self.precision,
        )  # fmt: skip
        networks.train()
        area = mean_auroc(found, self.context.targets)
        score = selected(self.config.validation.select, area, found, self.context.targets)
        return Validation(score, {"val/auroc": area}, f"val AUROC {area:.3f}")


def streams_by_class(data: ClassifierData, context: ClassifierContext) -> tuple[Stream, ...]:
    """Return one stream of all training cases, or with `balanced` an equal one for each class.

    Of findings that is a stream of the cases that hold each, and one of those that hold none.

    Raises:
        HinterlandError: a batch is too small to hold an item of each.
    """
    size, targets = context.plan.batch_size, context.targets
    names = tuple(case.name for case in data.train)
    if not data.balanced:
        return (Stream("labelled", names, size),)
    known = [n for n in names if n in targets]
    parts = [
        tuple(n for n in known if holds(targets[n], i) == 1) for i in range(len(context.classes))
    ]
    parts.append(tuple(n for n in known if not any(n in part for part in parts)))
    parts = [part for part in parts if part]
    if len(parts) > size:
        raise HinterlandError(
            f"--balanced draws from {len(parts)} classes, but a batch has {size} images. Give "
            f"--set batch_size={len(parts)} or more, or leave --balanced away."
        )
    counts = share_out([1.0] * len(parts), size)
    return tuple(Stream("labelled", part, count) for part, count in zip(parts, counts, strict=True))


def predict_canvases(
    classifier: Classifier,
    networks: nn.Module,
    canvases: PreparedByName,
    names: Sequence[str],
    *,
    device: str = "cpu",
    precision: str = "fp32",
    batch: int = 16,
) -> dict[str, np.ndarray]:
    """Predict images on their canvas, by networks in evaluation mode.

    Args:
        classifier: how networks are asked.
        networks: its networks.
        canvases: the images by name.
        names: which of them.
        device: of the networks.
        precision: "fp32" or "bf16".
        batch: images at a time.

    Returns:
        Case -> probabilities (classes,), float64.
    """
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(names), batch):
        part = names[start : start + batch]
        images = torch.stack([_canvas(canvases[name].image) for name in part]).to(device)
        with torch.inference_mode(), autocast(images.device, precision):
            p = classifier.probabilities(networks, images).cpu().double().numpy()
        found |= dict(zip(part, p, strict=True))
    return found


def _canvas(image: np.ndarray) -> torch.Tensor:
    """Return (C, z, y, x), without the z of a 2D canvas."""
    array = torch.from_numpy(np.array(image, dtype=np.float32))
    return array[:, 0] if array.shape[1] == 1 else array


def selected(
    select: str | None,
    area: float,
    probabilities: Mapping[str, np.ndarray],
    targets: Mapping[str, Target],
) -> float:
    """Compute what the best checkpoint is best at; NaN for "last".

    AUROC, or the balanced accuracy of the most probable class (macro recall); of findings the mean
    of each one's balanced accuracy, called from 0.5 on.

    Args:
        select: "auroc", "balanced-accuracy" or "last"; None is "auroc".
        area: the AUROC.
        probabilities: case -> (classes,).
        targets: case -> answer.

    Returns:
        The score.
    """
    if select in (None, "auroc"):
        return area
    if select == "last":
        return float("nan")
    truth, scores, independent = _table(probabilities, targets)
    one = np.eye(scores.shape[1], dtype=bool)[scores.argmax(axis=1)]
    called = scores >= 0.5 if independent else one
    right = called == (truth == 1)
    answers = (0, 1) if independent else (1,)
    shares = [right[truth[:, i] == y, i] for i in range(truth.shape[1]) for y in answers]
    return float(np.mean([share.mean() for share in shares if share.size]))


def mean_auroc(probabilities: Mapping[str, np.ndarray], targets: Mapping[str, Target]) -> float:
    """Return the mean AUROC of each class against the rest.

    It is averaged over the classes that have both positive and negative images; of two classes that
    exclude each other, it is that of the second.

    Args:
        probabilities: image -> (classes,) probabilities.
        targets: image -> answer.

    Returns:
        AUROC in 0..1; NaN where no class has both.
    """
    if not any(n in targets for n in probabilities):
        return float("nan")
    truth, scores, independent = _table(probabilities, targets)
    two = scores.shape[1] == 2 and not independent
    found = []
    for i in (1,) if two else range(scores.shape[1]):
        known = np.isfinite(truth[:, i])
        found.append(auroc(truth[known, i].astype(int), scores[known, i]))
    finite = [v for v in found if np.isfinite(v)]
    return float(np.mean(finite)) if finite else float("nan")


def _table(
    probabilities: Mapping[str, np.ndarray], targets: Mapping[str, Target]
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return truth (1, 0, NaN) and probabilities, (images, classes), and whether they are findings.

    Images without an answer are left out.
    """
    names = [n for n in probabilities if n in targets]
    scores = np.stack([probabilities[n] for n in names])
    rows = [[holds(targets[n], i) for i in range(scores.shape[1])] for n in names]
    return np.array(rows, float), scores, isinstance(targets[names[0]], tuple)
