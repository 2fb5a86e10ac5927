"""`hinterland analyse calibration`: do voxels' probabilities mean what they say?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, LabelsOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded


@guarded
def analyse_calibration(
    predictions: Annotated[
        Path, typer.Argument(metavar="PRED", help="Folder of `predict --probabilities`.")
    ],
    references: Annotated[
        Path, typer.Argument(metavar="REF", help="Folder of reference label files.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    labels: LabelsOption = None,
    at: Annotated[
        str, typer.Option("--at", metavar="COARSENING", help="The question that was predicted.")
    ] = "target",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure Brier score and calibration error of stored probabilities, voxel by voxel.

    Writes DIR/reliability.png, the tables behind it, and summary.json.
    """
    from hinterland.studies.calibration import analyse_calibration as analyse

    screen = Screen(as_json)
    found = analyse(predictions, references, out, labels=labels, at=at, overwrite=overwrite)
    for name, scores in found["classes"].items():
        parts = [
            f"{k} {v['mean']:.4f} [{v['low']:.4f}, {v['high']:.4f}]" for k, v in scores.items()
        ]
        screen.say(f"{name}: {', '.join(parts)}")
    screen.say(f"results: {out}")
    screen.result(found)
