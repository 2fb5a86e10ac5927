"""Training from the last checkpoint, or from nothing, to the end of the last phase."""

from __future__ import annotations

import logging
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import nn

from hinterland.data.on_device.ahead import Ahead
from hinterland.data.sampling.growth import stage_at
from hinterland.data.sampling.patches import PatchDataset
from hinterland.data.sampling.sampler import StepSampler, Stream
from hinterland.methods import BuildContext
from hinterland.methods.base import TrainableMethod
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.training.checkpoint import fitting, load_checkpoint, save_checkpoint
from hinterland.training.config import TrainConfig
from hinterland.training.device import (
    arrange,
    choose_algorithms,
    compile_parts,
    process_rank,
    resolve_accelerator,
    resolve_precision,
)
from hinterland.training.logbook import Logbook
from hinterland.training.loop.engine import Engine
from hinterland.training.loop.image_label_term import ImageLabelTerm
from hinterland.training.loop.lightning import lightning_trainer
from hinterland.training.loop.loader import Loader
from hinterland.training.optimisation.averaging import Weights
from hinterland.training.optimisation.optimisers import resolve_recipe
from hinterland.training.optimisation.pace import ENDLESS, DeadlinePace, Pace, StepPace
from hinterland.types import HinterlandError

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]


@dataclass
class Position:
    """Where training stands.

    `best` is (score, global step) of the phase's best validation, `acting` the regularisers that
    acted in the step before it, and `offset` the steps of the phases before.

    Each phase has a best of its own: what is reported is the method's last phase, and weights of
    pre-training are not.
    """

    phase: int = 0
    step: int = 0
    best: tuple[float, int] | None = None
    offset: int = 0
    acting: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    It has the score that checkpoints are chosen by, values to log, and a word for the progress
    line.
    """

    score: float
    values: Mapping[str, float]
    message: str


class Trainer(ABC):
    """Takes a run through its phases, one object a process.

    A subclass says what the batches are drawn from (`streams`, `patches`) and how the networks are
    validated (`assess`).

    Attributes:
        streams: What the batches of each phase are drawn from.
        foreground_share: Share of patches that are centred on foreground.
        returns_to_best: Whether a phase that wants the best weights of the one before gets them.
    """

    streams: Sequence[tuple[Stream, ...]]
    foreground_share = 0.0
    returns_to_best = False

    def __init__(
        self,
        run: Path,
        method: TrainableMethod,
        context: BuildContext,
        config: TrainConfig,
        report: Report,
        recipe: OptimiserRecipe | None = None,
    ) -> None:
        self.run, self.config, self.report = run, config, report
        self.accelerator = resolve_accelerator(config.accelerator)
        self.precision = resolve_precision(config.precision, self.accelerator)
        self.recipe = resolve_recipe(config, recipe)
        self.method, self.context = method, context
        self.networks = arrange(
            method.build(context), context.plan.dims, self.accelerator, config.channels_last
        )
        if config.compile:
            compile_parts(self.networks, graphs=config.compile == "graphs")
        self.weights = Weights(self.networks, config.averaging)
        self.scaler = torch.amp.GradScaler(self.accelerator, enabled=self.precision == "fp16")
        self.regularisers = nn.ModuleDict()
        self.image_label_term: ImageLabelTerm | None = None
        self.position = Position()
        self._states: dict[str, Any] | None = None
        self._pace_state: dict[str, Any] = {}
        self._spent = 0.0
        self._message = ""
        self.loader = Loader(config, context.plan, self.accelerator)

    @abstractmethod
    def patches(self, phase: int) -> tuple[PatchDataset, ...]:
        """Return the items of a phase as its streams name them, by stage of growing patches."""

    @abstractmethod
    def assess(self, engine: Engine) -> Validation | None:
        """Validate the networks as they are; None without anything to validate on.

        Called by all processes of a run; what the first one returns counts.
        """

    def validations_to_come(self) -> float:
        """Return how long prediction takes once training is over, in times of a validation."""
        return 0.0

    def begin(self) -> None:  # noqa: B027
        """Prepare a run that has no checkpoint yet, before its first step."""

    def fit(self) -> None:
        """Train from the last checkpoint (if there is one) to the end of the last phase."""
        choose_algorithms(self.config, self.accelerator)
        phases = self.method.phases()
        lengths = phase_steps([p.share for p in phases], self.config.steps)
        if (self.run / "checkpoints" / "last.ckpt").is_file():
            path = self.run / "checkpoints" / "last.ckpt"
            content = load_checkpoint(path)
            with fitting(path):
                self._restore(content, lengths)
        else:
            self.begin()
        while self.position.phase < len(phases):
            self._fit_phase(self.position.phase, lengths)

    def _fit_phase(self, index: int, lengths: list[int]) -> None:
        phase = self.method.phases()[index]
        offset = self.position.offset
        returns = phase.start_from == "best" and self.returns_to_best
        if self.position.step == 0 and index > 0 and returns:
            path = self.run / "checkpoints" / "best.ckpt"
            content = load_checkpoint(path)
            with fitting(path):
                self._load_weights(content)
        if self.position.step == 0:
            self.weights.restart()
        pace = self._pace(index, lengths)
        trainer = lightning_trainer(self.config, self.accelerator, self.precision)
        logbook = None
        if trainer.global_rank == 0:
            logbook = Logbook(self.run, offset + self.position.step, self.config.logger)
        engine = Engine(
            self.method,
            self.networks,
            self.regularisers,
            phase,
            index=index,
            pace=pace,
            start=self.position.step,
            offset=offset,
            recipe=self.recipe,
            config=self.config,
            optimiser_states=self._states,
            write=lambda step, values: logbook.write(phase.name, step, values) if logbook else None,
            at_interval=lambda e: self._interval(e, logbook),
            tick=lambda: self._tick(engine),
            image_label_term=self.image_label_term,
            scaler=self.scaler,
        )
        steps = lengths[index] if self.config.time is None else ENDLESS
        data = _Loaders(self, index, steps, pace)
        if not pace.ended(self.position.step):
            with warnings.catch_warnings(), self._loaders_killed():
                warnings.filterwarnings("ignore", module="lightning")
                trainer.fit(engine, datamodule=data)
        if logbook:
            logbook.close()
        self.position = Position(index + 1, 0, None, offset + engine.step)
        self._states = None
        self._spent, self._pace_state = pace.state().get("elapsed", 0.0), {}

    @contextmanager
    def _loaders_killed(self) -> Iterator[None]:
        """Say in one message that a process which loads patches was killed."""
        try:
            yield
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise HinterlandError(
                f"a process that loads patches has died ({str(error).splitlines()[0]}), most "
                "likely because memory ran out. Free some and go on: hinterland resume "
                f"{self.run}; or train with fewer such processes (--set data.workers=0)."
            ) from None

    def _tick(self, engine: Engine) -> None:
        self.weights.update()
        done, total = engine.offset + engine.step, self.config.steps
        if self.config.time is not None:
            done, total = engine.pace.at(engine.step)
        self.report(done, total, self._message)

    def _pace(self, index: int, lengths: list[int]) -> Pace:
        """Make the pace of a phase, at the step where it stands."""
        if self.config.time is None:
            return StepPace(lengths[index], self.config.interval)
        shares = [p.share for p in self.method.phases()]
        pace = DeadlinePace(
            self.config.time,
            spent=self._spent,
            share=shares[index] / sum(shares[index:]),
            after=self.validations_to_come(),
        )
        if self._pace_state:
            pace.restore(self._pace_state)
        return pace

    def _interval(self, engine: Engine, logbook: Logbook | None) -> None:
        """Validate, log, and save: last always, best where the score is the phase's highest."""
        started = time.monotonic()
        found = self.assess(engine)
        engine.pace.validated(time.monotonic() - started)
        # Once a regulariser has begun to act, a best from before it has the weights of another
        # loss, which the run would report as what the regulariser does.
        best = self.position.best if self.position.acting == engine.acted else None
        if engine.trainer.global_rank == 0:
            at = engine.offset + engine.step
            if found:
                if logbook:
                    logbook.write(engine.phase.name, at - 1, found.values)
                self._message = found.message
                log.info("step %d: %s", at, found.message)
            score = found.score if found else float("nan")
            unknown = not np.isfinite(score)  # nothing to choose by: the last one
            improved = unknown or best is None or not score <= best[0]
            if improved:
                best = (score, at)
            self.position = self._here(engine, best)
            if logbook:
                logbook.flush()
            content = self._content(engine)
            # Last first: `_restore` mends a kill after it. Best first, a kill could leave best.ckpt
            # a phase ahead, and the resumed run would begin that phase with weights from inside it.
            save_checkpoint(self.run / "checkpoints" / "last.ckpt", content)
            if improved:
                save_checkpoint(self.run / "checkpoints" / "best.ckpt", content)
        else:
            self.position = self._here(engine, best)
        engine.trainer.strategy.barrier()

    @staticmethod
    def _here(engine: Engine, best: tuple[float, int] | None) -> Position:
        return Position(engine.index, engine.step, best, engine.offset, engine.acted)

    def _content(self, engine: Engine) -> dict[str, Any]:
        position = self.position
        return {
            "phase": position.phase,
            "step": position.step,
            "offset": position.offset,
            "pace": engine.pace.state(),
            "best": list(position.best) if position.best else None,
            "acting": sorted(position.acting),
            **self.weights.state(),
            "regularisers": self.regularisers.state_dict(),
            "optimisers": engine.optimiser_state(),
            "scaler": self.scaler.state_dict(),
        }

    def _restore(self, content: dict[str, Any], lengths: list[int]) -> None:
        self.weights.restore(content)
        self.regularisers.load_state_dict(content.get("regularisers", {}))
        self.position = position_of(content, lengths)
        best, phase = self.position.best, self.position.phase
        self._states, self._pace_state = content["optimisers"], content.get("pace", {})
        at = self.position.offset + self.position.step
        if best and best[1] == at and process_rank(self.config.devices) == 0:
            # perhaps killed before it was written
            save_checkpoint(self.run / "checkpoints" / "best.ckpt", content)
        if content.get("scaler"):
            self.scaler.load_state_dict(content["scaler"])
        log.info("resuming phase %d at step %d", phase, self.position.step)

    def _load_weights(self, content: dict[str, Any]) -> None:
        self.networks.load_state_dict(content["networks"])
        self.regularisers.load_state_dict(content.get("regularisers", {}))


