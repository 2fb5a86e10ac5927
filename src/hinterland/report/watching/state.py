"""What a run's folder says of how it is doing: finished, running, or stopped where it stands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hinterland.evaluation.statistics.take_off import VALIDATION_DICE, take_off, validation_curve
from hinterland.training.logbook import read_rows
from hinterland.training.progress_note import Progress, read_progress
from hinterland.training.runs.record import RunRecord

_RECENT = 120.0  # seconds: a log of an earlier version that grew within them is of a living run


@dataclass(frozen=True)
class WatchState:
    """A run at one moment.

    Attributes:
        run: its folder.
        method: what trains.
        phases: names, in their order.
        steps: of the whole training.
        log: phase, step, key, value; what is written so far.
        progress: the last word of its process, None of runs from before there was one.
        state: finished; running; or stopped, by a kill or an error.
    """

    run: Path
    method: str
    phases: tuple[str, ...]
    steps: int
    log: pd.DataFrame
    progress: Progress | None
    state: Literal["finished", "running", "stopped"]

    def curve(self, key: str) -> list[tuple[int, float]]:
        """Return (steps done, value) of one logged quantity, finite values only."""
        rows = self.log[self.log["key"] == key]
        pairs = zip(rows["step"], rows["value"], strict=True)
        return [(int(s) + 1, float(v)) for s, v in pairs if isfinite(v)]

    @property
    def step(self) -> int:
        """Steps done, by the log or by what the process said last."""
        logged = int(self.log["step"].max()) + 1 if len(self.log) else 0
        told = self.progress
        steps = told.done if told and told.stage == "training" and told.total == self.steps else 0
        return max(logged, steps)

    @property
    def phase(self) -> str:
        """The phase that was logged last."""
        return str(self.log["phase"].iloc[-1]) if len(self.log) else self.phases[0]

    @property
    def validation(self) -> list[tuple[int, float]]:
        """(steps done, mean Dice) of each validation."""
        return [(s, v) for s, v in validation_curve(self.log) if isfinite(v)]

    @property
    def by_class(self) -> dict[str, tuple[float, float]]:
        """Class -> Dice of the last validation, and the best of all."""
        rows = self.log[self.log["key"].str.startswith(f"{VALIDATION_DICE}/")]
        found = {}
        for key, part in rows.groupby("key", sort=False):
            values = part["value"].to_numpy(float)
            best = max((v for v in values if isfinite(v)), default=nan)
            found[str(key).removeprefix(f"{VALIDATION_DICE}/")] = (float(values[-1]), best)
        return found

    @property
    def took_off(self) -> int | None:
        """Steps until validation Dice reached a tenth of the best so far; None: not yet."""
        curve = self.validation
        best = max((dice for _, dice in curve), default=0.0)
        return take_off([*curve, (curve[-1][0], best)]) if curve else None

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        told, validation = self.progress, self.validation
        return {
            "run": str(self.run), "method": self.method, "state": self.state,
            "phase": self.phase, "step": self.step, "steps": self.steps,
            "stage": told.stage if told else None,
            "speed": told.speed if told else None,
            "seconds_left": told.left if told and self.state == "running" else None,
            "validation": dict(validation[-1:]) and {
                "step": validation[-1][0], "dice": validation[-1][1],
                "classes": {name: last for name, (last, _) in self.by_class.items()},
            },
            "took_off": self.took_off,
        }  # fmt: skip


def read_state(run: Path) -> WatchState:
    """Read how a run is doing.

    Args:
        run: its folder, at any time of its life.

    Returns:
        The state.

    Raises:
        HinterlandError: it is no run directory.
    """
    record = RunRecord.read(run)
    table = pd.DataFrame(read_rows(run / "log.csv"), columns=["phase", "step", "key", "value"])
    table["step"] = table["step"].astype(int)
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    progress = read_progress(run)
    return WatchState(
        run=run,
        method=record.method,
        phases=tuple(phase.name for phase in record.make_method().phases()),
        steps=record.train.steps,
        log=table,
        progress=progress,
        state=_state(run, progress),
    )


def _state(run: Path, progress: Progress | None) -> Literal["finished", "running", "stopped"]:
    finished = run / "summary.json"
    if progress is not None and progress.alive:
        later = finished.is_file() and finished.stat().st_mtime >= progress.started
        return "finished" if later else "running"
    if finished.is_file():
        return "finished"
    log = run / "log.csv"
    if progress is None and log.is_file() and time.time() - log.stat().st_mtime < _RECENT:
        return "running"
    return "stopped"
