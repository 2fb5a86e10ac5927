"""A trained classifier at work: from a preprocessed image to scores and the mask behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hinterland.classification.canvas import CanvasCase, on_canvas
from hinterland.classification.fitting.rule import MaskCounts, T, scaled_tau
from hinterland.classification.methods import (
    Classifier,
    ClassifierContext,
    ImageClassifier,
    YNet,
)
from hinterland.classification.record import ClassifierRecord
from hinterland.classification.source import EMBEDDINGS, IMAGES, Frozen, members_of
from hinterland.classification.trainer import predict_canvases
from hinterland.labels import Coarsening, LabelError, common_refinement
from hinterland.networks.recipes import OptimiserRecipe, classifier_recipe
from hinterland.training.checkpoint import load_networks
from hinterland.training.config import make_config
from hinterland.training.device import resolve_accelerator
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError, Plan

RULE, Y_NET = "rule", "y-net"


def make_classifier(record: ClassifierRecord) -> Classifier:
    """Make the recipe of a trained classifier or summarising function."""
    if record.by == Y_NET:
        return YNet((record.spec.target,), independent=record.task.independent)
    return ImageClassifier(record.by, record.task.independent)


def recipe_of(record: ClassifierRecord) -> OptimiserRecipe:
    """Look up how it is trained unless the user says otherwise."""
    return classifier_recipe(record.by)


def build_context(record: ClassifierRecord, plan: Plan, channels: int) -> ClassifierContext:
    """Describe what the classifier is built for.

    Args:
        record: of the classifier.
        plan: that of the canvas.
        channels: of the network's input.

    Returns:
        The context.
    """
    config = make_config(record.settings)
    return ClassifierContext(
        plan=plan,
        spec=record.spec,
        label_sets=record.spec.label_sets,
        network=config.network,
        network_options=config.network_options,
        deep_supervision=False,
        seed=config.seed,
        channels=channels,
        classes=record.task.classes,
        targets=record.targets,
    )


@dataclass(frozen=True)
class ClassifierOutput:
    """What a classifier says of one image.

    scores (classes,): of each class against the rest, each in [0, 1]. masks: class index ->
    probability map (z, y, x) of the preprocessed image, for classes that a mask can show.
    """

    scores: np.ndarray
    masks: Mapping[int, np.ndarray]


@dataclass(frozen=True)
class ClassifierModel:
    """A classifier from its directory. `rules`: class index -> (t, tau), for the rule."""

    path: Path
    record: ClassifierRecord
    rules: Mapping[int, tuple[float, int]]

    @cached_property
    def frozen(self) -> Frozen | None:
        """The segmentation run behind it, if there is one.

        Raises:
            HinterlandError: the run is no longer there.
        """
        if not self.record.run:
            return None

        run = Path(self.record.run)
        if not (run / "config.yaml").is_file():
            raise HinterlandError(
                f"{self.path} summarises the segmentation run {run}, which is no longer there. "
                "Put it back."
            )
        return Frozen(Run(run))

    @cached_property
    def canvas_plan(self) -> Plan:
        """The plan of the canvas, as training wrote it."""
        return Plan.from_json((self.path / "canvas.json").read_text(encoding="utf-8"))

    @cached_property
    def _trained(self) -> tuple[Classifier, Any, str]:
        plan = self.canvas_plan
        classifier = make_classifier(self.record)
        networks = classifier.build(build_context(self.record, plan, len(plan.channels)))
        load_networks(networks, self.path / "checkpoints" / "best.ckpt")
        device = resolve_accelerator(make_config(self.record.settings).accelerator)
        return classifier, networks.eval().requires_grad_(False).to(device), device

    def predict(self, image: np.ndarray) -> ClassifierOutput:
        """Classify one preprocessed image (C, z, y, x): scores and masks."""
        record = self.record
        cells = None if self.frozen is None else self.frozen.masks(image)
        masks = {} if cells is None else self._by_class(cells)
        if record.by == RULE:
            counts = {i: MaskCounts.of(mask, (self.rules[i][0],)) for i, mask in masks.items()}
            return ClassifierOutput(self.by_rule(counts), masks)
        classifier, networks, device = self._trained
        seen = image if record.source == IMAGES else cells
        if record.source == EMBEDDINGS:
            assert self.frozen is not None
            seen = self.frozen.embedding(image, record.layer)
        assert seen is not None
        canvas = self._canvas(seen)
        found = predict_canvases(
            classifier, networks, {"": CanvasCase(canvas)}, [""], device=device
        )[""]
        if record.by == Y_NET:
            masks = self._y_net_masks(canvas, image.shape[1:])
        return ClassifierOutput(found, masks)

    def _canvas(self, array: np.ndarray) -> np.ndarray:
        size = self.canvas_plan.patch_size
        if self.record.source != IMAGES:  # as it was stored in training
            return on_canvas(array, size).astype(np.float16).astype(np.float32)
        return on_canvas(array, size)

    def _by_class(self, cells: np.ndarray) -> dict[int, np.ndarray]:
        assert self.frozen is not None
        found = {}
        for index, node in enumerate(self.record.task.nodes):
            if node is not None:
                try:
                    found[index] = self.frozen.of_node(cells, node)
                except LabelError:  # it classifies without a mask that shows why
                    continue
        return found

    def by_rule(self, counts: Mapping[int, MaskCounts]) -> np.ndarray:
        """Score each class by the rule, from the counts of its mask; (classes,)."""
        return self.joined({i: found.score(*self.rules[i]) for i, found in counts.items()})

    def joined(self, scores: Mapping[int, float]) -> np.ndarray:
        """Put the scores of classes that have a mask into one array (classes,).

        A class without a mask has what the most probable other one leaves; findings have one each.
        """
        rest = 1 - max(scores.values())
        return np.array([scores.get(i, rest) for i in range(len(self.record.task.classes))])

    def _y_net_masks(self, canvas: np.ndarray, shape: tuple[int, ...]) -> dict[int, np.ndarray]:

        classifier, networks, device = self._trained
        assert isinstance(classifier, YNet)
        image = torch.from_numpy(canvas)
        image = image[:, 0] if image.shape[1] == 1 else image
        with torch.inference_mode():
            cells = classifier.voxel_probabilities(networks, image[None].to(device))[0].cpu()
        array = cells.numpy().reshape(len(cells), *canvas.shape[1:])
        known = common_refinement(classifier.on)
        found = {}
        for index in showing(self.record, known):
            node = self.record.task.nodes[index]
            assert node is not None
            map_ = array[members_of(known, node)].sum(axis=0)
            found[index] = on_canvas(map_[None], shape)[0].clip(0, 1)
        return found

    def threshold(self, index: int) -> float:
        """Look up the t at which a class's mask is cut."""
        return self.rules[index][0] if index in self.rules else T

    def tau(self, index: int, shape: Sequence[int]) -> int:
        """Look up how many voxels of a mask (..., y, x) make a class present."""
        return self.rules[index][1] if index in self.rules else scaled_tau([shape])


def showing(record: ClassifierRecord, cells: Coarsening) -> list[int]:
    """List the classes whose mask these cells can show."""
    found = []
    for index, node in enumerate(record.task.nodes):
        if node is not None:
            try:
                members_of(cells, node)
            except LabelError:
                continue
            found.append(index)
    return found