class _Loaders(L.LightningDataModule):
    """Batches of one phase, from where it stands."""

    def __init__(self, trainer: Trainer, index: int, steps: int, pace: Pace) -> None:
        super().__init__()
        self._owner, self._index, self._steps, self._pace = trainer, index, steps, pace
        self._first = trainer.position.step

    def train_dataloader(self) -> Ahead[Any]:
        assert self.trainer is not None
        owner, streams = self._owner, self._owner.streams
        stages = owner.patches(self._index)
        sampler = StepSampler(
            streams[self._index],
            self._steps,
            start=self._first,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            foreground_share=owner.foreground_share,
            stage=lambda step: min(stage_at(self._pace.share_done(step)), len(stages) - 1),
        )
        return owner.loader.batches(
            stages,
            sampler,
            names={name for phase in streams for s in phase for name in s.cases},
            device=self.trainer.strategy.root_device,
        )


def position_of(content: Mapping[str, Any], lengths: Sequence[int]) -> Position:
    """Read from a checkpoint where training stood.

    Checkpoints of classifiers once named no phase, and of the best validation the score alone; none
    named the steps of the phases before, which are those of `lengths`.
    """
    best = content["best"]
    if isinstance(best, float):
        best = (best, -1) if np.isfinite(best) else None
    phase = content.get("phase", 0)
    offset = content.get("offset", sum(lengths[:phase]))
    acting = frozenset(content.get("acting", ()))
    return Position(phase, content["step"], tuple(best) if best else None, offset, acting)


def phase_steps(shares: list[float], steps: int) -> list[int]:
    """Share steps out among phases: in proportion, each at least one, summing to `steps`.

    Fewer steps than phases are one step a phase.

    Examples:
        >>> phase_steps([1, 3], 8)
        [2, 6]
        >>> phase_steps([1, 1], 1)
        [1, 1]
    """
    ends = [round(steps * sum(shares[: i + 1]) / sum(shares)) for i in range(len(shares))]
    lengths = [max(1, b - a) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    while sum(lengths) > max(steps, len(lengths)):
        lengths[lengths.index(max(lengths))] -= 1
    return lengths
