"""A student beside its teachers and their mean: Dice, time and parameters on the same cases."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from hinterland.evaluation.folders import evaluate_folders
from hinterland.evaluation.statistics.difference import paired_difference
from hinterland.evaluation.table import write_table
from hinterland.inference.folder import predict_files
from hinterland.inference.volumes import Decoding, Predictor, group_sums
from hinterland.labels import Coarsening, common_refinement, group_values
from hinterland.training.runs.run import Run
from hinterland.training.runs.teachers import in_tree, leakage
from hinterland.types import Case, Dataset

STUDENT, MEAN = "student", "teachers' mean"
TABLE = "beside_teachers.csv"
Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Asked:
    """A model, and the questions that are asked of it in one pass over an image."""

    name: str
    predictor: Predictor
    questions: Mapping[str, Coarsening]


def beside_teachers(run: Run, dataset: Dataset, report: Report | None = None) -> dict[str, Any]:
    """Judge a distilled run, each of its teachers and their mean on the same labelled cases.

    Each model predicts as its own run does, from files to files, on the student's device; the
    teachers' mean is the mean of their probabilities in each tile. It answers a question with the
    teachers that can answer it. All rows of all cases go into `beside_teachers.csv` of the run.

    Args:
        run: a trained student.
        dataset: its data set.
        report: called with (predictions done, predictions, message).

    Returns:
        `models`, one a model, the student last (name, run, parameters, seconds a case), and
        `splits`: of the validation and of the test cases, where there are any, the number of
        cases, Dice of every model by question and class (`dice`) and the student's paired
        differences to every other model (`differences`); `warning` where a teacher knows them.
    """
    record = run.record
    teachers = {name: Run(path) for name, path in _named(record.teachers).items()}
    models = _models(run, teachers)
    splits = {s: _labelled(record.split[s], dataset) for s in ("val", "test")}
    splits = {split: cases for split, cases in splits.items() if cases}
    total = len(models) * sum(len(cases) for cases in splits.values())
    seconds, done = dict.fromkeys((m.name for m in models), 0.0), 0
    tables = []
    with tempfile.TemporaryDirectory(prefix="hinterland-distil-") as folder:
        for split, cases in splits.items():
            for place, asked in enumerate(models):
                out = Path(folder) / split / str(place)
                started = time.perf_counter()
                for _ in _predict(asked, run, cases, out):
                    done += 1
                    if report:
                        report(done, total, f"{asked.name} on {split} cases")
                seconds[asked.name] += time.perf_counter() - started
                found = evaluate_folders(
                    out, cases, spec=record.spec, at=dict(asked.questions), extra=True
                )
                tables.append(found.assign(method=asked.name, split=split))
    if not tables:
        return {"models": [], "splits": {}}
    table = pd.concat(tables, ignore_index=True)
    write_table(table, run.path / TABLE, overwrite=True)
    cases_in_all = sum(len(cases) for cases in splits.values())
    weights = {name: teacher.parameters for name, teacher in teachers.items()}
    weights |= {MEAN: sum(weights.values())} if len(teachers) > 1 else {}
    weights[STUDENT] = run.parameters
    return {
        "models": [
            {
                "name": name,
                "run": str(teachers[name].path) if name in teachers else "",
                "parameters": count,
                "seconds_per_case": round(seconds[name] / cases_in_all, 3),
            }
            for name, count in weights.items()
        ],
        "splits": {s: _figures(table[table["split"] == s], run, s) for s in splits},
    }


def _models(run: Run, teachers: Mapping[str, Run]) -> list[Asked]:
    """List every model with the questions it answers: teachers, their mean, the student last."""
    tree, cells = run.record.spec.tree, run.method.cells
    questions = dict(run.questions)
    if cells not in questions.values():
        questions["cells"] = cells
    train = run.record.train
    known = {name: in_tree(teacher.method.cells, tree) for name, teacher in teachers.items()}
    predictors = {}
    for name, teacher in teachers.items():
        found = teacher.predictor(accelerator=train.accelerator, precision=train.precision)
        predictors[name] = replace(found, cells=known[name])
    answered = {
        name: {k: q for k, q in questions.items() if at.refines(q)} for name, at in known.items()
    }
    models = [Asked(n, p, answered[n]) for n, p in predictors.items() if answered[n]]
    if len(teachers) > 1:
        together: dict[tuple[str, ...], dict[str, Coarsening]] = {}
        for name, question in questions.items():
            if who := tuple(t for t in teachers if name in answered[t]):
                together.setdefault(who, {})[name] = question
        plan = run.record.plan
        for who, asked in together.items():
            at = common_refinement(list(asked.values()))
            mean = _mean([predictors[name] for name in who], at)
            options = predictors[who[0]].options
            models.append(Asked(MEAN, Predictor(mean, plan, at, options), asked))
    return [*models, Asked(STUDENT, run.predictor(), questions)]


def _mean(predictors: Sequence[Predictor], at: Coarsening) -> Callable[[Tensor], Tensor]:
    """Return the model whose probabilities are the mean of several models', of their groups."""
    members = [at.over(p.cells) for p in predictors]

    def model(image: Tensor) -> Tensor:
        answers = [group_sums(p.model(image), m) for p, m in zip(predictors, members, strict=True)]
        return torch.stack(answers).mean(dim=0)

    return model


