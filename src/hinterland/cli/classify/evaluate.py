"""`hinterland classify evaluate`: how good a classifier is on test cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.classify.predict import ClassifierArgument
from hinterland.cli.classify.train import ImageLabelsOption
from hinterland.cli.options import JsonOption, LabelsOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded
from hinterland.cli.tables import plain_table


@guarded
def classify_evaluate(
    classifier: ClassifierArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Default: CLASSIFIER/evaluation."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DATASET", help="Judge on another data set (an external test)."
        ),
    ] = None,
    labels: LabelsOption = None,
    image_labels: ImageLabelsOption = None,
    spurious: Annotated[
        str | None,
        typer.Option(
            "--spurious",
            metavar="COLUMN",
            help="A column with 1 where an image carries a mark that goes with the class, else 0: "
            "the robust AUROC is that of positives without it and negatives with it.",
        ),
    ] = None,
    subgroup: Annotated[
        str | None,
        typer.Option("--subgroup", metavar="COLUMN", help="Judge each value of it apart, too."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table", metavar="CSV", help="Where these columns stand. Default: image labels."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a classifier on the test cases of its split, and write a report.

    AUROC, recall, precision ... with intervals; recall by size and place of the lesion; strict
    recall (the right image and the right region).
    """
    from hinterland.classification.evaluation.evaluate import evaluate_classifier
    from hinterland.classification.record import ClassifierRun

    screen = Screen(as_json)
    folder = out or classifier / "evaluation"
    with screen.progress("evaluating") as tick:
        summary = evaluate_classifier(
            ClassifierRun(classifier), folder, data=data, labels=labels,
            image_labels=image_labels, spurious=spurious, subgroup=subgroup, table=table,
            seed=seed, overwrite=overwrite, tick=tick,
        )  # fmt: skip
    if not screen.machine:
        _show(screen, summary)
    screen.say(f"{folder / 'report.html'}: curves, decisions, best and worst cases")
    screen.result({"out": str(folder), **summary})


def _show(screen: Screen, summary: dict) -> None:
    import pandas as pd

    metrics = pd.DataFrame(summary["metrics"])
    title = (
        f"{summary['task']}: {summary['units']} test {summary['unit']}s, 95 % intervals, "
        "threshold of the validation cases"
    )
    screen.say(plain_table(metrics, title))
    if summary["recall"]:
        recall = pd.DataFrame(summary["recall"])
        order = ["class", "by", "subgroup", *(c for c in recall if c not in
                 ("class", "by", "subgroup"))]  # fmt: skip
        screen.say(plain_table(recall[order], "recall by size and place of the lesion"))
