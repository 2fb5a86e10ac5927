"""One phase of training as a Lightning module: weigh, sum, step, log. Knows no single method."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from hinterland.methods import Losses, Phase, Regulariser
from hinterland.methods.base import TrainableMethod
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.training.config import TrainConfig
from hinterland.training.loop.image_label_term import ImageLabelTerm
from hinterland.training.loop.micro_batches import micro_batches, more_parts
from hinterland.training.optimisation.optimisers import (
    learning_rate,
    make_optimiser,
    resolve_recipes,
    restore_optimiser,
)
from hinterland.training.optimisation.pace import Pace
from hinterland.types import Batch, HinterlandError, Progress

log = logging.getLogger(__name__)
LOG_EVERY = 10  # steps between log rows; reading a loss back stalls an accelerator


class Engine(L.LightningModule):
    """Trains `networks` by `method` through one phase.

    All randomness of a step (dropout, stochastic methods) is drawn after seeding from
    (seed, phase, step, rank of the process), and the learning rate is a function of the step: so a
    phase can be entered at any step with nothing but weights and optimiser state.

    Args:
        offset: global step at which the phase begins.
        start: step inside the phase to begin with.
        optimiser_states: what `optimiser_state` gave at `start`, or None for fresh optimisers.
        write: receives (global step, values) every few steps.
        pace: how far the phase has come after a step, when to validate, when to end.
        at_interval: called with the engine whenever `pace` says that it is due.
        image_label_term: what positive image labels add, where a training case has one.
        scaler: scales losses so that gradients in fp16 do not vanish; default, it does nothing.

    Attributes:
        acted: names of the regularisers that had weight in the last step.
    """

    def __init__(
        self,
        method: TrainableMethod,
        networks: nn.Module,
        regularisers: nn.ModuleDict,
        phase: Phase,
        *,
        index: int,
        pace: Pace,
        start: int,
        offset: int,
        recipe: OptimiserRecipe,
        config: TrainConfig,
        optimiser_states: dict[str, Any] | None,
        write: Callable[[int, dict[str, float]], None],
        at_interval: Callable[[Engine], None],
        tick: Callable[[], None],
        image_label_term: ImageLabelTerm | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.method, self.networks, self.regularisers = method, networks, regularisers
        self.phase, self.index, self.pace, self.offset = phase, index, pace, offset
        self.step = start
        self.config = config
        self.recipes = resolve_recipes(config, recipe, phase, method.optimiser_recipes())
        self._states, self._write = optimiser_states, write
        self._at_interval, self._tick = at_interval, tick
        self.image_label_term = image_label_term
        self.scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
        self.parts = 1
        self._window: list[dict[str, Tensor | float]] = []
        self.acted: frozenset[str] = frozenset()
        self.rank = 0

    def on_fit_start(self) -> None:
        self.rank = self.global_rank

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        optimisers = []
        for name in self.phase.optimisers:
            parameters = list(self.method.parameters(self.networks, name))
            undecayed: list[nn.Parameter] = []
            if name == self.phase.optimisers[0]:
                undecayed = [p for r in self._regularisers() for p in r.undecayed()]
                own = [p for p in self.regularisers.parameters() if p.requires_grad]
                parameters += [p for p in own if not any(p is q for q in undecayed)]
            optimiser = make_optimiser(self.recipes[name][0], parameters, self.networks, undecayed)
            if self._states is not None:
                restore_optimiser(optimiser, self._states[name])
            optimisers.append(optimiser)
        return optimisers

    def optimiser_state(self) -> dict[str, Any]:
        """Return the state of every optimiser of the phase, by name."""
        optimisers = self._optimisers()
        return {
            name: optimiser.state_dict()
            for name, optimiser in zip(self.phase.optimisers, optimisers, strict=True)
        }

    def _optimisers(self) -> list[Any]:
        found = self.optimizers()
        return found if isinstance(found, list) else [found]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _: int) -> Batch:
        return batch.to(device)

    def training_step(self, batch: Batch, _: int) -> None:
        torch.manual_seed(step_seed(self.config.seed, self.index, self.step, self.rank))
        record: dict[str, Tensor | float] = {}
        at, steps = self.pace.at(self.step)
        torch.compiler.cudagraph_mark_step_begin()  # nothing that a graph gave before is needed
        for name, optimiser in zip(self.phase.optimisers, self._optimisers(), strict=True):
            progress = Progress(self.phase.name, at, steps, name)
            recipe, options = self.recipes[name]
            rate = learning_rate(recipe, options, at, steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("lr_share", 1.0)
            total, terms = self._gradients(batch, progress, optimiser)
            self.scaler.unscale_(optimiser)
            parameters = [p for g in optimiser.param_groups for p in g["params"]]
            nn.utils.clip_grad_norm_(parameters, options.clip)
            self.scaler.step(optimiser)
            self.scaler.update()
            tag = "" if name == self.phase.optimisers[0] else f"{name}/"
            record |= {f"train/{tag}loss": total, f"train/{tag}lr": rate}
            record |= {f"train/{tag}{k}": v for k, v in terms.items()}
        self.method.after_step(self.networks, progress)
        self._window.append(record)
        self.step += 1
        if self.step % LOG_EVERY == 0:
            self.flush_log()
        self._tick()

    def _gradients(
        self, batch: Batch, progress: Progress, optimiser: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Work out the gradients of a batch, in more parts where memory runs out; return the loss.

        Parts are weighted by their items: the gradient is that of the whole batch where the loss is
        a mean over items. Dice over a batch is one over each part then.
        """
        while True:
            try:
                return self._accumulated(micro_batches(batch, self.parts), progress, optimiser)
            except torch.OutOfMemoryError:
                pass  # and retry outside, where the traceback no longer holds what was computed
            optimiser.zero_grad(set_to_none=True)
            processes = self._trainer.world_size if self._trainer else 1
            self.parts = more_parts(batch, self.parts, processes=processes)
            torch.cuda.empty_cache()
            log.warning(
                "memory ran out at step %d: batches of %d are worked out in %d parts from here on "
                "(batch_dice, batch norm and mixing see a part). A smaller patch_size or "
                "batch_size, or precision=bf16, needs less.",
                self.step, len(batch), self.parts,
            )  # fmt: skip
            torch.manual_seed(step_seed(self.config.seed, self.index, self.step, self.rank))

    def _accumulated(
        self, parts: list[Batch], progress: Progress, optimiser: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum gradients, and loss and terms, over parts of a batch, each by its share of items."""
        optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        whole = sum(len(part) for part in parts)
        for part in parts:
            losses = self._losses(part, progress)
            share = len(part) / whole
            total = losses.total * share
            self.manual_backward(self.scaler.scale(total))
            seen = {"": total} | {k: v * share for k, v in losses.terms.items()}
            sums |= {k: sums.get(k, 0) + v.detach() for k, v in seen.items()}
        return sums.pop(""), sums

    def _regularisers(self) -> list[Regulariser]:
        return [cast(Regulariser, regulariser) for regulariser in self.regularisers.values()]

    def _losses(self, batch: Batch, progress: Progress) -> Losses:
        losses = self.method.losses(self.networks, batch, progress)
        if progress.optimiser != self.phase.optimisers[0]:
            return losses  # additions belong to the network that segments
        terms, weights = dict(losses.terms), dict(losses.weights)
        named = list(zip(self.regularisers, self._regularisers(), strict=True))
        self.acted = frozenset(name for name, r in named if r.strength(progress) > 0)
        for name, regulariser in named:
            added = regulariser(losses.views, progress)
            terms |= {f"{name}/{k}": v for k, v in added.terms.items()}
            weights |= {f"{name}/{k}": v for k, v in added.weights.items()}
        if self.image_label_term is not None:
            added = self.image_label_term(self.networks, batch)
            terms |= added.terms
            weights |= added.weights
        return Losses(terms, weights, losses.views)

    def flush_log(self) -> None:
        """Write the mean of the steps since the last call.

        Raises:
            HinterlandError: the loss is no longer finite.
        """
        if not self._window:
            return
        means = _means(self._window)
        self._window = []
        if not np.isfinite(means["train/loss"]):
            raise HinterlandError(
                f"the loss is {means['train/loss']} at step {self.step} of phase "
                f"{self.phase.name!r}. Lower the learning rate (--set optimiser.lr=...), or train "
                "with --set precision=fp32; the last checkpoint is kept."
            )
        self._write(self.offset + self.step - 1, means)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.pace.due(self.step):
            self.flush_log()
            self._at_interval(self)
        if self.pace.ended(self.step):
            self.trainer.should_stop = True


def _means(window: list[dict[str, Tensor | float]]) -> dict[str, float]:
    """Return the mean of each value over the steps; all are read from the device at once."""
    keys = window[-1].keys()
    values = [w[k] for k in keys for w in window]
    told = torch.stack([v.float() for v in values if isinstance(v, Tensor)]).cpu()
    read = iter(told.unbind())
    known = [next(read) if isinstance(v, Tensor) else torch.tensor(v) for v in values]
    rows = torch.stack(known).view(len(keys), len(window))
    return {k: float(row.mean()) for k, row in zip(keys, rows, strict=True)}


def step_seed(seed: int, phase: int, step: int, rank: int = 0) -> int:
    """Return a 63-bit seed for what is random in one step of one process.

    Processes that train together see different items, and drop and disturb them differently.

    Args:
        seed: of the run.
        phase: index of the phase.
        step: of the phase, from 0.
        rank: of the process.

    Returns:
        The seed.
    """
    key = [seed, phase, step, *([rank] if rank else [])]
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
