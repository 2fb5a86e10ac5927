"""`hinterland split`: draw train, val and test by patient, and write splits.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import DatasetArgument, JsonOption, LabelsOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded


@guarded
def split(
    dataset: DatasetArgument,
    shares: Annotated[
        str, typer.Option("--shares", metavar="TRAIN-VAL-TEST", help="Of the patients.")
    ] = "70-10-20",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draw.")] = 0,
    pool: Annotated[
        bool, typer.Option("--pool", help="Draw from the author's test cases, too.")
    ] = False,
    labels: LabelsOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: DATASET/splits.json.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw who is trained on, selected by and tested on; patients are never divided.

    All runs with --fold fixed then have this split, whatever their seed.
    """
    from hinterland.data.dataset.draw_split import draw_split, split_text
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.io.files import write_text
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    file = out or dataset / "splits.json"
    if file.exists() and not overwrite:
        raise HinterlandError(f"{file} is there already. Choose another --out, or --overwrite.")
    try:
        parts = [float(text) for text in shares.split("-")]
    except ValueError:
        raise HinterlandError(
            f"--shares {shares}: expected TRAIN-VAL-TEST, such as 70-10-20."
        ) from None
    drawn = draw_split(read_dataset(dataset, labels), parts, seed, pool=pool)
    write_text(file, split_text(drawn, {"shares": shares, "seed": seed}))
    counts = {name: len(getattr(drawn, name)) for name in ("train", "val", "test")}
    screen.say(", ".join(f"{name}: {count} cases" for name, count in counts.items()))
    screen.say(f"written: {file}\nnext: hinterland train {dataset} --fold fixed ...")
    screen.result({"file": str(file), **counts})