def _predict(asked: Asked, run: Run, cases: Sequence[Case], out: Path) -> Any:
    """Write what a model answers to all its questions, each decoded for itself."""
    scheme, cells = run.record.spec.default_scheme, asked.predictor.cells
    also = {
        name: Decoding(at, group_values(at, scheme))
        for name, at in asked.questions.items()
        if frozenset(at.groups) != frozenset(cells.groups)
    }
    jobs = [(c.name, c.images) for c in cases]
    return predict_files(
        asked.predictor, jobs, out, cells, group_values(cells, scheme), also=also, overwrite=True
    )


def _figures(table: pd.DataFrame, run: Run, split: str) -> dict[str, Any]:
    """Return Dice by question, class and model, and what the student has more than the others."""
    record = run.record
    dice: dict[str, dict[str, float]] = {}
    differences = []
    for (question, group), rows in table.groupby(["coarsening", "class"], sort=False):
        by_case = rows.pivot_table("dice", "case", "method", sort=False)
        if STUDENT not in by_case:
            continue
        patients = [record.groups.get(str(name)) or str(name) for name in by_case.index]
        key = f"{question}/{group}"
        dice[key] = {str(m): round(float(by_case[m].mean()), 5) for m in by_case.columns}
        for other in (str(m) for m in by_case.columns if m != STUDENT):
            found = paired_difference((by_case[STUDENT] - by_case[other]).to_numpy(), patients)
            figures = {k: round(v, 5) for k, v in vars(found).items()}
            differences.append({"to": other, "question": question, "class": group, **figures})
    result = {"cases": int(table["case"].nunique()), "dice": dice, "differences": differences}
    if split == "val" and record.seen_by_teachers:
        result["warning"] = leakage(record.seen_by_teachers, len(record.split["val"]))
    return result


def _named(teachers: Sequence[Mapping[str, str]]) -> dict[str, Path]:
    """Name teachers by as many of their folders as tell them apart."""
    paths = [Path(teacher["run"]) for teacher in teachers]
    deep = 1
    while len({p.parts[-deep:] for p in paths}) < len(paths):
        deep += 1
    names = ["/".join(p.parts[-deep:]) for p in paths]
    taken = (STUDENT, MEAN)
    return {f"teacher {n}" if n in taken else n: p for n, p in zip(names, paths, strict=True)}


def _labelled(names: Sequence[str], dataset: Dataset) -> tuple[Case, ...]:
    return tuple(dataset[name] for name in names if dataset[name].labelled)
