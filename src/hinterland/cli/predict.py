"""`hinterland predict`: segmentations of new images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hinterland.cli.dicom.series import AnonymousOption, as_readable, seg_files, write_segs
from hinterland.cli.from_outside import from_outside
from hinterland.cli.options import (
    AcceleratorOption,
    AutoMirrorOption,
    BackendOption,
    CheckpointOption,
    FastOption,
    JsonOption,
    MirrorOption,
    OverwriteOption,
    PrecisionOption,
    RunArgument,
    mirroring,
    refuse_unknown_words,
)
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.inference.volumes import Predictor
    from hinterland.labels import Coarsening
    from hinterland.training.runs.run import Run
    from hinterland.types import Case


@guarded
def predict(
    context: typer.Context,
    run: RunArgument,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES...",
            help="A folder of images (NAME_0000.nii.gz, ... as nnU-Net names channels, or one file "
            "a case), image files, or folders of DICOM series." + from_outside("formats"),
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the segmentations.")],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="COARSENING",
            help="What is asked: target, leaves, a question of labels.yaml, or an expression. "
            "Default: all that the model tells apart, and the coarser questions of labels.yaml in "
            "OUT/at/QUESTION.",
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the groups' probabilities, too.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Write maps of the entropy of the prediction (0 sure, 1 no idea); with several "
            "decoders or networks, of their mean.",
        ),
    ] = False,
    disagreement: Annotated[
        bool,
        typer.Option(
            "--disagreement",
            help="Write maps of how far a method's decoders or networks differ (0 to 1), such as "
            "the foreground and background views of cvbm.",
        ),
    ] = False,
    dicom_seg: Annotated[
        bool,
        typer.Option("--dicom-seg", help="Of DICOM series: write DICOM-SEG to OUT/dicom-seg, too."),
    ] = False,
    anonymous: AnonymousOption = True,
    checkpoint: CheckpointOption = None,
    mirror: MirrorOption = None,
    auto_mirror: AutoMirrorOption = False,
    fast: FastOption = False,
    precision: PrecisionOption = None,
    accelerator: AcceleratorOption = None,
    backend: BackendOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Segment images with a trained run; the output has the geometry of the input.

    A dataset.json beside the segmentations says what their integers mean. Without --at, OUT/at
    holds the answers to the coarser questions of labels.yaml, decided by summed probabilities.
    Probabilities and maps are in folders of their own inside OUT. Stopped, the same command goes
    on where it was. A scan that cannot be read is named at the end and stops no other; the exit
    code is 1 then.
    """
    from hinterland.data.integrity.images import Expected, check_images
    from hinterland.data.io.journal import journal
    from hinterland.inference.folder import unreadable
    from hinterland.inference.uncertainty import refuse_existing, write_maps
    from hinterland.labels import group_values
    from hinterland.training.runs.run import Run
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    model = Run(run)
    record = model.record
    refuse_unknown_words(checkpoint, precision)
    question = record.spec.question(at) if at else model.method.cells
    question.over(model.method.cells)  # refuse before anything is read
    images, series, unmade = as_readable(context, screen, images, out, anonymous)
    cases = find_cases(images, len(record.plan.channels))
    kinds = (("uncertainty", uncertainty), ("disagreement", disagreement))
    maps = tuple(kind for kind, wanted in kinds if wanted)
    mirrored = mirroring(mirror, auto_mirror)
    if fast and maps:
        raise HinterlandError(
            f"--fast predicts a part of the image, and --{maps[0]} is a map of all of it. Give "
            "them in two commands, into two folders."
        )
    broken = {p.case: p.message for p in unmade}
    for problem in check_images(cases, Expected(record.plan), voxels=False, workers=0).problems:
        if problem.severity == "error":
            broken.setdefault(problem.case, problem.message)
        else:
            screen.note(f"{problem.case}: {problem.message}")
    sound = tuple(c for c in cases if c.name not in broken)
    if not sound:
        raise unreadable(broken, len(cases) + len(unmade), out)
    if disagreement:
        _refuse_single_opinion(model, checkpoint)
    predictor = model.predictor(
        checkpoint,  # type: ignore[arg-type]
        accelerator=accelerator,
        precision=precision,
        mirror=mirrored,
        fast=fast,
        backend=backend,
    )
    if auto_mirror:
        screen.note(f"mirroring: {'yes' if predictor.options.mirror else 'no'}; {_measured(model)}")
    if not model.finished:
        screen.note(
            f"{run} is not finished; this is its {checkpoint or model.reported} checkpoint so far. "
            f"Finish it: hinterland resume {run}"
        )
    asked = _asked(model, predictor, checkpoint, cases, question, probabilities, maps)
    if dicom_seg:
        asked["dicom-seg"] = True
    if predictor.search:
        asked["search"] = repr(predictor.search)
    if backend:
        asked["backend"] = backend
    own = journal(None if overwrite else out, asked)
    with screen.progress("predicting") as tick, own as written:
        if not overwrite:
            refuse_existing(out, sound, maps, written)
        if dicom_seg:
            segs = seg_files(series, out, overwrite, written)
        model.predict(
            sound,
            out,
            at=question if at else None,
            probabilities=probabilities,
            overwrite=overwrite,
            predictor=predictor,
            tick=tick,
            journal=written,
            broken=broken,
        )
        sound = tuple(c for c in sound if c.name not in broken)
        if maps and sound:
            tick.stage("maps")
            write_maps(
                model, sound, out, maps, which=checkpoint,  # type: ignore[arg-type]
                options=predictor.options, overwrite=overwrite, tick=tick, journal=written,
            )  # fmt: skip
        if dicom_seg:
            tick.stage("DICOM-SEG")
            done = {c.name: series[c.name] for c in sound}
            write_segs(done, out, record.spec, question, record.method, written, tick)
        if broken:  # the journal stays: the same command goes on with these
            raise unreadable(broken, len(cases) + len(unmade), out)
    values = group_values(question, record.spec.default_scheme)
    screen.say(
        f"{len(cases)} segmentations in {out}: "
        + ", ".join(f"{value} {name}" for name, value in values.items())
    )
    if maps:
        screen.say(f"maps in {', '.join(str(out / kind) for kind in maps)}")
    if dicom_seg:
        screen.say(f"DICOM-SEG in {segs[0].parent}; as the archive needs it, it names the patient")
    content = {"out": str(out), "cases": [c.name for c in cases], "labels": values}
    screen.result({**content, "maps": [str(out / kind) for kind in maps]})


