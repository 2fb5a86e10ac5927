"""One training of the synthetic study: an arm, a population, a budget, and what came of it.

Why not the engine of `training`: its data path reads, checks and caches files, and takes patches of
volumes. A sweep at the paper's size draws 100,000 images for each of fifty populations; as files
they would be fifty data sets of several gigabytes whose images exist for one use. The generator
makes them faster than a disk gives them, so this loop reads the generator itself. What is compared
is the project's: the marginal loss over rows of a table (one pixel a square is our annotation with
`any` elsewhere), and the rule of `classify`. Optimiser, batches, steps, schedule and validation are
the same in every arm, as are the trunks of the networks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.studies.synthetic.data import TABLE, batches, loader, stream_of
from hinterland.studies.synthetic.grid import GridParameters
from hinterland.studies.synthetic.images import SyntheticParameters
from hinterland.studies.synthetic.scores import Scores, metrics_of, rule_scores
from hinterland.studies.synthetic.shapes import palette
from hinterland.studies.synthetic.trunk import FullyConvolutional, PooledClassifier, Trunk
from hinterland.training.checkpoint import load_checkpoint, save_checkpoint
from hinterland.training.device import resolve_accelerator, resolve_precision
from hinterland.types import HinterlandError

Arm = Literal["classifier", "segmentation", "points"]
ARMS: tuple[str, ...] = get_args(Arm)
Parameters = SyntheticParameters | GridParameters
Tick = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Budget:
    """The training that every arm gets: Adam for `steps` batches, validated every `interval` steps.

    The checkpoint with the best balanced accuracy on validation images is kept (of equal ones that
    with the higher AUROC). power: the learning rate is lr (1 - t)^power; 0 keeps it, as the paper.
    t, tau: of the rule; the paper's tau = 100 is half the area of its target.
    """

    steps: int = 30_000
    batch: int = 64
    lr: float = 1e-4
    power: float = 0.0
    interval: int = 1_500
    trunk: Trunk = "resnet50"
    t: float = 0.5
    tau: int = 100


@dataclass(frozen=True)
class Trial:
    """An arm trained on images of `train` and tested on images of `test`.

    Numbers of images: `train.train`, `test.val` and `test.test`. Arms: "classifier" sees image
    labels, "segmentation" the masks, "points" one pixel a square.
    """

    arm: Arm
    train: Parameters
    test: Parameters
    budget: Budget = field(default_factory=Budget)
    seed: int = 0

    def __post_init__(self) -> None:
        grid = isinstance(self.train, GridParameters)
        if self.arm not in ARMS or (self.arm == "points" and not grid):
            raise HinterlandError(
                f"arm {self.arm!r}: expected one of {', '.join(ARMS)}; `points` on grids only."
            )

    @property
    def key(self) -> str:
        """A text that changes with anything that defines the trial."""
        text = json.dumps([type(self.train).__name__, asdict(self)], sort_keys=True)
        return blake2b(text.encode(), digest_size=8).hexdigest()


def run_trial(trial: Trial, folder: Path, tick: Tick | None = None) -> dict[str, Any]:
    """Train, choose the checkpoint on validation images, and test.

    Args:
        trial: what is trained on what.
        folder: for the checkpoint, from which an interrupted trial goes on; it is removed at the
            end.
        tick: called with (done, of how many).

    Returns:
        Figures and the curve.
    """
    started = time.monotonic()
    training = _Training(trial, folder / f"{trial.key}.ckpt")
    training.fit(tick or (lambda *_: None))
    scores = {part: training.score(part) for part in ("val", "test")}
    training.file.unlink(missing_ok=True)
    return {
        "metrics": metrics_of(scores["val"], scores["test"]),
        "curve": training.curve,
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "seconds": round(training.seconds + time.monotonic() - started, 1),
    }


class _Training:
    def __init__(self, trial: Trial, file: Path) -> None:
        self.trial, self.file = trial, file
        self.device = resolve_accelerator("auto")
        self.low = resolve_precision("auto", self.device) == "bf16"
        make = PooledClassifier if trial.arm == "classifier" else FullyConvolutional
        network: nn.Module = make(trial.budget.trunk, 3, 2, seed=trial.seed)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), trial.budget.lr)
        self.colours = torch.from_numpy(palette()).to(self.device).float() / 127.5 - 1
        self.loss = TABLE.loss().to(self.device)
        self.step, self.seconds = 0, 0.0
        self.curve: list[list[float]] = []
        self.best: dict[str, Tensor] = {}

    def fit(self, tick: Tick) -> None:
        trial, budget = self.trial, self.trial.budget
        if self.file.is_file():
            self._restore()
        with torch.random.fork_rng():
            while self.step < budget.steps:
                started = time.monotonic()
                torch.manual_seed(trial.seed + self.step)
                end = min(self.step + budget.interval, budget.steps)
                self.network.train()
                stream = stream_of(trial.train, trial.seed, "train")
                order = batches(trial.train.train, budget.batch, self.step, end, trial.seed)
                for batch in loader(stream, order, trial.arm, self.device):
                    self._step(*batch)
                    self.step += 1
                    tick(self.step, budget.steps, trial.arm)
                self._validate()
                self.seconds += time.monotonic() - started
                if self.step < budget.steps:
                    self._save()
        self.network.load_state_dict(self.best)

    def _step(self, colours: Tensor, rows: Tensor, labels: Tensor) -> None:
        budget = self.trial.budget
        for group in self.optimiser.param_groups:
            group["lr"] = budget.lr * (1 - self.step / budget.steps) ** budget.power
        logits = self._logits(colours)
        if self.trial.arm == "classifier":
            loss = F.cross_entropy(logits, labels.to(self.device).long())
        else:
            loss = self.loss(logits, rows.to(self.device))["ce"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    def _logits(self, colours: Tensor) -> Tensor:
        """Compute logits in float32 of images given by the indices of their colours."""
        image = self.colours[colours.to(self.device).int()].permute(0, 3, 1, 2)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.low):
            return self.network(image).float()

    @torch.no_grad()
    def score(self, part: Literal["val", "test"]) -> Scores:
        """Compute scores of all images of a part."""
        trial, rule = self.trial, self.trial.budget
        self.network.eval()
        count = getattr(trial.test, part)
        stream = stream_of(trial.test, trial.seed, part)
        order = [list(range(i, min(i + 100, count))) for i in range(0, count, 100)]
        scores, found = [], []
        for colours, rows, _ in loader(stream, order, "segmentation", self.device):
            p = self._logits(colours).softmax(dim=1)[:, 1]
            if trial.arm == "classifier":
                scores.append(p.cpu())
                continue
            value, overlap = rule_scores(p, rows.to(self.device) == TABLE.target, rule.t, rule.tau)
            scores.append(value.cpu())
            found.append(overlap.cpu())
        truth = [stream[i] for i in range(count)]
        return Scores(
            part,
            torch.cat(scores).double().numpy(),
            np.array([i.positive for i in truth], dtype=int),
            np.array([i.spurious for i in truth], dtype=bool),
            torch.cat(found).numpy() if found else None,
        )

    def _validate(self) -> None:
        scores = self.score("val")
        self.curve.append([self.step, scores.balanced_accuracy(), scores.auroc()])
        if self.curve[-1][1:] == max(point[1:] for point in self.curve):
            state = self.network.state_dict()
            self.best = {k: v.detach().cpu().clone() for k, v in state.items()}

    def _save(self) -> None:
        content = {
            "step": self.step, "curve": self.curve, "seconds": self.seconds, "best": self.best,
            "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(),
        }  # fmt: skip
        save_checkpoint(self.file, content)

    def _restore(self) -> None:
        content = load_checkpoint(self.file)
        self.step, self.curve = content["step"], content["curve"]
        self.best, self.seconds = content["best"], content["seconds"]
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
