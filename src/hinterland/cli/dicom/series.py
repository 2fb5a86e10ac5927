"""Folders of DICOM where other commands expect images, and segmentations as DICOM again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hinterland.cli.screen import Meter, Screen
    from hinterland.data.dicom.series import Series
    from hinterland.data.integrity.problems import Problem
    from hinterland.data.io.journal import Journal
    from hinterland.labels import Coarsening, LabelSpec

AnonymousOption = Annotated[
    bool,
    typer.Option(
        "--anonymous/--no-anonymous",
        help="Of DICOM: call cases by a hash of the series' number, or by the patient's ID.",
    ),
]


def as_readable(
    context: typer.Context, screen: Screen, images: list[Path], beside: Path, anonymous: bool
) -> tuple[list[Path], Mapping[str, Series], list[Problem]]:
    """Give DICOM as images for as long as the command lasts; other images as they are.

    The problems are those of series that make no image.
    """
    from hinterland.data.dicom.as_images import as_images
    from hinterland.data.dicom.files import holds_dicom

    if not all(path.exists() and holds_dicom(path) for path in images):
        return images, {}, []
    with screen.progress("reading DICOM") as tick:
        made = as_images(images, beside, anonymous=anonymous, progress=tick)
        series, folder, problems = context.with_resource(made)
    for problem in problems:
        if problem.severity != "error":
            screen.note(problem.message)
    for one in series.values():
        screen.note(str(one))
    return [folder], series, [p for p in problems if p.severity == "error"]


def check_series(screen: Screen, folder: Path) -> bool:
    """List the series of a folder and what is wrong with them; whether all is well."""
    from hinterland.data.dicom.series import find_series
    from hinterland.data.integrity.problems import Findings

    found, problems = find_series(folder)
    report = Findings.of(problems, cases=len(found))
    for one in found:
        screen.say(f"{one} ({one.group})")
    screen.say(str(report))
    screen.say(
        f"series of DICOM: predict them as they are, or make a data set: hinterland dicom import "
        f"{folder} OUT"
    )
    screen.result({"ok": report.ok, "tree": None, "series": [s.name for s in found],
                   **report.to_dict()})  # fmt: skip
    return report.ok and bool(found)


def seg_files(series: Mapping[str, Series], out: Path, overwrite: bool, own: Journal) -> list[Path]:
    """Name the DICOM-SEG files of a command; HinterlandError where one is there already."""
    from hinterland.types import HinterlandError

    if not series:
        raise HinterlandError(
            "--dicom-seg: the images are no DICOM, so that there is no series for a DICOM-SEG to "
            "belong to. Give a folder of DICOM, or leave the option away."
        )
    files = [out / "dicom-seg" / f"{name}.dcm" for name in series]
    there = [file for file in files if file.exists() and not own.ours(file)]
    if there and not overwrite:
        raise HinterlandError(
            f"{len(there)} of {len(files)} DICOM-SEG files exist already, the first is {there[0]}. "
            "Give --overwrite to replace them, or another folder."
        )
    return files


def write_segs(
    series: Mapping[str, Series],
    out: Path,
    spec: LabelSpec,
    question: Coarsening,
    model: str,
    own: Journal,
    tick: Meter,
) -> None:
    """Write the segmentations in `out` as DICOM-SEG objects, too."""
    from hinterland.data.io.volume import read_label
    from hinterland.export.dicom_seg import write_dicom_seg
    from hinterland.labels import group_values

    background = question.names[question.background]
    values = group_values(question, spec.default_scheme)
    wanted = {name: value for name, value in values.items() if name != background}
    for done, (name, one) in enumerate(series.items(), start=1):
        file = out / "dicom-seg" / f"{name}.dcm"
        if not own.finished(file):
            own.begin(file)
            labels = read_label(out / f"{name}.nii.gz").array[0]
            write_dicom_seg(one, labels, wanted, file, codes=spec.codes, model=model)
            own.finish(file)
        tick(done, len(series))
