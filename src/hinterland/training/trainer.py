"""Training a run from its last checkpoint, or from nothing, to its end."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from hinterland.data.dataset.subsets import present_nodes
from hinterland.data.preprocessing.cache import Prepared
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.label_sets import foreground_values
from hinterland.data.sampling.patches import PatchDataset, collate
from hinterland.data.sampling.sampler import StepSampler, Stream
from hinterland.inference.volumes import Predictor, WindowOptions
from hinterland.losses.image_label import ImageLabelLoss
from hinterland.methods import BuildContext, Method
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.training.batch_composition import streams_for
from hinterland.training.checkpoint import load_checkpoint, save_checkpoint
from hinterland.training.device import (
    data_workers,
    process_rank,
    resolve_accelerator,
    resolve_precision,
    window_batch,
)
from hinterland.training.engine import Engine
from hinterland.training.hidden_labels import hidden_cases, teacher_dice
from hinterland.training.lightning import lightning_trainer
from hinterland.training.logbook import Logbook
from hinterland.training.optimisers import resolve_recipe
from hinterland.training.record import RunRecord
from hinterland.training.validate import mean_score, validate
from hinterland.types import Case, Dataset

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]
INITIAL = Path("checkpoints") / "initial.ckpt"
"""The weights to begin with, of a run that starts from another one."""


@dataclass
class Position:
    """Where training stands. `best` is (score, global step) of the phase's best validation.

    Each phase has a best of its own: what is reported is the method's last phase, and weights of
    pre-training are not.
    """

    phase: int = 0
    step: int = 0
    best: tuple[float, int] | None = None


class Trainer:
    """Takes a run through its phases, one object a process. The record says all it needs."""

    def __init__(
        self, run: Path, record: RunRecord, dataset: Dataset, prepared: Prepared, report: Report
    ) -> None:
        self.run, self.record, self.dataset, self.prepared = run, record, dataset, prepared
        self.report = report
        self.config, self.spec = record.train, record.spec
        self.method: Method = record.make_method()
        self.accelerator = resolve_accelerator(self.config.accelerator)
        self.precision = resolve_precision(self.config.precision, self.accelerator)
        self.recipe = resolve_recipe(self.config)
        self.context = build_context(record)
        self.networks = self.method.build(self.context)
        self.regularisers = build_regularisers(self.config.regularisers, self.context, self.method)
        self.streams = streams_of_run(record, dataset, prepared)
        self.position = Position()
        self._states: dict[str, Any] | None = None
        self._message = ""

    def fit(self) -> None:
        """Train from the last checkpoint (if there is one) to the end of the last phase."""
        if self.config.deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)
        phases = self.method.phases()
        lengths = phase_steps([p.share for p in phases], self.config.steps)
        if (self.run / "checkpoints" / "last.ckpt").is_file():
            self._restore(load_checkpoint(self.run / "checkpoints" / "last.ckpt"), lengths)
        elif self.record.init_from:
            self.networks.load_state_dict(load_checkpoint(self.run / INITIAL)["networks"])
        while self.position.phase < len(phases):
            self._fit_phase(self.position.phase, lengths)

    def _fit_phase(self, index: int, lengths: list[int]) -> None:
        phase = self.method.phases()[index]
        offset = sum(lengths[:index])
        returns = phase.start_from == "best" and self.record.selection == "val"
        if self.position.step == 0 and index > 0 and returns:
            self._load_weights(load_checkpoint(self.run / "checkpoints" / "best.ckpt"))
        trainer = self._lightning(lengths[index])
        logbook = None
        if trainer.global_rank == 0:
            logbook = Logbook(self.run, start=offset + self.position.step)
        engine = Engine(
            self.method,
            self.networks,
            self.regularisers,
            phase,
            index=index,
            steps=lengths[index],
            start=self.position.step,
            offset=offset,
            recipe=self.recipe,
            config=self.config,
            optimiser_states=self._states,
            write=lambda step, values: logbook.write(phase.name, step, values) if logbook else None,
            at_interval=lambda e: self._interval(e, logbook),
            tick=lambda: self.report(offset + engine.step, self.config.steps, self._message),
            bag=self._bag_term(),
        )
        data = _Loaders(self, index, lengths[index])
        if self.position.step < lengths[index]:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="lightning")
                trainer.fit(engine, datamodule=data)
        if logbook:
            logbook.close()
        self.position = Position(index + 1, 0, None)
        self._states = None

    def _bag_term(self) -> ImageLabelLoss | None:
        """The term for positive image labels, where a training case has one."""
        positive = any(1 in labels.values() for labels in self.record.image_labels.values())
        wanted = positive and self.config.bag_weight > 0
        return ImageLabelLoss(self.method.cells, self.context.label_sets) if wanted else None

    def _lightning(self, steps: int) -> L.Trainer:
        left = max(steps - self.position.step, 0)
        return lightning_trainer(self.config, self.accelerator, self.precision, left)

    def _interval(self, engine: Engine, logbook: Logbook | None) -> None:
        """Validate, log, and save: last always, best where the mean Dice is the phase's highest."""
        scores, sure = self._validate(engine)
        taught = self._validate_teacher(engine)
        best = self._comparable(engine, self.position.best)
        if engine.trainer.global_rank == 0:
            score, means = mean_score(scores)
            at = engine.offset + engine.step
            if scores:
                values = {"val/dice": score, **{f"val/dice/{k}": v for k, v in means.items()}}
                values |= {f"val/{k}": v for k, v in mean_score(sure)[1].items()}
                if logbook:
                    logbook.write(engine.phase.name, at - 1, values)
                self._message = f"val Dice {score:.3f}"
                log.info("step %d: val Dice %.4f", at, score)
            if taught is not None and logbook:
                logbook.write(engine.phase.name, at - 1, {"val/teacher/dice": taught})
            improved = not scores or best is None or score > best[0]
            if improved:
                best = (score, at)
            self.position = Position(engine.index, engine.step, best)
            if logbook:
                logbook.flush()
            content = self._content(engine)
            # Last first: `_restore` mends a kill after it. Best first, a kill could leave best.ckpt
            # a phase ahead, and the resumed run would begin that phase with weights from inside it.
            save_checkpoint(self.run / "checkpoints" / "last.ckpt", content)
            if improved:
                save_checkpoint(self.run / "checkpoints" / "best.ckpt", content)
        else:
            self.position = Position(engine.index, engine.step, best)
        engine.trainer.strategy.barrier()

    @staticmethod
    def _comparable(engine: Engine, best: tuple[float, int] | None) -> tuple[float, int] | None:
        """The best so far, unless a regulariser has begun to act since: its weights are then those
        of another loss, and the run would report them as what the regulariser does."""
        if best is None:
            return None
        before, now = (engine.acting(step - 1) for step in (best[1] - engine.offset, engine.step))
        return best if before == now else None

    def _validate(
        self, engine: Engine
    ) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
        """Scores and confidence of all validation cases; each process predicts its share."""
        trainer = engine.trainer
        cases = self.record.cases(self.dataset, "val")[trainer.global_rank :: trainer.world_size]
        self.networks.eval()
        found = validate(
            self.predictor(engine.device, mirror=False), cases, self.prepared, self.spec,
            self.context.label_sets, self.spec.target,
        )  # fmt: skip
        self.networks.train()
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, found)
            scores, sure = ({k: v for part in parts for k, v in part[i].items()} for i in (0, 1))
            return scores, sure
        return found

    def _validate_teacher(self, engine: Engine) -> float | None:
        """Dice of the teacher on hidden labels, for the log; None where there is nothing to ask."""
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
            lambda x: self.method.probabilities(self.networks, x), plan, self.method.cells, options
        )

    def _content(self, engine: Engine) -> dict[str, Any]:
        position = self.position
        return {
            "phase": position.phase,
            "step": position.step,
            "best": list(position.best) if position.best else None,
            "networks": self.networks.state_dict(),
            "regularisers": self.regularisers.state_dict(),
            "optimisers": engine.optimiser_state(),
        }

    def _restore(self, content: dict[str, Any], lengths: list[int]) -> None:
        self._load_weights(content)
        best = tuple(content["best"]) if content["best"] else None
        self.position = Position(content["phase"], content["step"], best)
        self._states = content["optimisers"]
        at = sum(lengths[: content["phase"]]) + content["step"]
        if best and best[1] == at and process_rank() == 0:  # perhaps killed before it was written
            save_checkpoint(self.run / "checkpoints" / "best.ckpt", content)
        log.info("resuming phase %d at step %d", content["phase"], content["step"])

    def _load_weights(self, content: dict[str, Any]) -> None:
        self.networks.load_state_dict(content["networks"])
        self.regularisers.load_state_dict(content["regularisers"])


