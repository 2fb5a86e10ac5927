"""Is a data set fit to be trained on? One pass, all findings in one list."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from hinterland.data.dataset.read import scan
from hinterland.data.integrity.case import CaseFacts, CaseTask, check_case
from hinterland.data.integrity.problems import Findings, Problem
from hinterland.data.workers import Outcome, outcomes
from hinterland.labels import LabelSpec
from hinterland.types import Case, Dataset, Tick


def check_dataset(
    path: Path | str,
    labels: Path | str | LabelSpec | None = None,
    progress: Tick | None = None,
    *,
    workers: int | None = None,
) -> Findings:
    """Read every file of a data set once and list everything that is wrong with it.

    Names, dataset.json, labels.yaml and splits.json; unreadable files; shapes and geometry; NaN;
    label values; channels; copies of one image; patients on both sides of a split. Errors must be
    mended, warnings are probably not meant, notes are worth knowing. Never raises for the data's
    sake. Each worker (default: 2, or 1 on one core; 0: none, in this process) holds one file at a
    time; a worker that is killed costs one error, not the check. `progress(done, total)` is called
    after each case.
    """
    dataset, problems = scan(path, labels)
    if dataset is None:
        return Findings.of(problems)
    incomplete = {p.case for p in problems if p.code in ("missing-channel", "extra-channel")}
    tasks = [
        CaseTask(
            case=c,
            scheme=dataset.labels.scheme(c.scheme),
            channels=None if c.name in incomplete else len(dataset.channels),
        )
        for c in dataset.cases
    ]
    facts: list[CaseFacts] = []
    count = min(2, os.cpu_count() or 1) if workers is None else workers
    for done, (index, found) in enumerate(outcomes(check_case, tasks, count), start=1):
        facts.append(found.result or _failed(tasks[index].case, found))
        if progress is not None:
            progress(done, len(tasks))
    order = {c.name: i for i, c in enumerate(dataset.cases)}
    facts.sort(key=lambda f: order[f.case])
    problems += [p for f in facts for p in f.problems]
    problems += [*_copies(dataset, facts), *_divided(dataset.cases), *_never_used(dataset, facts)]
    return Findings.of(problems, cases=len(dataset))


def _failed(case: Case, outcome: Outcome[CaseFacts]) -> CaseFacts:
    if outcome.kind == "bug":
        raise RuntimeError(f"case {case.name!r}: {outcome.message}")
    message = (
        f"the process that read this case {outcome.message}, again when it was tried alone: most "
        "likely the system killed it because memory ran out, or a file makes the reading library "
        "crash. Give it more memory, or look at the files of the case one by one."
    )
    return CaseFacts(case.name, [Problem("error", "worker-died", case.name, message)])


def _copies(dataset: Dataset, facts: Iterable[CaseFacts]) -> list[Problem]:
    """Cases whose images agree in every voxel."""
    same: dict[str, list[CaseFacts]] = defaultdict(list)
    for f in facts:
        if f.pixels is not None:
            same[f.pixels].append(f)
    problems = []
    for copies in same.values():
        names = list(dict.fromkeys(f.case for f in copies))
        if len(names) < 2:
            continue
        splits = {n: dataset[n].split for n in names}
        differ = " with different labels" if len({f.labels for f in copies} - {None}) > 1 else ""
        if len(set(splits.values()) - {None}) > 1:
            where = ", ".join(f"{n} ({s or 'no split'})" for n, s in splits.items())
            problems.append(
                Problem("error", "same-image-across-splits", names[0],
                        f"the same image{differ} is in several splits: {where}. What is learnt "
                        "from must not be tested on: keep one of them in splits.json.")
            )  # fmt: skip
        else:
            together = len({dataset[n].group for n in names}) == 1  # no fold can divide them
            problems.append(
                Problem("note" if together else "warning", "duplicate-case", names[0],
                        f"{', '.join(names)} are the same image{differ}. Remove all but one"
                        + ("." if together else ", or give them one `group` in labels.yaml, so "
                           "that no fold divides them."))
            )  # fmt: skip
    return problems


def _divided(cases: Iterable[Case]) -> list[Problem]:
    """Groups (patients) with cases in more than one split."""
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for c in cases:
        if c.split is not None:
            splits[c.group].setdefault(c.split, c.name)
    problems = []
    for group, where in splits.items():
        if len(where) > 1:
            places = ", ".join(f"{split} ({name})" for split, name in where.items())
            problems.append(
                Problem("error", "group-divided", "",
                        f"the group (patient) {group!r} is in several splits: {places}. Scans of "
                        "one patient look alike: put them all into one split.")
            )  # fmt: skip
    return problems


def _never_used(dataset: Dataset, facts: Iterable[CaseFacts]) -> list[Problem]:
    """Classes that the schemes name and no label file holds."""
    seen: dict[str, set[int]] = defaultdict(set)
    schemes = {c.name: c.scheme for c in dataset.cases}
    for f in facts:
        if f.values:
            seen[schemes[f.case]] |= set(f.values)
    problems = []
    for name, found in seen.items():
        scheme = dataset.labels.scheme(name)
        absent = [v for v, s in scheme.values if v not in found and s != scheme.tree.all_leaves]
        if absent:
            problems.append(
                Problem("note", "value-never-used", "",
                        f"no label file of the scheme {name!r} holds the value(s) {absent}. "
                        "A class that is never seen cannot be learnt.")
            )  # fmt: skip
    return problems
