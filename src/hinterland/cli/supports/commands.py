"""`hinterland supports ...`: support labels from elsewhere, one command a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hinterland.cli.options import (
    DatasetArgument,
    JsonOption,
    LabelsOption,
    OverwriteOption,
    names,
)
from hinterland.cli.screen import Screen, guarded
from hinterland.cli.supports.options import (
    AcceptOption,
    CasesOption,
    ChannelOption,
    Common,
    CopyOption,
    DeviceOption,
    OutOption,
    ResampleOption,
    StructuresOption,
    UnlabelledOption,
    load,
    run_source,
)

if TYPE_CHECKING:
    from hinterland.supports.sources.nninteractive import ClicksFromFile, ClicksFromMasks

AllowMissingOption = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="A case without a mask of a structure keeps its background as it is, there.",
    ),
]


@guarded
def masks(
    dataset: DatasetArgument,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="MASKS",
            help="Folder of CASE.nii.gz (multi-label; a dataset.json beside them names the "
            "integers), CASE/STRUCTURE.nii.gz, or STRUCTURE/CASE.nii.gz.",
        ),
    ],
    out: OutOption,
    structures: StructuresOption = None,
    cases: CasesOption = None,
    labels: LabelsOption = None,
    unlabelled: UnlabelledOption = False,
    allow_missing: AllowMissingOption = False,
    resample: ResampleOption = False,
    copy: CopyOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add structures from masks on disk: a data set of its own, the old one is not touched."""
    from hinterland.supports.sources.masks import MasksOnDisk

    common = Common(out, structures, resample, copy, False, overwrite, as_json, labels)
    data, chosen = load(dataset, labels, cases, unlabelled)
    source = MasksOnDisk(folder, [c.name for c in chosen], allow_missing=allow_missing)
    run_source(source, data, chosen, common)