class _Loaders(L.LightningDataModule):
    """Batches of one phase, an epoch being the steps between two validations."""

    def __init__(self, trainer: Trainer, index: int, steps: int) -> None:
        super().__init__()
        self._owner, self._index, self._steps = trainer, index, steps
        self._first = trainer.position.step

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        owner, config, record = self._owner, self._owner.config, self._owner.record
        world, rank = self.trainer.world_size, self.trainer.global_rank
        streams = owner.streams[self._index]
        on = (owner.spec.target,) if config.data.foreground_on == "target" else owner.method.on
        schemes = dict(owner.spec.schemes)
        patches = PatchDataset(
            record.cases(owner.dataset, "train"),
            owner.prepared,
            owner.context.label_sets,
            schemes,
            streams,
            augment(record.plan, config.data.augmentation),
            seed=config.seed,
            phase=self._index,
            foreground={name: foreground_values(s, *on) for name, s in schemes.items()},
        )
        start = self._first + self.trainer.current_epoch * config.interval
        sampler = StepSampler(
            streams,
            min(start + config.interval, self._steps),
            start=start,
            rank=rank,
            world=world,
            foreground_share=config.data.foreground,
        )
        return DataLoader(
            patches,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=data_workers(config, owner.accelerator),
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
    if not record.train.bag_weight:
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
        virtual_dice=config.virtual_dice,
    )


def phase_steps(shares: list[float], steps: int) -> list[int]:
    """Steps of each phase, in proportion to the shares, each at least one, summing to `steps`.

    Fewer steps than phases are one step a phase.
    """
    ends = [round(steps * sum(shares[: i + 1]) / sum(shares)) for i in range(len(shares))]
    lengths = [max(1, b - a) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    while sum(lengths) > max(steps, len(lengths)):
        lengths[lengths.index(max(lengths))] -= 1
    return lengths
