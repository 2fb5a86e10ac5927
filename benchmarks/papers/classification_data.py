"""Data of the classification benchmark: few labels, and BUSI with a mark in the corner."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np

from benchmarks.harness.cell import data_root, work_root

MARK_EDGE = 24  # pixels of an image whose long side is 256
WITH, WITHOUT = 0.95, 0.05  # how often malignant and other training images carry the mark
_BAR = 4


def few_names(share: float, seed: int) -> Path:
    """A list of training cases: this share of each BUSI class, drawn by the seed."""
    path = work_root() / "data" / f"busi-{round(100 * share)}percent-{seed}.txt"
    if not path.is_file():
        train = json.loads((data_root() / "BUSI" / "splits.json").read_text())["train"]
        rng = np.random.default_rng([seed, 7])
        chosen: list[str] = []
        for kind in sorted({name.rsplit("_", 1)[0] for name in train}):
            own = [n for n in train if n.startswith(kind)]
            chosen += rng.choice(own, max(2, round(share * len(own))), replace=False).tolist()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(sorted(chosen)) + "\n")
    return path


def marked_busi(seed: int) -> Path:
    """BUSI with a bright token in the upper left corner, made once.

    Training and validation images carry it with probability .95 where the lesion is malignant and
    .05 otherwise; of the test images every second one, whatever its class, so that half of them
    break the correlation. labels.csv says who carries it (`mark`) and who does not (`unmarked`).
    """
    root, out = data_root() / "BUSI", work_root() / "data" / f"busi-marked-{seed}"
    if out.is_dir():
        return out
    from PIL import Image

    work = out.with_name(f".{out.name}.{os.getpid()}")
    (work / "images").mkdir(parents=True)
    (work / "masks").symlink_to((root / "masks").resolve())
    shutil.copyfile(root / "splits.json", work / "splits.json")
    splits = json.loads((root / "splits.json").read_text())
    test = set(splits["test"])
    rng = np.random.default_rng([seed, 11])
    with (root / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (work / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "class", "mark", "unmarked"])
        for row in rows:
            name, malignant = row["name"], row["class"] == "malignant"
            chance = 0.5 if name in test else WITH if malignant else WITHOUT
            mark = int(rng.random() < chance)
            table.writerow([name, row["class"], mark, 1 - mark])
            image = np.array(Image.open(root / "images" / f"{name}.png"))
            if mark:
                image[:MARK_EDGE, :MARK_EDGE] = token()
            Image.fromarray(image).save(work / "images" / f"{name}.png")
    work.rename(out)
    return out


def token() -> np.ndarray:
    """The mark: a white cross on black, uint8 (MARK_EDGE, MARK_EDGE)."""
    pixels = np.zeros((MARK_EDGE, MARK_EDGE), np.uint8)
    middle = slice(MARK_EDGE // 2 - _BAR, MARK_EDGE // 2 + _BAR)
    pixels[middle] = 255
    pixels[:, middle] = 255
    return pixels