@guarded
def agreement(
    made: DatasetArgument,
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE", help="A data set with true labels of structures, same case names."
        ),
    ],
    structures: Annotated[
        str | None,
        typer.Option("--structures", metavar="NODE,...", help="Default: all that both have."),
    ] = None,
    labels: LabelsOption = None,
    reference_labels: Annotated[
        Path | None, typer.Option("--reference-labels", help="The labels.yaml of REFERENCE.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A row a case and structure."),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the Dice of support labels with reference labels of the same cases."""
    from hinterland.data.dataset.read import read_dataset
    from hinterland.evaluation.table import write_table
    from hinterland.supports.agreement import support_agreement

    screen = Screen(as_json)
    table = support_agreement(
        read_dataset(made, labels), read_dataset(reference, reference_labels), names(structures)
    )
    if out:
        write_table(table, out, overwrite=overwrite)
    means = table.groupby("structure", sort=False)["dice"].agg(["mean", "count"])
    for name, row in means.iterrows():
        screen.say(f"{name}: Dice {row['mean']:.3f} ({int(row['count'])} cases)")
    clean = table.astype(object).where(table.notna(), None)
    content = {"dice": {str(n): float(v) for n, v in means["mean"].dropna().items()}}
    screen.result({**content, "cases": clean.to_dict("records")})


@guarded
def model(
    dataset: DatasetArgument,
    path: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A run directory, or a folder that nnU-Net trained."),
    ],
    out: OutOption,
    structures: StructuresOption = None,
    cases: CasesOption = None,
    labels: LabelsOption = None,
    unlabelled: UnlabelledOption = False,
    mirror: Annotated[
        bool | None,
        typer.Option("--mirror/--no-mirror", help="Average over mirrored copies, or be faster."),
    ] = None,
    device: DeviceOption = None,
    copy: CopyOption = False,
    accept_licence: AcceptOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add the structures that a trained model sees: a run of ours, or an nnU-Net model.

    An nnU-Net model runs in nnU-Net's own Python (HINTERLAND_NNUNET_PYTHON).
    """
    from hinterland.studies.supports.own import model_source

    common = Common(out, structures, False, copy, accept_licence, overwrite, as_json, labels)
    data, chosen = load(dataset, labels, cases, unlabelled)
    run_source(model_source(path, device=device, mirror=mirror), data, chosen, common)


@guarded
def totalsegmentator(
    dataset: DatasetArgument,
    out: OutOption,
    structures: StructuresOption = None,
    task: Annotated[
        str, typer.Option("--task", help="Of TotalSegmentator: total (CT), total_mr, ...")
    ] = "total",
    fast: Annotated[bool, typer.Option("--fast", help="Its 3 mm model.")] = False,
    roi: Annotated[
        bool, typer.Option("--roi", help="Compute only what the structures need (total tasks).")
    ] = False,
    licence_number: Annotated[
        str | None,
        typer.Option("--licence-number", help="For tasks that need one; free for academic use."),
    ] = None,
    channel: ChannelOption = 0,
    cases: CasesOption = None,
    labels: LabelsOption = None,
    unlabelled: UnlabelledOption = False,
    device: DeviceOption = None,
    resample: ResampleOption = False,
    copy: CopyOption = False,
    accept_licence: AcceptOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add structures by TotalSegmentator (CT and MR).

    It is best installed in an environment of its own (HINTERLAND_TOTALSEGMENTATOR_PYTHON).
    """
    from hinterland.supports.sources.tools import TotalSegmentator

    common = Common(out, structures, resample, copy, accept_licence, overwrite, as_json, labels)
    data, chosen = load(dataset, labels, cases, unlabelled)
    source = TotalSegmentator(
        task, fast=fast, roi=roi, channel=channel, device=device, licence_number=licence_number
    )
    run_source(source, data, chosen, common)


@guarded
def vibesegmentator(
    dataset: DatasetArgument,
    out: OutOption,
    structures: StructuresOption = None,
    dataset_id: Annotated[
        int, typer.Option("--dataset-id", help="Which of its models; 100 is the current one.")
    ] = 100,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A folder that holds its nnUNet_results.")
    ] = None,
    channel: ChannelOption = 0,
    cases: CasesOption = None,
    labels: LabelsOption = None,
    unlabelled: UnlabelledOption = False,
    device: DeviceOption = None,
    resample: ResampleOption = False,
    copy: CopyOption = False,
    accept_licence: AcceptOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add structures by VIBESegmentator (torso MR; package TPTBox).

    It is best installed in an environment of its own (HINTERLAND_VIBESEGMENTATOR_PYTHON).
    """
    from hinterland.supports.sources.tools import VIBESegmentator

    common = Common(out, structures, resample, copy, accept_licence, overwrite, as_json, labels)
    data, chosen = load(dataset, labels, cases, unlabelled)
    source = VIBESegmentator(dataset_id, weights=weights, channel=channel, device=device)
    run_source(source, data, chosen, common)


@guarded
def nninteractive(
    dataset: DatasetArgument,
    out: OutOption,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Draw clicks inside these masks (layouts as in `masks`)."),
    ] = None,
    clicks: Annotated[
        int, typer.Option("--clicks", metavar="N", help="Random positive clicks a structure.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the clicks.")] = 0,
    click_file: Annotated[
        Path | None,
        typer.Option(
            "--click-file",
            help="Or take these: CSV with case, structure, x, y, z (voxels from 0), positive.",
        ),
    ] = None,
    structures: StructuresOption = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder of an nnInteractive checkpoint.")
    ] = None,
    model_name: Annotated[
        str | None, typer.Option("--model", help="One of its models by name.")
    ] = None,
    channel: ChannelOption = 0,
    cases: CasesOption = None,
    labels: LabelsOption = None,
    unlabelled: UnlabelledOption = False,
    allow_missing: AllowMissingOption = False,
    device: DeviceOption = None,
    copy: CopyOption = False,
    accept_licence: AcceptOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add structures by nnInteractive from a few clicks (weights for non-commercial use).

    It is best installed in an environment of its own (HINTERLAND_NNINTERACTIVE_PYTHON).
    """
    from hinterland.supports.sources.nninteractive import NnInteractive

    common = Common(out, structures, False, copy, accept_licence, overwrite, as_json, labels)
    data, chosen = load(dataset, labels, cases, unlabelled)
    origin = _clicks(masks, click_file, [c.name for c in chosen], clicks, seed, allow_missing)
    source = NnInteractive(
        origin, weights=weights, model=model_name, channel=channel, device=device
    )
    run_source(source, data, chosen, common)


def _clicks(
    masks: Path | None, file: Path | None, cases: list[str], count: int, seed: int, missing: bool
) -> ClicksFromMasks | ClicksFromFile | Any:
    from hinterland.supports.sources.masks import MasksOnDisk
    from hinterland.supports.sources.nninteractive import ClicksFromFile, ClicksFromMasks
    from hinterland.types import HinterlandError

    if (masks is None) == (file is None):
        raise HinterlandError(
            "say where the clicks come from: --masks FOLDER to draw them, or --click-file CSV."
        )
    if file is not None:
        return ClicksFromFile(file)
    assert masks is not None
    return ClicksFromMasks(MasksOnDisk(masks, cases, allow_missing=missing), count, seed)
