"""Which support structures to take: the paper's heuristics, counted, and what each split adds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.io.volume import read_label, read_volume
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.data.preprocessing.cache import prepare
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.evaluation.statistics.bootstrap import percentile_interval
from hinterland.studies.runner import write_summary
from hinterland.studies.supports.arms import checked
from hinterland.studies.supports.evidence import borders, false_positives, holds
from hinterland.studies.supports.information import added_information
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.training.validation.validate import validate
from hinterland.types import Case, Dataset, HinterlandError, Plan

log = logging.getLogger(__name__)

EVIDENCE = ("holds", "borders", "false_positives", "information")
"""Columns that the score is the mean of; each lies in [0, 1]."""
RESAMPLES = 1000
LARGEST = 3
ENOUGH = 2 / 3
PROBE_STEPS = 200
_PROBED = 8  # training cases whose patches the Fisher information is measured on
_PATCH = {2: 128, 3: 48}  # edge of the probe's patches, at most
PROBE: dict[str, Any] = {
    "network_options": {"features": [8, 64]},
    "batch_size": 4,
    "optimiser": {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 1e-2, "schedule": "cosine"},
    "validation": {"mirror": False},
}
"""Settings of the probe: a narrow U-Net, trained shortly."""


@dataclass(frozen=True)
class Advice:
    """What was found, and what to take.

    Attributes:
        table: one row a support, best first. Columns: support; holds, borders, false_positives (see
            `evidence`); information and variance (see `information`; information is divided by the
            sum over supports); learnt, the probe's Dice on it in held-out cases; score = learnt x
            mean of `EVIDENCE`; low, high: 90 % interval over resampled patients; chosen: how often
            a resample takes it.
        take: the smallest set of the best supports with two thirds of the summed score, at most
            three.
        centred_on: what patches are centred on: "target" (its classes), or "on" (all classes that
            are trained on, as nnU-Net does). The probe was trained so, and so should the model be:
            with the other rule supports are seen more often, or less.
    """

    table: pd.DataFrame
    take: tuple[str, ...]
    probe: str
    baseline: str
    cases: int
    patients: int
    centred_on: str = "target"

    def to_dict(self) -> dict[str, Any]:
        """Return the content, for summary.json."""
        clean = self.table.astype(object).where(self.table.notna(), None)
        return {
            "take": list(self.take), "probe": self.probe, "baseline": self.baseline,
            "cases": self.cases, "patients": self.patients, "foreground_on": self.centred_on,
            "supports": clean.to_dict("records"),
        }  # fmt: skip


@dataclass(frozen=True)
class Question:
    """Settings of the adviser on support structures.

    Attributes:
        supports: candidates, none = all leaves beside the target.
        fold: whose held-out cases show false positives and how well a support is learnt; test cases
            are never looked at.
        steps: training steps of the probe.
        settings: other settings of the probe.
    """

    supports: tuple[str, ...] = ()
    fold: int | Literal["fixed"] = 0
    steps: int = PROBE_STEPS
    seed: int = 0
    dims: Literal[2, 3] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    labels: str = ""


def advise_supports(
    dataset: Dataset,
    question: Question,
    out: Path | str,
    *,
    baseline: Run | None = None,
    plan: Plan | None = None,
    report: Callable[[int, int, str], None] | None = None,
    stage: Callable[[str], None] | None = None,
) -> Advice:
    """Rank the candidates; write table.csv and summary.json into `out`, the probe into out/probe.

    A probe that is there already is used again.

    Args:
        dataset: the data set whose target is to be supported.
        question: settings of the adviser.
        out: the folder to write into.
        baseline: a run whose false positives count; without one the probe's own do.
        plan: the plan of the probe, or how to make one.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.

    Returns:
        The ranking, and how sure it is.

    Raises:
        HinterlandError: there are no candidates, or no decided labels.
    """
    out, say = Path(out), stage or log.info
    if baseline is not None:
        fold = baseline.record.fold
        question = replace(question, fold=int(fold) if fold.isdigit() else "fixed")
    supports = checked(dataset.labels, question.supports)
    say("training the probe")
    probe = _probe(dataset, question, supports, out / "probe", plan, report)
    data = probe.dataset
    say("reading labels")
    train = [c for c in probe.record.cases(data, "train") if c.labelled]
    held = [c for c in probe.record.cases(data, "val") if c.labelled]
    marks = _Marks(probe, data, supports)
    evidence = [marks.of_labels(c) for c in [*train, *held]]
    say("predicting held-out cases")
    judge = baseline or probe
    judged = [data[n] for n in judge.record.split["val"] if data[n].labelled]
    wrong = [marks.of_predictions(c, judge) for c in judged]
    learnt = _learnt(probe, held, marks)
    say("measuring information")
    information, variance = _information(probe, train, marks, question.seed)
    columns = {
        "holds": (_stack(evidence, 0), [*train, *held]),
        "borders": (_stack(evidence, 1), [*train, *held]),
        "false_positives": (np.array(wrong).reshape(len(judged), len(supports)), judged),
        "information": information,
        "variance": variance,
        "learnt": (learnt, held),
    }
    advice = conclude(supports, columns, question.seed, str(probe.path), str(judge.path))
    advice = replace(advice, centred_on=probe.record.train.data.foreground_on)
    write_text(out / "table.csv", csv_text(advice.table, "%.5f"))
    write_summary(advice.to_dict(), out)
    return advice


def _probe(
    dataset: Dataset, question: Question, supports: Sequence[str], path: Path, plan: Plan | None,
    report: Callable[[int, int, str], None] | None,
) -> Run:  # fmt: skip
    """Return the probe at `path`, trained if need be; it tells all candidates apart."""
    if plan is None:
        plan = plan_dataset(dataset, PlanOptions(question.dims))
    edge = _PATCH[plan.dims]
    patch = [min(n, edge) for n in plan.patch_size]
    settings = {
        "patch_size": patch, **PROBE, **question.settings, "steps": question.steps,
        "seed": question.seed,
    }  # fmt: skip
    settings["validation"] = {**settings["validation"], "interval": question.steps}
    request = RunRequest(
        dataset,
        on=("/".join(["target", *supports]),),
        labels=question.labels,
        fold=question.fold,
        plan=plan,
        config=make_config(settings),
    )
    return run_or_resume(request, path, report=report, stage=log.info, finish=False)


class _Marks:
    """Support numbers and target masks of prepared cases."""

    def __init__(self, probe: Run, dataset: Dataset, supports: Sequence[str]) -> None:

        self.supports = list(supports)
        self.spec, plan = probe.record.spec, probe.record.plan
        names = [*probe.record.split["train"], *probe.record.split["val"]]
        self.prepared = prepare(dataset, plan, cases=[dataset[n] for n in names])
        self.at = probe.method.cells
        self.label_sets = self.spec.label_sets
        self.places = [self.at.names.index(s) for s in supports]

    def _rows(self, case: Case) -> np.ndarray:

        label = self.prepared[case.name].label
        assert label is not None
        return LabelSetLookup(self.label_sets, self.spec.scheme(case.scheme))(
            np.asarray(label), case.name
        )

    def map(self, case: Case) -> np.ndarray:
        """Find the number of the support at each voxel, else -1."""
        return self._number()[self._rows(case)]

    def _number(self) -> np.ndarray:
        """Return for each row of the table the number of the support that it lies in, else -1."""
        member = self.label_sets.member(self.at)[:, self.places]
        return np.where(np.any(member, axis=1), member.argmax(axis=1), -1)

    def target(self, case: Case) -> np.ndarray:
        """Tell whether a voxel is known to be in a target class."""
        target = self.spec.target
        inside = self.label_sets.member(target)[:, list(target.foreground)]
        return np.asarray(np.any(inside, axis=1))[self._rows(case)]

    def of_labels(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        """Measure `holds` and `borders`."""
        supports, lesion, n = self.map(case), self.target(case), len(self.supports)
        return holds(supports, lesion, n), borders(supports, lesion, n)

    def of_predictions(self, case: Case, run: Run) -> np.ndarray:
        """Measure `false_positives` of a run, whose preprocessing may be its own."""
        predictor = run.predictor(mirror=False)
        image, _, geometry = preprocess(read_volume(case.images), run.record.plan)
        asked = run.record.spec.target
        group = predictor.labels(image, geometry, asked)
        assert case.label is not None
        label = read_label(case.label, case.images[0]).array[0]
        rows = LabelSetLookup(self.label_sets, self.spec.scheme(case.scheme))(
            label.astype(np.int16), case.name
        )
        number = self._number()[rows]
        target = self.spec.target
        possible = self.label_sets.allowed(target)[:, list(target.foreground)]
        false = np.isin(group, list(asked.foreground)) & ~np.asarray(np.any(possible, axis=1))[rows]
        return false_positives(number, false, len(self.supports))


def _stack(evidence: Sequence[tuple[np.ndarray, np.ndarray]], place: int) -> np.ndarray:
    return np.array([e[place] for e in evidence])


def _learnt(probe: Run, held: Sequence[Case], marks: _Marks) -> np.ndarray:
    """Return (cases, supports) Dice of the probe; NaN where a case does not decide it."""
    scores, _ = validate(
        probe.predictor(mirror=False), held, marks.prepared, marks.spec, marks.label_sets, marks.at
    )
    rows = [[scores[c.name].get(s, np.nan) for s in marks.supports] for c in held]
    return np.array(rows, dtype=float).reshape(len(held), len(marks.supports))


def _information(
    probe: Run, train: Sequence[Case], marks: _Marks, seed: int
) -> tuple[tuple[np.ndarray, list[Case]], tuple[np.ndarray, list[Case]]]:

    with_target = [c for c in train if marks.target(c).any()]
    rng = np.random.default_rng(seed)
    picked = sorted(rng.permutation(len(with_target))[:_PROBED].tolist())
    cases = [with_target[i] for i in picked]
    if not cases:
        raise HinterlandError(
            "no training case holds the target; nothing can be advised."
            " Add training cases that show it."
        )
    splits = [probe.record.spec.question(f"target/{s}") for s in marks.supports]
    added = added_information(probe, cases, marks.prepared, splits, seed=seed)
    shares = added.information / added.information.sum(axis=1, keepdims=True).clip(min=1e-12)
    return (shares, cases), (added.variance, cases)


def conclude(
    supports: Sequence[str],
    columns: Mapping[str, tuple[np.ndarray, Sequence[Case]]],
    seed: int,
    probe: str = "",
    baseline: str = "",
) -> Advice:
    """Return means, score, and their uncertainty over patients.

    Args:
        supports: names of the candidates.
        columns: name -> ((cases, supports) values, NaN where unknown, and the cases they belong
            to).
        seed: of the bootstrap.
        probe: the run that was asked.
        baseline: the run whose false positives count.

    Returns:
        The ranking.
    """
    patients = sorted({c.group or c.name for _, cases in columns.values() for c in cases})
    times = np.random.default_rng(seed).multinomial(
        len(patients), np.full(len(patients), 1 / len(patients)), size=RESAMPLES
    )
    means, drawn = {}, {}
    for name, (values, cases) in columns.items():
        place = [patients.index(c.group or c.name) for c in cases]
        means[name] = _mean(values, np.ones((1, len(cases))))[0]
        again = _mean(values, times[:, place])
        drawn[name] = np.where(np.isnan(again), means[name], again)
    score, scores = _score(means), _score(drawn)
    chosen = np.mean([_taken(s) for s in scores], axis=0)
    low, high = percentile_interval(scores, len(patients), 0.9)
    table = pd.DataFrame({"support": list(supports), **means, "score": score, "low": low,
                          "high": high, "chosen": chosen})  # fmt: skip
    take = _taken(score)
    ranked = table.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)
    wanted = [s for s, yes in zip(supports, take, strict=True) if yes]
    ordered = tuple(s for s in ranked["support"] if s in wanted)
    count = len({c.name for _, cases in columns.values() for c in cases})
    return Advice(ranked, ordered, probe, baseline, count, len(patients))


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted means over cases (resamples, supports), NaN left out; NaN where none is left.

    values: (cases, supports), weights: (resamples, cases).
    """
    count = weights @ np.isfinite(values).astype(float)
    total = weights @ np.nan_to_num(values)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _score(means: dict[str, np.ndarray]) -> np.ndarray:
    """Multiply `learnt` by the mean of the evidence there is.

    A baseline without false positives has none of one kind.
    """
    known = [means[k] for k in EVIDENCE if not np.isnan(means[k]).all()]
    return np.nan_to_num(means["learnt"]) * np.mean([np.nan_to_num(k) for k in known], axis=0)


def _taken(score: np.ndarray) -> np.ndarray:
    """Take the smallest set of the best with `ENOUGH` of the sum, at most `LARGEST`."""
    order = np.argsort(-score, kind="stable")
    share = np.cumsum(score[order]) / max(score.sum(), 1e-12)
    size = min(int(np.searchsorted(share, ENOUGH) + 1), LARGEST, int((score > 0).sum()))
    taken = np.zeros(len(score), bool)
    taken[order[:size]] = True
    return taken
