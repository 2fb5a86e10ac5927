"""A finished run, exported by the command line and predicted by nnU-Net from the raw images.

Set HINTERLAND_NNUNET_PYTHON (a Python with nnU-Net), HINTERLAND_RUNS (run directories, separated
by ":") and, if all unseen cases would take too long, HINTERLAND_CASES (how many of each run).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hinterland.data.volume import file_ending, read_volume
from hinterland.training.run import Run

NNUNET = os.environ.get("HINTERLAND_NNUNET_PYTHON")
RUNS = [Path(p) for p in os.environ.get("HINTERLAND_RUNS", "").split(":") if p]
CASES = int(os.environ.get("HINTERLAND_CASES", "0")) or None
COMMAND = "from hinterland.cli.main import main; main()"


def export(run: Path, out: Path) -> dict[str, int]:
    """`hinterland export RUN OUT --to nnunet`: which integer nnU-Net writes for each class."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "export", str(run), str(out), "--to", "nnunet", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["labels"]


def predict_with_nnunet(model: Path, images: Path, out: Path) -> None:
    folders = dict.fromkeys(("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"), str(model))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | folders
    script = Path(__file__).with_name("nnunet_script.py")
    done = subprocess.run(
        [str(NNUNET), str(script), str(model), "images", str(images), str(out)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def agreement(path: Path, work: Path, cases: int | None = None) -> dict[str, object]:
    """Share of equal voxels over all cases, and the least Dice of each class between both."""
    run = Run(path)
    unseen = (
        run.record.cases(run.dataset, "test") or run.record.cases(run.dataset, "val")
    )[:cases]  # fmt: skip
    theirs = export(path, work / "model")
    # nnU-Net computes in float32 on a CPU; a run may prefer bf16, which moves labels by itself.
    ours_file = run.predict(unseen, work / "ours", predictor=run.predictor(precision="fp32"))
    ours = json.loads((ours_file / "dataset.json").read_text())["labels"]
    images = work / "images"
    images.mkdir()
    for case in unseen:
        for index, image in enumerate(case.images):
            name = f"{case.name}_{index:04d}{file_ending(image)}"
            (images / name).symlink_to(image.resolve())
    predict_with_nnunet(work / "model", images, work / "theirs")

    equal = total = 0
    dice: dict[str, list[float]] = {name: [] for name in ours}
    for case in unseen:
        ending = file_ending(case.images[0])
        a, b = (
            read_volume(work / who / f"{case.name}{ending}").array[0] for who in ("ours", "theirs")
        )
        translated = np.full(a.shape, -1)
        for name, value in ours.items():
            x, y = a == value, b == theirs[name]
            translated[x] = theirs[name]
            if x.any() or y.any():
                dice[name].append(2 * (x & y).sum() / (x.sum() + y.sum()))
        equal += int((translated == b).sum())
        total += a.size
    return {
        "run": str(path),
        "cases": len(unseen),
        "voxels": total,
        "agreement": equal / total,
        "least Dice": {name: float(min(d)) for name, d in dice.items() if d},
    }


@pytest.mark.slow
@pytest.mark.skipif(not NNUNET, reason="HINTERLAND_NNUNET_PYTHON names no Python with nnU-Net")
@pytest.mark.skipif(not RUNS, reason="HINTERLAND_RUNS names no run directories")
@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.name)
def test_nnunet_agrees_with_the_run(path, tmp_path, record_property):
    result = agreement(path, tmp_path, CASES)
    record_property("agreement", json.dumps(result))
    assert result["agreement"] >= 0.999, result
    assert min(result["least Dice"].values()) >= 0.99, result
