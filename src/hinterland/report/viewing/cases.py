"""Which cases a run, a data set or a folder of images has to show, and reading one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hinterland.data.dataset.read import read_dataset
from hinterland.data.dicom.as_images import no_series
from hinterland.data.dicom.files import is_dicom_folder
from hinterland.data.dicom.series import find_series
from hinterland.data.dicom.voxels import read_series
from hinterland.data.io.formats import endings, stem
from hinterland.data.io.volume import read_volume
from hinterland.evaluation.pairing import label_files
from hinterland.evaluation.table import read_table
from hinterland.labels import Coarsening, LabelSpec
from hinterland.report.format import number
from hinterland.report.viewer.reading import case_volumes
from hinterland.report.viewer.scene import CaseVolumes
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_folder import is_run
from hinterland.types import Dataset, HinterlandError


@dataclass(frozen=True)
class ViewCases:
    """The cases that can be shown, those worth seeing first in front.

    Attributes:
        title: what they are of.
        about: one sentence on the order.
        names: of the cases.
        read: name -> the case at full size.
    """

    title: str
    about: str
    names: tuple[str, ...]
    read: Callable[[str], CaseVolumes]

    def chosen(self, wanted: Sequence[str], most: int) -> list[CaseVolumes]:
        """Read the wanted cases, or the first `most`.

        Raises:
            HinterlandError: there is no such case.
        """
        if unknown := [name for name in wanted if name not in self.names]:
            raise HinterlandError(
                f"{self.title} has no case {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(self.names[:8])}{', ...' if len(self.names) > 8 else ''}. "
                "Give --case one of these."
            )
        return [self.read(name) for name in wanted or self.names[:most]]


def open_cases(
    paths: Sequence[Path], at: str | None = None, labels: Path | LabelSpec | None = None
) -> ViewCases:
    """Find out what the paths are: runs, a data set, or images: files, a folder, DICOM.

    Args:
        paths: runs of one data set, or one data set, or images.
        at: the question; default, the data set's target.
        labels: of a data set whose labels are described elsewhere.

    Returns:
        Its cases.

    Raises:
        HinterlandError: the paths are none of these, or hold nothing to show.
    """
    missing = [p for p in paths if not p.exists()]
    if missing:
        raise HinterlandError(
            f"there is nothing at {missing[0]}. Give runs, a data set, or images to look at."
        )
    if any(is_run(p) for p in paths):
        return _run_cases(paths, at)
    files = [f for p in paths for f in ([p] if p.is_file() else sorted(p.iterdir()))]
    images = [f for f in files if f.is_file() and f.name.lower().endswith(endings())]
    if images:
        return _image_cases(paths, images)
    if all(is_dicom_folder(p) for p in paths):
        return _series_cases(paths)
    if len(paths) > 1:
        raise HinterlandError(
            f"{paths[0]} and {paths[1]} are no runs. Several paths must be runs of one data set, "
            "or images; give one data set at a time."
        )
    return dataset_cases(read_dataset(paths[0], labels), at)


def dataset_cases(dataset: Dataset, at: str | None = None) -> ViewCases:
    """Return the cases of a data set with their annotations, those with a label file first."""
    question = _question(dataset, at)
    ordered = sorted(dataset.cases, key=lambda case: case.label is None)
    return ViewCases(
        dataset.name or dataset.root.name,
        "In the order of the data set, cases with annotations first.",
        tuple(case.name for case in ordered),
        lambda name: case_volumes(dataset, dataset[name], question, {}),
    )


def _run_cases(paths: Sequence[Path], at: str | None) -> ViewCases:
    if other := [p for p in paths if not is_run(p)]:
        raise HinterlandError(
            f"{other[0]} is no run, as {next(p for p in paths if is_run(p))} is. Several paths "
            "must all be runs of one data set, or all be images."
        )
    runs = {name: Run(path) for name, path in _named(paths).items()}
    first = next(iter(runs.values()))
    dataset = first.dataset
    for run in runs.values():
        if Path(run.record.dataset["path"]) != Path(first.record.dataset["path"]):
            raise HinterlandError(
                f"{run.path} was trained on {run.record.dataset['path']}, {first.path} on "
                f"{first.record.dataset['path']}. Show runs of one data set beside each other."
            )
    folders = {name: run.path / "predictions" for name, run in runs.items()}
    predicted = [set(_predicted(folder)) for folder in folders.values()]
    known = [case.name for case in dataset.cases if all(case.name in p for p in predicted)]
    if not known:
        raise HinterlandError(
            f"{' and '.join(map(str, paths))} predict no case in common that {dataset.root} has. "
            "Finish the runs (hinterland resume RUN), or show them one at a time."
        )
    question = _question(dataset, at)
    scores = {name: _dice(run, question) for name, run in runs.items()}
    least = next(iter(scores.values()))
    known.sort(key=lambda case: least.get(case, 2.0))

    def read(name: str) -> CaseVolumes:
        told = [f"{run} {number(found[name], 'dice')}" for run, found in scores.items()
                if name in found]  # fmt: skip
        remark = f"Dice: {', '.join(told)}" if told else ""
        return replace(case_volumes(dataset, dataset[name], question, folders), remark=remark)

    return ViewCases(
        " and ".join(runs),
        f"Cases with the lowest Dice of {next(iter(runs))} come first."
        if least else "In the order of the data set.",
        tuple(known), read,
    )  # fmt: skip


def _predicted(folder: Path) -> Mapping[str, Path]:
    if not folder.is_dir():
        raise HinterlandError(
            f"{folder.parent} has no predictions to show. Finish it: hinterland resume "
            f"{folder.parent}; while it trains, hinterland watch {folder.parent} shows it."
        )
    return label_files(folder, "predictions")


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Name runs by their folders, by whole paths where these are the same."""
    short = [p.resolve().name for p in paths]
    return {n if short.count(n) == 1 else str(p): p for n, p in zip(short, paths, strict=True)}


def _dice(run: Run, at: Coarsening) -> dict[str, float]:
    """Return the Dice of each case at a question, the mean over its classes; empty without any."""
    if not (run.path / "metrics.csv").is_file():
        return {}
    table = read_table(run.path / "metrics.csv")
    if not {"dice", "coarsening"} <= set(table):
        return {}
    asked = {**run.questions, "cells": run.method.cells}
    names = [name for name, known in asked.items() if set(known.groups) == set(at.groups)]
    table = table[table["coarsening"].isin(names[:1])]
    means = table.assign(case=table["case"].astype(str)).groupby("case")["dice"].mean().dropna()
    return {str(case): float(value) for case, value in means.items()}


def _image_cases(paths: Sequence[Path], images: Sequence[Path]) -> ViewCases:
    stems = [stem(file) for file in images]
    named = {
        name if stems.count(name) == 1 else str(file): file
        for name, file in zip(stems, images, strict=True)
    }
    return ViewCases(
        paths[0].resolve().name if len(paths) == 1 else f"{len(images)} images",
        "In the order of their names.",
        tuple(named),
        lambda name: CaseVolumes(name, read_volume(named[name])),
    )


def _series_cases(paths: Sequence[Path]) -> ViewCases:
    series, problems = find_series(paths)
    if not series:
        raise no_series(paths[0], problems)
    known = {one.name: one for one in series}
    return ViewCases(
        f"{len(series)} series of DICOM",
        "In the order of their names, which are made from the numbers of the series.",
        tuple(known),
        lambda name: CaseVolumes(name, read_series(known[name])),
    )


def _question(dataset: Dataset, at: str | None) -> Coarsening:
    return dataset.labels.target if at is None else dataset.labels.question(at)
