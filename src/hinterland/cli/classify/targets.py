"""`hinterland classify targets`: organ masks of another tool x image labels -> targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.classify.train import ImageLabelsOption
from hinterland.cli.options import DatasetArgument, JsonOption, LabelsOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from hinterland.classification.dataset.organ_targets import Organs, Pair
    from hinterland.supports.sources.masks import MasksOnDisk
    from hinterland.types import Case


@guarded
def classify_targets(
    dataset: DatasetArgument,
    masks: Annotated[
        Path,
        typer.Argument(
            metavar="MASKS",
            help="Masks of another tool: CASE.nii.gz, CASE/ORGAN.nii.gz or ORGAN/CASE.nii.gz.",
        ),
    ],
    find: Annotated[
        list[str],
        typer.Option(
            "--find",
            metavar="FINDING:ORGAN[:NODE]",
            help="A finding (COLUMN of yes and no, or COLUMN=VALUE), its organ in MASKS, and what "
            "the target is called; repeatable. 'C*:vertebrae_C*:fracture' is one for each column.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="The data set to make.")],
    labels: LabelsOption = None,
    image_labels: ImageLabelsOption = None,
    resample: Annotated[
        bool,
        typer.Option("--resample", help="Bring masks onto the image's grid (nearest neighbour)."),
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make targets of organ masks and image labels: the organ in which a finding is.

    Where a finding is labelled as absent, its organ is a support label; where it is not known, the
    voxels are left open. The result is a data set to train on.
    """
    from hinterland.classification.dataset.cases import with_image_labels
    from hinterland.classification.dataset.organ_targets import organ_targets, parse_pairs
    from hinterland.data.dataset.read import read_dataset
    from hinterland.supports.sources.masks import MasksOnDisk

    screen = Screen(as_json)
    data = with_image_labels(read_dataset(dataset, labels), image_labels)
    source = MasksOnDisk(masks, [c.name for c in data.cases], allow_missing=True)
    columns = list(dict.fromkeys(k for c in data.cases for k in c.image_labels))
    pairs = parse_pairs(find, columns, source.names)
    with screen.progress("targets") as tick:
        made = organ_targets(
            data, pairs, _organs(source, pairs, resample), out, overwrite=overwrite, tick=tick
        )
    counts = made.counts
    screen.say(
        f"{out}: {counts['present']} cases with a target, {counts['absent']} without, "
        f"{counts['unknown']} of which nothing is known"
    )
    if made.left_out:
        screen.say(
            f"{counts['left_out']} cases may have a finding whose organ the masks do not show "
            f"({', '.join(made.left_out[:3])}): they get no mask"
        )
    nodes = list(dict.fromkeys(p.node for p in pairs))
    screen.say(f"next: hinterland train {out} --method supervised --on leaves --fold fixed ...")
    screen.say(f"then: hinterland classify train RUN --task {','.join(nodes)} --by rule ...")
    screen.result({"out": str(out), "pairs": [vars(p) for p in pairs], **counts})


def _organs(
    source: MasksOnDisk, pairs: tuple[Pair, ...], resample: bool
) -> Callable[[Case], Organs]:
    """Read the masks of a case and bring them onto its image's grid."""
    from hinterland.classification.dataset.organ_targets import Organs
    from hinterland.supports.grid import on_grid
    from hinterland.supports.sources.source import UNKNOWN
    from hinterland.supports.structures import Structure

    structures = tuple(Structure(p.organ, (p.organ,)) for p in pairs)

    def seen(case: Case) -> Organs:
        found = on_grid(source.segment(case, structures), case, resample)
        masks = {
            s.node: found.index == i
            for i, s in enumerate(structures, start=1)
            if s.node in found.provided
        }
        return Organs(masks, found.index == UNKNOWN)

    return seen
