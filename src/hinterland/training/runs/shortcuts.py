"""What mirroring and `fast` change, in Dice and in seconds, on validation cases of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, nan, sqrt
from typing import Any

import numpy as np

from hinterland.data.io.files import write_text
from hinterland.data.preprocessing.cache import prepare
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.evaluation.metrics.metrics import dice
from hinterland.inference.coarse_to_fine import Search
from hinterland.inference.volumes import Predictor
from hinterland.labels import LabelSpec
from hinterland.training.runs.run import Run
from hinterland.training.validation.validate import decided_masks, mean_score
from hinterland.types import Case, Dataset

MOST = 8
"""Validation cases, where nothing else is said."""


def measure_shortcuts(
    run: Run,
    dataset: Dataset,
    *,
    most: int = MOST,
    seconds: float = inf,
    tick: Callable[[int, int], None] | None = None,
) -> dict[str, Any] | None:
    """Predict validation cases without mirroring, with it, and with `fast`; compare.

    Only validation cases are read, spread evenly over the list: never a test case. Mirroring pays
    if its mean gain of Dice, paired by case, is larger than the standard error of that mean; with
    fewer than two cases nothing is known, and it is taken to pay.

    Args:
        run: a trained run; the checkpoint that it reports predicts.
        dataset: its data set.
        most: how many cases are predicted at most.
        seconds: how long it may take; the first prediction of the first case says how many cases
            that is.
        tick: called with (cases done, cases).

    Returns:
        `at` (the question), `cases`, for each of `plain`, `mirrored` and `fast` the `seconds` a
        case and the `dice` by group and as `mean`; `mirroring` and `fast_for_full`, each with the
        mean `difference` of Dice, its standard `error` and the `times` of the seconds that it
        takes. `fast` mirrors if the run does, and is compared with the full prediction that does
        so too. None without a case, or the time for one.
    """
    at, record = run.record.spec.target, run.record
    cases = _spread([c for c in record.cases(dataset, "val") if c.labelled], most)
    if not cases:
        return None
    prepared = prepare(dataset, record.plan, cases=cases)
    plain = run.predictor(mirror=False)
    mirrored = replace(plain, options=run.window_options(mirror=True))
    full = "mirrored" if run.mirrored else "plain"
    fast = replace(mirrored if run.mirrored else plain, search=Search())
    found: dict[str, list[_Answer]] = {"plain": [], "mirrored": [], "fast": []}
    started = time.monotonic()
    for done, case in enumerate(cases):
        if done and (time.monotonic() - started) * (done + 1) / done > seconds:
            break
        stored = prepared[case.name]
        assert stored.label is not None
        lookup = LabelSetLookup(record.spec.label_sets, record.spec.scheme(case.scheme))
        rows = lookup(np.asarray(stored.label), case.name)
        image = np.asarray(stored.image)
        found["plain"].append(_answer(plain, image, rows, record.spec))
        if not done and found["plain"][0].seconds * (1 + 2 * 2**record.plan.dims) > seconds:
            return None
        found["mirrored"].append(_answer(mirrored, image, rows, record.spec))
        found["fast"].append(_answer(fast, image, rows, record.spec))
        if tick:
            tick(done + 1, len(cases))
    return {
        "at": str(at),
        "cases": len(found["plain"]),
        **{name: _summary(answers) for name, answers in found.items()},
        "mirroring": _change(found["plain"], found["mirrored"]),
        "fast_for_full": _change(found[full], found["fast"]),
    }


def sentence(measured: Mapping[str, Any]) -> str:
    """Say what was measured, for people.

    Args:
        measured: the result of `measure_shortcuts`.

    Returns:
        One line.
    """
    mirroring, fast = measured["mirroring"], measured["fast_for_full"]
    return (
        f"predicting {measured['cases']} validation cases: mirroring changes Dice by "
        f"{_signed(mirroring)} and takes {mirroring['times']:.2g} x the time"
        f"{'' if mirroring['pays'] else ' (it does not pay)'}; --fast changes it by "
        f"{_signed(fast)} and takes {fast['times']:.2g} x"
    )


def note_shortcuts(run: Run, measured: Mapping[str, Any]) -> None:
    """Write what was measured into summary.json of a finished run, as `prediction`.

    Args:
        run: the run.
        measured: the result of `measure_shortcuts`.
    """
    content = {**run.summary, "prediction": measured}
    write_text(run.path / "summary.json", json.dumps(content, indent=2))


@dataclass(frozen=True)
class _Answer:
    """How long a prediction took, and the Dice of each group that the case's labels decide."""

    seconds: float
    dice: Mapping[str, float]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.dice.values()))) if self.dice else nan


def _answer(predictor: Predictor, image: np.ndarray, rows: np.ndarray, spec: LabelSpec) -> _Answer:
    at = spec.target
    started = time.monotonic()
    predicted = predictor.log_probabilities(image, at).argmax(axis=0)
    seconds = time.monotonic() - started
    judged = decided_masks(rows, spec.label_sets, at)
    scores = {at.names[g]: dice((predicted == g) & known, truth) for g, known, truth in judged}
    return _Answer(seconds, scores)


def _spread(cases: Sequence[Case], most: int) -> list[Case]:
    """Take `most` of them, evenly spread over the list."""
    count = min(most, len(cases))
    return [cases[i * len(cases) // count] for i in range(count)]


def _summary(answers: Sequence[_Answer]) -> dict[str, Any]:
    scores = {str(i): a.dice for i, a in enumerate(answers)}
    mean, groups = mean_score(scores)
    return {
        "seconds": round(float(np.mean([a.seconds for a in answers])), 3),
        "dice": {name: round(value, 5) for name, value in {"mean": mean, **groups}.items()},
    }


def _change(before: Sequence[_Answer], after: Sequence[_Answer]) -> dict[str, Any]:
    """Compare two ways of predicting the same cases, paired."""
    pairs = zip(before, after, strict=True)
    gains = np.array([b.mean - a.mean for a, b in pairs])
    gains = gains[np.isfinite(gains)]
    mean = float(gains.mean()) if len(gains) else 0.0
    error = float(gains.std(ddof=1)) / sqrt(len(gains)) if len(gains) > 1 else None
    times = sum(a.seconds for a in after) / max(sum(a.seconds for a in before), 1e-9)
    return {
        "difference": round(mean, 5),
        "error": None if error is None else round(error, 5),
        "times": round(times, 3),
        "pays": error is None or mean > error,
    }


def _signed(change: Mapping[str, Any]) -> str:
    error = change["error"]
    unsure = "" if error is None else f" (standard error {error:.4f})"
    return f"{change['difference']:+.4f}{unsure}"
