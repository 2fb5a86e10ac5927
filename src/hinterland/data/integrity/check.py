"""Is a data set fit to be trained on? One pass, all findings in one list."""

from __future__ import annotations

import os
from pathlib import Path

from hinterland.data.dataset.read import scan
from hinterland.data.integrity.across import across_cases
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
    mended, warnings are probably mistakes, notes are remarks. Never raises for the data's
    sake. Each worker holds one file at a time; a worker that is killed costs one error, not the
    check.

    Args:
        path: folder of the data set.
        labels: the labels, or a labels.yaml elsewhere; default, the data set's own.
        progress: called with (done, of how many) after each case.
        workers: processes; default 2, or 1 on one core; 0 reads in this process.

    Returns:
        All problems, errors first.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import hinterland as hl
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folder = hl.make_phantoms(Path(place) / "phantoms", (2, 1, 1), dims=2, size=32)
    ...     min(folder.glob("labelsTr/*")).unlink()
    ...     found = check_dataset(folder, workers=0)
    >>> [(problem.severity, problem.code) for problem in found.problems]
    [('error', 'missing-label')]
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
    problems += across_cases(dataset, facts) + _links_out(dataset)
    return Findings.of(problems, cases=len(dataset))


def _links_out(dataset: Dataset) -> list[Problem]:
    """Note links to files outside the data set. They are read, and never written or removed."""
    root = dataset.root.resolve()
    files = [p for c in dataset.cases for p in (*c.images, *((c.label,) if c.label else ()))]
    files += [dataset.root / name for name in ("dataset.json", "labels.yaml", "splits.json")]
    out = [p for p in files if p.exists() and not p.resolve().is_relative_to(root)]
    if not out:
        return []
    return [
        Problem("note", "link-outside", "",
                f"{len(out)} file(s) are links to places outside {dataset.root} (the first: "
                f"{out[0]}, to {out[0].resolve()}). They are read from there, and only read. Copy "
                "them into the folder before you move it or pass it on.")
    ]  # fmt: skip


def _failed(case: Case, outcome: Outcome[CaseFacts]) -> CaseFacts:
    if outcome.kind == "bug":
        raise RuntimeError(f"case {case.name!r}: {outcome.message}")
    message = (
        f"the process that read this case {outcome.message}, again when it was tried alone: most "
        "likely the system killed it because memory ran out, or a file makes the reading library "
        "crash. Give it more memory, or look at the files of the case one by one."
    )
    return CaseFacts(case.name, [Problem("error", "worker-died", case.name, message)])
