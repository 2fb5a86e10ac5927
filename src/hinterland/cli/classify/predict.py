"""`hinterland classify predict`: image labels of new images, with the masks that explain them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption
from hinterland.cli.predict import find_cases
from hinterland.cli.screen import Screen, guarded

ClassifierArgument = Annotated[
    Path,
    typer.Argument(metavar="CLASSIFIER", help="A directory that `classify train` made."),
]


@guarded
def classify_predict(
    classifier: ClassifierArgument,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES...", help="A folder of images, or image files."),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for predictions.csv and masks/.")
    ],
    patient_pattern: Annotated[
        str | None,
        typer.Option(
            "--patient-pattern",
            metavar="REGEX",
            help="Takes the patient out of an image's name, as in '(p[0-9]+)_'; its first group. "
            "Default: group_pattern of the classifier's labels.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Classify images.

    Calibrated probabilities, the class at the operating point, and the mask that shows why, where
    the classifier has one, with its size and place. Where patients are judged, patients.csv joins
    the scores of each patient's images. Stopped, the same command may be given again.
    """
    from hinterland.classification.fitting.operating_point import FILE
    from hinterland.classification.predict import (
        decisions,
        patient_table,
        predict_images,
        with_patients,
    )
    from hinterland.classification.record import ClassifierRun
    from hinterland.data.io.csv_text import csv_text
    from hinterland.data.io.files import file_stamp, image_stamps, write_text
    from hinterland.data.io.journal import journal
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    run = ClassifierRun(classifier)
    cases = find_cases(images, len(run.record.plan.channels))
    cases = with_patients(cases, run.record, patient_pattern)
    table, joined = out / "predictions.csv", out / "patients.csv"
    asked = {
        "classifier": [file_stamp(classifier / name) for name in ("config.yaml", FILE)],
        "cases": image_stamps(cases),
        "patients": patient_pattern,
    }
    own = journal(None if overwrite else out, asked)
    with screen.progress("classifying") as tick, own as written:
        if table.exists() and not overwrite and not written.ours(table):
            raise HinterlandError(f"{table} exists already. Give --overwrite, or another folder.")
        found = predict_images(
            run, cases, out / "masks", overwrite=overwrite, journal=written, tick=tick
        )
        patients = patient_table(run, found)
        written.begin(table, joined)
        write_text(table, csv_text(found))
        if len(patients):
            write_text(joined, csv_text(patients))
    if len(patients):
        counts = decisions(run.record.task, patients)
        screen.say(f"{joined}: " + ", ".join(f"{n} {c}" for c, n in counts.items()))
    counts = decisions(run.record.task, found)
    screen.say(f"{table}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    screen.result(
        {
            "out": str(out),
            "cases": found.to_dict("records"),
            "patients": patients.to_dict("records"),
        }
    )
