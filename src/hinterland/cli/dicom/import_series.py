"""`hinterland dicom import`: a data set from folders of DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.dicom.series import AnonymousOption
from hinterland.cli.options import JsonOption, names
from hinterland.cli.screen import Screen, guarded


@guarded
def dicom_import(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="DICOM files, in whatever folders below it.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The data set to make.")],
    structures: Annotated[
        str | None,
        typer.Option(
            "--structures",
            metavar="NAME=CLASS,...",
            help="Outlines (RTSTRUCT) that become masks: patterns of their names, and the classes. "
            "Where they overlap, the first wins.",
        ),
    ] = None,
    anonymous: AnonymousOption = True,
    as_json: JsonOption = False,
) -> None:
    """Write series as NIfTI images, outlines as masks, and a labels.yaml that names both.

    Needs the extra `dicom`. Nothing of a patient's name goes into files, unless --no-anonymous. A
    series that makes no volume is named and stops no other; the exit code is 1 then.
    """
    from hinterland.data.dicom.dataset import write_dataset

    screen = Screen(as_json)
    asked = _structures(names(structures))
    with screen.progress("reading DICOM") as tick:
        made = write_dataset(folder, out, asked, anonymous=anonymous, progress=tick)
    for problem in made.problems:
        screen.say(f"{problem.severity} [{problem.code}] {problem.case} {problem.message}")
    screen.say(f"{len(made.cases)} images in {out}, {len(made.masked)} with masks")
    screen.say(f"next: hinterland check {out}")
    left = [p.message for p in made.problems if p.severity == "error"]
    content = {"out": str(out), "cases": list(made.cases), "masked": list(made.masked)}
    screen.result({**content, "left_out": left})
    if left:
        raise typer.Exit(1)


def _structures(given: list[str]) -> dict[str, str]:
    """Read PATTERN=CLASS, or a name that is its own class."""
    from hinterland.types import HinterlandError

    found = {}
    for text in given:
        pattern, sign, name = (part.strip() for part in text.partition("="))
        if not pattern or (sign and not name) or (not sign and "*" in pattern):
            raise HinterlandError(f"--structures {text}: expected NAME=CLASS, as in GTV*=tumour.")
        found[pattern] = name or pattern
    return found
