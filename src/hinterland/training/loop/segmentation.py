"""Training a segmentation method: patches of volumes, whole volumes for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hinterland.data.dataset.subsets import present_nodes
from hinterland.data.preprocessing.cache import Prepared
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.growth import growing_sizes
from hinterland.data.sampling.label_sets import foreground_values
from hinterland.data.sampling.patches import PatchDataset
from hinterland.data.sampling.sampler import Stream
from hinterland.evaluation.statistics.take_off import VALIDATION_DICE
from hinterland.inference.volumes import Predictor, WindowOptions
from hinterland.losses.image_label import ImageLabelLoss
from hinterland.methods import Method, Teacher
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.networks import patch_multiple
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.config import shortcut_cases
from hinterland.training.device import window_batch
from hinterland.training.loop.batch_composition import streams_for
from hinterland.training.loop.engine import Engine
from hinterland.training.loop.image_label_term import ImageLabelTerm
from hinterland.training.loop.trainer import Report, Trainer, Validation
from hinterland.training.runs.context import build_context
from hinterland.training.runs.record import RunRecord
from hinterland.training.validation.hidden_labels import hidden_cases, teacher_dice
from hinterland.training.validation.selection import Presence, require_presence, selection_score
from hinterland.training.validation.validate import mean_score, validate
from hinterland.types import Case, Dataset, Plan

INITIAL = Path("checkpoints") / "initial.ckpt"
"""The weights to begin with, of a run that starts from another one."""


class SegmentationTrainer(Trainer):
    """Trains the run of a record, which says all it needs."""

    method: Method

    def __init__(
        self,
        run: Path,
        record: RunRecord,
        dataset: Dataset,
        prepared: Prepared,
        report: Report,
        teachers: tuple[Teacher, ...] = (),
    ) -> None:
        context = build_context(record, teachers)
        super().__init__(run, record.make_method(), context, record.train, report)
        self.record, self.dataset, self.prepared = record, dataset, prepared
        self.spec = record.spec
        self.regularisers = build_regularisers(self.config.regularisers, self.context, self.method)
        self.image_label_term = self._image_label_term()
        self.streams = streams_of_run(record, dataset, prepared)
        self.foreground_share = self.config.data.foreground
        self.returns_to_best = record.selection == "val"
        self._presences: dict[str, dict[str, Presence]] = {}

    def validations_to_come(self) -> float:
        """Return how many validations the predictions after training take as long as.

        Cases that are reported are predicted with mirroring, by one checkpoint or by two. Whether
        the last checkpoint is the best too is not known before the end: half of one is reserved
        for the other. What shortcuts change is measured on validation cases, if it is asked for.
        """
        split, options = self.record.split, self.config.validation
        told = split["test"] if self.record.fold in ("fixed", "all") else split["val"]
        copies = 2**self.record.plan.dims if options.mirror else 1
        predicted = (1.5 if self.record.selection == "val" else 1) * len(told)
        if self.context.teachers:  # all of them, their mean and the student, side by side
            predicted += self._beside() * (len(split["val"]) + len(split["test"]))
        measured = min(shortcut_cases(self.config), len(split["val"]))  # plain, mirrored, fast
        each = 1 + 2**self.record.plan.dims + copies
        return (copies * predicted + each * measured) / max(len(split["val"]), 1)

    def _beside(self) -> float:
        """Return how many times as long as the student all models take that are laid beside it.

        Time goes with the weights of a network.
        """
        own = sum(p.numel() for p in self.networks.parameters())
        others = sum(p.numel() for t in self.context.teachers for p in t.networks.parameters())
        return 1 + 2 * others / own

    def begin(self) -> None:
        if (self.run / INITIAL).is_file():
            self.networks.load_state_dict(load_checkpoint(self.run / INITIAL)["networks"])

    def patches(self, phase: int) -> tuple[PatchDataset, ...]:
        plan = self.record.plan
        sizes: tuple[tuple[int, ...], ...] = (plan.patch_size,)
        if self.config.data.growing:
            multiple = patch_multiple(self.config.network, plan)
            sizes = growing_sizes(plan.patch_size, multiple)
        return tuple(self._patches(phase, replace(plan, patch_size=size)) for size in sizes)

    def _patches(self, phase: int, plan: Plan) -> PatchDataset:
        config, schemes = self.config, dict(self.spec.schemes)
        on = (self.spec.target,) if config.data.foreground_on == "target" else self.method.on
        return PatchDataset(
            self.record.cases(self.dataset, "train"),
            self.prepared,
            self.context.label_sets,
            schemes,
            self.streams[phase],
            augment(plan, config.data.augmentation),
            seed=config.seed,
            phase=phase,
            foreground={name: foreground_values(s, *on) for name, s in schemes.items()},
        )

    def assess(self, engine: Engine) -> Validation | None:
        scores, sure = self._validate(engine)
        if not scores and not self._presences:
            return None
        dice, means = mean_score(scores)
        select = self.config.validation.select or "dice"
        require_presence(select, self._presences)
        score = selection_score(select, dice, self._presences)
        values = {VALIDATION_DICE: dice, **{f"{VALIDATION_DICE}/{k}": v for k, v in means.items()}}
        if select not in ("dice", "last"):
            values[f"val/{select}"] = score
        values |= {f"val/{k}": v for k, v in mean_score(sure)[1].items()}
        taught = self._validate_teacher(engine)
        if taught is not None:
            values["val/teacher/dice"] = taught
        return Validation(score, values, f"val Dice {dice:.3f}")

    def _image_label_term(self) -> ImageLabelTerm | None:
        """Make the term for positive image labels, where a training case has one."""
        weight = self.config.image_label_weight
        positive = any(1 in labels.values() for labels in self.record.image_labels.values())
        if not positive or not weight:
            return None
        loss = ImageLabelLoss(self.method.cells, self.context.label_sets)
        return ImageLabelTerm(self.method, loss, weight)

    def _validate(
        self, engine: Engine
    ) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
        """Return scores and confidence of all validation cases; each process predicts its share.

        Where the best checkpoint is chosen by image labels, note what images hold, too.
        """
        trainer = engine.trainer
        cases = self.record.cases(self.dataset, "val")[trainer.global_rank :: trainer.world_size]
        networks = self.weights.deployed.eval()
        by_image = self.config.validation.select in ("auroc", "balanced-accuracy")
        presences: dict[str, dict[str, Presence]] = {}
        scores, sure = validate(
            self.predictor(engine.device, mirror=False), cases, self.prepared, self.spec,
            self.context.label_sets, self.spec.target, presences if by_image else None,
        )  # fmt: skip
        networks.train()
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, (scores, sure, presences))
            scores, sure, presences = (
                {k: v for part in parts for k, v in part[i].items()} for i in (0, 1, 2)
            )
        self._presences = presences
        return scores, sure

    def _validate_teacher(self, engine: Engine) -> float | None:
        """Return the Dice of the teacher on hidden labels, for the log; None without any."""
        most = self.config.validation.hidden
        teacher = self.method.teacher_of(self.networks)
        cases = hidden_cases(self.record, self.dataset, most) if teacher else []
        if not teacher or not cases or engine.trainer.global_rank:
            return None
        self.networks.eval()
        predictor = self.predictor(engine.device, mirror=False)
        found = teacher_dice(teacher, predictor, cases, self.prepared, self.spec)
        self.networks.train()
        return found

    def predictor(self, device: torch.device | str, *, mirror: bool) -> Predictor:
        """Make a predictor of volumes from the current networks."""
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
    """Return the streams that the batches of each phase are drawn from.

    Args:
        record: the run.
        dataset: its data set.
        prepared: the preprocessed training cases.

    Returns:
        One tuple of streams a phase.

    Raises:
        HinterlandError: a phase cannot be trained with the run's training cases; see `streams_for`.
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
    """Find the unlabelled cases with a positive image label whose whole image fits into a patch."""
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