def _asked(
    model: Run,
    predictor: Predictor,
    checkpoint: str | None,
    cases: tuple[Case, ...],
    question: Coarsening,
    probabilities: bool,
    maps: tuple[str, ...],
) -> dict[str, Any]:
    """Tell what makes two calls the same work, in JSON's types."""
    from hinterland.data.io.files import file_stamp, image_stamps

    weights = model.path / "checkpoints" / f"{checkpoint or model.reported}.ckpt"
    return {
        "weights": file_stamp(weights),
        "options": repr(predictor.options),
        "cases": image_stamps(cases),
        "at": question.to_dict(),
        "probabilities": probabilities,
        "maps": maps,
    }


def _measured(run: Run) -> str:
    from hinterland.training.runs.shortcuts import sentence

    return sentence(run.shortcuts or {})


def _refuse_single_opinion(run: Run, checkpoint: str | None) -> None:
    from hinterland.inference.uncertainty import count_predictions
    from hinterland.types import HinterlandError

    if count_predictions(run, checkpoint) < 2:  # type: ignore[arg-type]
        raise HinterlandError(
            f"--disagreement: {run.record.method}, as it was trained, has one opinion of an image, "
            "so there is nothing to disagree. Take --uncertainty, or train a method with several "
            "decoders or networks (cvbm with two views, mc-net, cps)."
        )


def find_cases(images: list[Path], channels: int) -> tuple[Case, ...]:
    """Find the cases in a folder, or those of the given files."""
    from hinterland.data.dataset.images import read_images

    return read_images(images[0] if len(images) == 1 and not images[0].is_file() else images,
                       channels)  # fmt: skip
