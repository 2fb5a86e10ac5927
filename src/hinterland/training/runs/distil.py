"""Distil finished runs into one smaller student, which is a run like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import data_fingerprint
from hinterland.labels import Coarsening, LabelError, common_refinement
from hinterland.labels.scheme import UNLABELLED
from hinterland.methods.subclass.levels import schemes_known_at
from hinterland.training.config import TrainConfig
from hinterland.training.loop.trainer import Report
from hinterland.training.runs.new_run import Stage
from hinterland.training.runs.request import Fold, RunRequest, parse_fold
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import Existing, run_or_resume
from hinterland.training.runs.supervision import split_cases
from hinterland.training.runs.teachers import in_tree, open_teachers
from hinterland.types import Case, Dataset, HinterlandError

WIDTH = 0.5
"""Of the student's layers, as a share of the first teacher's: a quarter of the weights."""


def distil(
    *teachers: Run | Path | str,
    out: Path | str,
    on: Sequence[str | Coarsening] = (),
    options: Mapping[str, Any] | None = None,
    fold: Fold | None = None,
    labelled: str | None = None,
    config: TrainConfig | None = None,
    existing: Existing = "refuse",
    report: Report | None = None,
    stage: Stage | None = None,
    finish: bool = True,
) -> Run:
    """Train a smaller student on what finished runs say, and lay it beside them.

    Folds, seeds and arms of one data set teach together: the student learns their mean
    probabilities of whatever each of them tells apart, from labelled and unlabelled cases, and
    from the labels. See `hinterland.methods.Distillation`.

    Args:
        teachers: Finished runs, or their folders. Data set, labels, plan, seed and what is
            labelled are the first one's.
        out: The run directory of the student.
        on: The coarsenings that its labels are learnt at; default, the leaves of the tree, or,
            where neither labels nor teachers tell these apart, what the teachers do.
        options: Fields of `Distillation`, such as `teacher_weight`.
        fold: Default: the teachers', or "all" where they hold out different cases and there are
            test cases.
        labelled: Which training cases keep their labels; default, as the first teacher's.
        config: All other settings. Default network: the first teacher's, half as wide.
        existing: What to do with a run in `out`: "refuse", "resume" or "replace" it.
        report: Called with (steps done, steps, message) while training, and likewise for volumes
            while predicting.
        stage: Called with the name of each stage as it begins.
        finish: Whether to predict and evaluate after training.

    Returns:
        The student. Its `summary["beside_teachers"]` has parameters, time and Dice of all models.

    Raises:
        HinterlandError: The teachers do not fit together, or `out` is there already.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import hinterland as hl
    >>> place = tempfile.TemporaryDirectory()
    >>> folder = Path(place.name)
    >>> cases = hl.read_dataset(hl.make_phantoms(folder / "phantoms", (3, 1, 2), dims=2, size=32))
    >>> method = hl.methods.Supervised(on=cases.labels.tree.leaves)
    >>> asked = {"plan": hl.plan(cases), "fold": "fixed", "method": method}
    >>> short = [hl.make_config({"steps": 1, "seed": seed}) for seed in (0, 1)]
    >>> runs = [hl.train(cases, out=folder / str(c.seed), config=c, **asked) for c in short]
    >>> student = distil(*runs, out=folder / "student", config=hl.make_config({"steps": 2}))
    >>> models = student.summary["beside_teachers"]["models"]
    >>> [model["name"] for model in models]
    ['0', '1', "teachers' mean", 'student']
    >>> 3.5 < models[0]["parameters"] / models[-1]["parameters"] < 4.5
    True
    """
    paths = [t.path if isinstance(t, Run) else Path(t) for t in teachers]
    request = distil_request(
        paths, on=on, options=options, fold=fold, labelled=labelled, config=config
    )
    return run_or_resume(request, out, existing=existing, report=report, stage=stage, finish=finish)


def distil_request(
    teachers: Sequence[Path],
    *,
    on: Sequence[str | Coarsening] = (),
    options: Mapping[str, Any] | None = None,
    fold: Fold | None = None,
    labelled: str | None = None,
    config: TrainConfig | None = None,
) -> RunRequest:
    """Describe the run of a student; see `distil`.

    Args:
        teachers: Folders of finished runs.
        on: See `distil`.
        options: See `distil`.
        fold: See `distil`.
        labelled: See `distil`.
        config: See `distil`.

    Returns:
        The request, for `run_or_resume`.

    Raises:
        HinterlandError: There is no teacher, one is not finished, or its data set is gone.
    """
    if not teachers:
        raise HinterlandError(
            "there is no teacher. Name one finished run or more: hinterland distil RUN RUN ... "
            "--out STUDENT"
        )
    runs = open_teachers(teachers)
    first, record = runs[0], runs[0].record
    dataset = _dataset(first)
    config = student_config(first, config or TrainConfig())
    labelled = labelled or record.labelled or None
    fine, naive = record.fine or None, record.naive
    fold = _fold(runs, dataset) if fold is None else fold
    _, splits = split_cases(dataset, fold, config.seed, labelled, fine, naive)
    asked = dict(options or {})
    if any(not case.labelled for case in splits["train"]):
        asked.setdefault("labelled_share", 0.5)
    return RunRequest(
        dataset,
        "distillation",
        tuple(on) or _questions(dataset, runs, splits["train"]),
        asked,
        labels=record.dataset.get("labels", ""),
        fold=fold,
        labelled=labelled,
        fine=fine,
        naive=naive,
        noise=record.noise,
        teachers=tuple(run.path for run in runs),
        plan=replace(record.plan, fingerprint=data_fingerprint(dataset)),
        config=config,
    )


def student_config(teacher: Run, config: TrainConfig) -> TrainConfig:
    """Fill what was left open: the teacher's seed, and its network, half as wide.

    With the teacher's seed the student draws the teacher's split.

    Args:
        teacher: The first one.
        config: The settings that were asked for.

    Returns:
        The settings of the student.
    """
    known, given = teacher.record.train, config.model_fields_set
    left: dict[str, Any] = {} if "seed" in given else {"seed": known.seed}
    if not {"network", "network_options"} & given:
        network = teacher.method.deployed(teacher.networks())
        widths = getattr(network, "widths", None) or _planned(teacher)
        half = [max(1, int(WIDTH * width)) for width in (widths[0], max(widths))]
        left |= {
            "network": known.network,
            "network_options": {**known.network_options, "features": half},
        }
    return config.model_copy(update=left)


def _planned(teacher: Run) -> Sequence[int]:
    """Return the widths that a network without `widths` was asked for."""
    record = teacher.record
    asked = record.train.network_options.get("features")
    return list(asked) if asked else record.plan.network.features


def _dataset(teacher: Run) -> Dataset:
    """Read the data set of a teacher, without the noise that its labels may have had."""
    root = Path(teacher.record.dataset["path"])
    if not root.is_dir():
        raise HinterlandError(
            f"the data set of the teacher {teacher.path} is no longer at {root}. Put it back: the "
            "student learns from its images."
        )
    return read_dataset(root, teacher.record.spec)


def _fold(runs: Sequence[Run], dataset: Dataset) -> Fold:
    """Return the teachers' fold; where they hold out different cases, "all" if there is a test."""
    held = {frozenset(run.record.split["val"]) for run in runs}
    if len(held) > 1 and dataset.test:
        return "all"
    return parse_fold(runs[0].record.fold)


def _questions(
    dataset: Dataset, runs: Sequence[Run], train: Sequence[Case]
) -> tuple[Coarsening, ...]:
    """Return the leaves, or, where nobody tells all of them apart, what teachers and target do."""
    spec = dataset.labels
    leaves = spec.tree.leaves
    fine, _ = schemes_known_at(spec, leaves)
    if any(c.labelled and c.scheme in fine and c.scheme != UNLABELLED for c in train):
        return (leaves,)
    try:
        known = common_refinement([in_tree(r.method.cells, spec.tree) for r in runs])
    except LabelError:
        return (leaves,)  # and `check_teachers` says which teacher knows other classes
    known = common_refinement([known, spec.target])
    return (leaves,) if len(known) == len(leaves) else (known,)
