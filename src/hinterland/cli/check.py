"""`hinterland check`: is a data set fit to be trained on, or an image to be segmented?"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.dicom.series import as_readable, check_series
from hinterland.cli.options import DatasetArgument, JsonOption, LabelsOption
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.data.integrity.problems import Findings
    from hinterland.labels import LabelSpec

ForOption = Annotated[
    Path | None,
    typer.Option(
        "--for",
        metavar="RUN",
        help="DATASET is a folder of new images (or one image): would this model know them?",
    ),
]
GroupOption = Annotated[
    Path | None,
    typer.Option(
        "--group-duplicates",
        metavar="FILE",
        help="Write the part of labels.yaml that gives copies and near-duplicates one group each, "
        "so that no fold divides them.",
    ),
]


@guarded
def check(
    context: typer.Context,
    dataset: DatasetArgument,
    labels: LabelsOption = None,
    model: ForOption = None,
    group_duplicates: GroupOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every file once; list everything that is wrong, and show the label tree.

    With --for RUN, new images are held against the model of a run instead: channels, geometry,
    intensities and axes. A folder of DICOM is listed series by series. Errors exit with 1. Warnings
    (probably not meant) and notes (worth knowing) exit with 0.
    """
    from hinterland.data.dicom.files import is_dicom_folder

    screen = Screen(as_json)
    if model is not None:
        _check_images(screen, context, dataset, model)
    elif is_dicom_folder(dataset):
        if not check_series(screen, dataset):
            raise typer.Exit(1)
    else:
        _check_dataset(screen, dataset, labels, group_duplicates)


def _check_dataset(
    screen: Screen, dataset: Path, labels: Path | None, groups_file: Path | None
) -> None:
    from hinterland.data.dataset.read import scan
    from hinterland.data.integrity.check import check_dataset

    with screen.progress("checking") as tick:
        report = check_dataset(dataset, labels, tick)
    found, _ = scan(dataset, labels)
    tree = None
    if found is not None:
        tree = found.labels.tree.draw(_notes(found.labels))
        counts = {s: len(found.of(s)) for s in ("train", "val", "test")}
        groups = len({c.group for c in found.cases})
        screen.say(tree)
        screen.say(
            f"asked by default: {found.labels.target}\n"
            f"{len(found)} {'case' if len(found) == 1 else 'cases'} of {groups} "
            f"{'patient or group' if groups == 1 else 'patients or groups'}: "
            + ", ".join(f"{n} {split}" for split, n in counts.items())
            + f", {sum(not c.labelled for c in found.cases)} unlabelled"
        )
    screen.say(str(report))
    if groups_file is not None:
        _write_groups(report, groups_file)
        screen.say(f"groups of copies: {groups_file}; put them under `cases` in labels.yaml")
    screen.result({"ok": report.ok, "tree": tree, **report.to_dict()})
    if not report.ok:
        raise typer.Exit(1)


def _write_groups(report: Findings, file: Path) -> None:
    from hinterland.data.integrity.near_duplicates import clusters
    from hinterland.data.io.files import write_text

    pairs = [
        (p.case, other) for p in report.problems for other in p.others
        if p.code in (
            "duplicate-case", "same-image-across-splits", "near-duplicate",
            "near-duplicate-across-splits",
        )
    ]  # fmt: skip
    lines = [
        f"  {json.dumps(name)}: {{group: {json.dumps('copies-of-' + members[0])}}}"
        for members in clusters(pairs)
        for name in members
    ]
    write_text(file, "\n".join(["cases:", *lines]) + "\n" if lines else "cases: {}\n")


def _check_images(screen: Screen, context: typer.Context, images: Path, model: Path) -> None:
    from hinterland.cli.predict import find_cases
    from hinterland.data.integrity.images import Expected, check_images
    from hinterland.data.integrity.problems import Findings
    from hinterland.data.planning.fingerprint import stored_fingerprint
    from hinterland.data.preprocessing.cache import cache_root
    from hinterland.training.runs.record import RunRecord

    plan = RunRecord.read(model).plan
    beside = Path(tempfile.gettempdir()) / "check"
    given, _, unmade = as_readable(context, screen, [images], beside, True)
    cases = find_cases(given, len(plan.channels))
    trained = stored_fingerprint(plan.fingerprint, [model, cache_root() / "fingerprints"])
    with screen.progress("checking") as tick:
        report = check_images(cases, Expected(plan, trained), progress=tick)
    report = Findings.of([*unmade, *report.problems], report.cases + len(unmade))
    screen.say(str(report))
    screen.result({"ok": report.ok, "tree": None, **report.to_dict()})
    if not report.ok:
        raise typer.Exit(1)


def _notes(spec: LabelSpec) -> dict[str, str]:
    """Return node -> the integers that mean it, by scheme where there are several."""
    notes: dict[str, list[str]] = {}
    schemes = [s for s in spec.schemes.values() if s.values]
    for scheme in schemes:
        for value, leaves in scheme.values:
            node = spec.tree.node_for(leaves)
            if node is not None:
                label = f"{scheme.name} {value}" if len(schemes) > 1 else str(value)
                notes.setdefault(node, []).append(label)
    return {node: f"= {', '.join(values)}" for node, values in notes.items()}
