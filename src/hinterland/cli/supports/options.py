"""Hold what the commands of `hinterland supports` share: options, and how a source is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hinterland.cli.options import names
from hinterland.cli.screen import Screen

if TYPE_CHECKING:
    from hinterland.supports.sources.source import Source
    from hinterland.types import Case, Dataset

OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="The data set to make, with the supports.")
]
StructuresOption = Annotated[
    str | None,
    typer.Option(
        "--structures",
        metavar="NAME[=NODE],...",
        help="What to add, and as which node of the label tree: `liver`, `lung_*=lung`, `all`. "
        "Where masks overlap, the first one wins.",
    ),
]
CasesOption = Annotated[
    str | None,
    typer.Option(
        "--cases",
        metavar="SPLIT|NAME,...",
        help="Only these: train, val, test, all, names, globs. Default: all but test cases.",
    ),
]
UnlabelledOption = Annotated[
    bool,
    typer.Option("--unlabelled", help="Cases without a label file, too (lesions stay possible)."),
]
ResampleOption = Annotated[
    bool,
    typer.Option("--resample", help="Masks on another grid: nearest neighbour, not an error."),
]
CopyOption = Annotated[
    bool, typer.Option("--copy", help="Copy the images instead of linking to them.")
]
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-licence", help="You have read the licence of the weights and accept."),
]
ChannelOption = Annotated[
    int, typer.Option("--channel", min=0, help="Of the images, where there are several.")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda or mps. Default: the best that is there.")
]


@dataclass(frozen=True)
class Common:
    """Options that every source is run with."""

    out: Path
    structures: str | None
    resample: bool
    copy: bool
    accept_licence: bool
    overwrite: bool
    as_json: bool
    labels: Path | None


def load(
    dataset: Path, labels: Path | None, cases: str | None, unlabelled: bool
) -> tuple[Dataset, tuple[Case, ...]]:
    """Read the data set and choose the cases to work on."""
    from hinterland.data.dataset.read import read_dataset
    from hinterland.supports.add import choose_cases

    data = read_dataset(dataset, labels)
    return data, choose_cases(data, names(cases) or None, unlabelled)


def run_source(source: Source, data: Dataset, cases: tuple[Case, ...], common: Common) -> None:
    """Add the supports, with a progress bar; say what was found."""
    from hinterland.data.derived.provenance import SHEETS
    from hinterland.supports.add import Options, add_supports

    screen = Screen(common.as_json)
    options = Options(common.resample, common.copy, common.accept_licence, common.overwrite)
    try:
        if source.licence is not None and common.accept_licence:
            screen.note(f"licence of the weights, accepted: {source.licence}")
        with screen.progress("adding supports") as tick:
            found = add_supports(
                data, source, common.out, cases, names(common.structures) or None, options,
                labels=common.labels, tick=tick,
            )  # fmt: skip
    finally:
        source.close()
    screen.say(found["tree"])
    for entry in found["structures"]:
        screen.say(_sentence(entry))
    screen.say(
        f"{found['cases']} cases with supports, {found['cases_left']} as they were. "
        f"Data set: {common.out}; sheets: {common.out / SHEETS}"
    )
    screen.result(found)


def _sentence(entry: dict[str, Any]) -> str:
    volume = entry["median_volume_ml"]
    text = f"{entry['structure']}: in {entry['cases_found']} of {entry['cases_given']} cases"
    text += f", median {volume:.4g} ml" if volume is not None else f", {entry['voxels']} voxels"
    if entry["lesion_voxels"]:
        text += f"; {entry['lesion_voxels']} voxels inside annotated lesions (lesion kept)"
    elif entry["annotated"]:
        text += f"; {entry['annotated']} voxels were annotated so or otherwise (annotation kept)"
    if entry["voxels"] and not entry["written"]:
        text += "; NOTHING was added: the label files say all of it already"
    for flag, cases in entry["flagged"].items():
        more = f" and {len(cases) - 3} more" if len(cases) > 3 else ""
        text += f"; {flag}: {', '.join(cases[:3])}{more}"
    return text
