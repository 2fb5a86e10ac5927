"""`hinterland evaluate`: metrics of anybody's predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hinterland.cli.from_outside import from_outside
from hinterland.cli.options import JsonOption, LabelsOption, OverwriteOption, names
from hinterland.cli.screen import Meter, Screen, guarded
from hinterland.cli.tables import plain_table, summary_table

if TYPE_CHECKING:
    from hinterland.evaluation.metrics.metrics import MetricSettings


@guarded
def evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PRED", help="Folder of predicted label files.")
    ],
    references: Annotated[
        Path, typer.Argument(metavar="REF", help="Folder of reference label files.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The table: .csv or .parquet, one row per case and class.")
    ],
    labels: LabelsOption = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="COARSENING,...",
            help="The questions: target, leaves, a name or expression. Default: labels.yaml's.",
        ),
    ] = None,
    empty: Annotated[
        str | None,
        typer.Option(
            "--empty", metavar="penalty|drop|ssl4mis", help="What an empty mask is worth."
        ),
    ] = None,
    convention: Annotated[
        str,
        typer.Option(
            "--convention",
            metavar="NAME|all",
            help="Whose definitions: hinterland, monai, medpy, ssl4mis; `all` shows them side by "
            "side.",
        ),
    ] = "hinterland",
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="Of NSD, in mm (or voxels). Default: 1.")
    ] = None,
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Lesion-wise metrics, too (connected components).")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME,...",
            help="Further metrics, by name or family (lesions), those of other packages among "
            "them; an unknown name lists what there is." + from_outside("metrics"),
        ),
    ] = None,
    cases: Annotated[
        str | None, typer.Option("--cases", metavar="NAME,...", help="Only these cases.")
    ] = None,
    trust_reference: Annotated[
        bool,
        typer.Option("--trust-reference", help="Where the headers differ, the reference's counts."),
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hold a folder of segmentations against references: Dice, Jaccard, HD95, ASSD, NSD, volumes.

    No training run is needed; nnU-Net's output folders will do. A missing prediction is an error,
    never skipped.
    """
    from hinterland.evaluation.table import write_table
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    if out.exists() and not overwrite:
        raise HinterlandError(f"{out} exists already. Give --overwrite, or another --out.")
    if out.suffix not in (".csv", ".parquet"):
        raise HinterlandError(f"--out {out}: expected a name that ends in .csv or .parquet.")
    options: dict[str, Any] = {
        "spec": labels,
        "at": at,
        "lesions": lesions,
        "metrics": names(metric),
        "cases": names(cases) or None,
        "trust_reference": trust_reference,
    }
    with screen.progress("evaluating") as tick:
        if convention == "all":
            table = _all(predictions, references, empty, options, tick)
        else:
            settings = definitions(convention, empty, tolerance)
            table = _one(predictions, references, settings, options, tick)
    write_table(table, out, overwrite=overwrite)
    shown = _show(screen, table, convention)
    screen.say(f"written to {out}")
    screen.result({"out": str(out), "rows": len(table), "results": shown})


def definitions(convention: str, empty: str | None, tolerance: float | None) -> MetricSettings:
    """Return the settings of a convention, with the given options in place of its own."""
    from hinterland.evaluation.metrics.conventions import convention as named

    changes: dict[str, Any] = {}
    if empty is not None:
        changes["empty"] = empty
    if tolerance is not None:
        changes["tolerance"] = tolerance
    return replace(named(convention), **changes)


def _one(
    predictions: Path, references: Path, settings: MetricSettings, options: dict, tick: Meter
) -> Any:
    from hinterland.evaluation.folders import evaluate_folders

    return evaluate_folders(predictions, references, settings=settings, progress=tick, **options)


def _all(predictions: Path, references: Path, empty: str | None, options: dict, tick: Meter) -> Any:
    from hinterland.evaluation.metrics.conventions import evaluate_conventions
    from hinterland.types import HinterlandError

    if empty is not None:
        raise HinterlandError("--convention all shows each convention's own rule; leave --empty.")
    return evaluate_conventions(predictions, references, progress=tick, **options)


def _show(screen: Screen, table: Any, convention: str) -> list[dict[Any, Any]]:
    from hinterland.evaluation.metrics.conventions import side_by_side
    from hinterland.evaluation.metrics.metric import Shown
    from hinterland.evaluation.metrics.registry import METRICS, metric_columns
    from hinterland.evaluation.table import summarise

    units = ", ".join(dict.fromkeys(table["unit"].astype(str)))
    if convention == "all":
        frame = side_by_side(table)
        screen.say(plain_table(frame, "the same predictions under four conventions"))
        return frame.to_dict("records")
    summary = summarise(table)
    shown = [m for m in metric_columns(table) if METRICS.get(m).shown != Shown.TABLE]
    policy = ", ".join(dict.fromkeys(table["empty"].astype(str)))
    title = f"mean over cases; distances in {units}; empty masks: {policy}"
    screen.say(summary_table(summary, title, shown))
    return summary.drop(columns=["method"], errors="ignore").to_dict("records")
