"""Training a segmentation method: patches of volumes, whole volumes for validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hinterland.data.dataset.subsets import present_nodes
from hinterland.data.preprocessing.cache import Prepared
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.label_sets import foreground_values
from hinterland.data.sampling.patches import PatchDataset
from hinterland.data.sampling.sampler import Stream
from hinterland.inference.volumes import Predictor, WindowOptions
from hinterland.losses.image_label import ImageLabelLoss
from hinterland.methods import BuildContext, Method
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.training.batch_composition import streams_for
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.device import window_batch
from hinterland.training.engine import Engine
from hinterland.training.image_label_term import ImageLabelTerm
from hinterland.training.optimisers import resolve_recipe
from hinterland.training.record import RunRecord
from hinterland.training.trainer import Report, Trainer, Validation
from hinterland.training.validate import mean_score, validate
from hinterland.types import Case, Dataset

INITIAL = Path("checkpoints") / "initial.ckpt"
"""The weights to begin with, of a run that starts from another one."""


class SegmentationTrainer(Trainer):
    """Trains the run of a record, which says all it needs."""

    method: Method

    def __init__(
        self, run: Path, record: RunRecord, dataset: Dataset, prepared: Prepared, report: Report
    ) -> None:
        context = build_context(record)
        super().__init__(run, record.make_method(), context, record.train, report)
        self.record, self.dataset, self.prepared = record, dataset, prepared
        self.spec = record.spec
        self.regularisers = build_regularisers(self.config.regularisers, self.context, self.method)
        self.image_label_term = self._image_label_term()
        self.streams = streams_of_run(record, dataset, prepared)
        self.foreground_share = self.config.data.foreground
        self.returns_to_best = record.selection == "val"

    def begin(self) -> None:
        if self.record.init_from:
            self.networks.load_state_dict(load_checkpoint(self.run / INITIAL)["networks"])

    def patches(self, phase: int) -> PatchDataset:
        config, schemes = self.config, dict(self.spec.schemes)
        on = (self.spec.target,) if config.data.foreground_on == "target" else self.method.on
        return PatchDataset(
            self.record.cases(self.dataset, "train"),
            self.prepared,
            self.context.label_sets,
            schemes,
            self.streams[phase],
            augment(self.record.plan, config.data.augmentation),
            seed=config.seed,
            phase=phase,
            foreground={name: foreground_values(s, *on) for name, s in schemes.items()},
        )

    def assess(self, engine: Engine) -> Validation | None:
        scores, sure = self._validate(engine)
        if not scores:
            return None
        score, means = mean_score(scores)
        values = {"val/dice": score, **{f"val/dice/{k}": v for k, v in means.items()}}
        values |= {f"val/{k}": v for k, v in mean_score(sure)[1].items()}
        return Validation(score, values, f"val Dice {score:.3f}")

    def _image_label_term(self) -> ImageLabelTerm | None:
        """The term for positive image labels, where a training case has one."""
        weight = self.config.image_label_weight
        positive = any(1 in labels.values() for labels in self.record.image_labels.values())
        if not positive or not weight:
            return None
        loss = ImageLabelLoss(self.method.cells, self.context.label_sets)
        return ImageLabelTerm(self.method, loss, weight)

    def _validate(
        self, engine: Engine
    ) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
        """Scores and confidence of all validation cases; each process predicts its share."""
        trainer = engine.trainer
        cases = self.record.cases(self.dataset, "val")[trainer.global_rank :: trainer.world_size]
        networks = self.weights.deployed.eval()
        found = validate(
            self.predictor(engine.device, mirror=False), cases, self.prepared, self.spec,
            self.context.label_sets, self.spec.target,
        )  # fmt: skip
        networks.train()
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, found)
            scores, sure = ({k: v for part in parts for k, v in part[i].items()} for i in (0, 1))
            return scores, sure
        return found

    def predictor(self, device: torch.device | str, *, mirror: bool) -> Predictor:
        """The current networks as a predictor of volumes."""
        plan = self.record.plan
        options = WindowOptions(
            mirror=tuple(range(plan.dims)) if mirror else (),
            overlap=self.config.validation.overlap,
            batch=window_batch(self.config, plan.patch_size, str(device)),
            device=str(device),
            precision=self.precision,
        )
        return Predictor(
            lambda x: self.method.probabilities(self.weights.deployed, x),
            plan,
            self.method.cells,
            options,
        )


def streams_of_run(
    record: RunRecord, dataset: Dataset, prepared: Prepared
) -> list[tuple[Stream, ...]]:
    """What the batches of each phase are drawn from.

    Raises HinterlandError where a phase cannot be trained with the run's training cases; see
    `streams_for`.
    """
    cases = record.cases(dataset, "train")
    config, bags = record.train, _bags(record, cases, prepared)
    return [
        streams_for(
            phase, cases, record.plan.batch_size, by_domain=config.data.by_domain, bags=bags
        )
        for phase in record.make_method().phases()
    ]


def _bags(record: RunRecord, cases: Sequence[Case], prepared: Prepared) -> frozenset[str]:
    """Unlabelled cases with a positive image label whose whole image fits into a patch."""
    if not record.train.image_label_weight:
        return frozenset()
    nodes, patch = record.spec.tree.nodes, record.plan.patch_size
    full = (1,) * (3 - len(patch)) + tuple(patch)
    return frozenset(
        c.name
        for c in cases
        if not c.labelled
        and present_nodes(c, nodes)
        and np.less_equal(prepared[c.name].image.shape[1:], full).all()
    )


def build_context(record: RunRecord) -> BuildContext:
    """What the method of a run is built for."""
    config = record.train
    supervision = config.deep_supervision
    return BuildContext(
        plan=record.plan,
        spec=record.spec,
        label_sets=record.spec.label_sets,
        network=config.network,
        network_options=config.network_options,
        deep_supervision=resolve_recipe(config).deep_supervision
        if supervision is None
        else supervision,
        batch_dice=record.plan.batch_dice,
        seed=config.seed,
        loss=config.loss,
    )
