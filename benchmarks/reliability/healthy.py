"""The healthy data sets and the healthy run that mutations start from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from benchmarks.reliability.forked import run

FAST = ["--method", "supervised", "--fold", "fixed", "--steps", "2", "--set", "batch_size=2",
        "--set", "network_options.features=[4, 8]", "--set", "validation.mirror=false"]  # fmt: skip
AFFINE = np.diag([0.8, 0.8, 2.0, 1.0])
LABELS = """\
tree: {background: {organ: {}, rest: {}}, lesion: {}}
target: [lesion]
schemes: {full: {0: rest, 1: organ, 2: lesion}}
"""
NAMES = ("a1", "a2", "b1", "c1", "d1", "t1")
SIDE = 16


class Options(tuple[str, ...]):
    """Further arguments of a command: what a kind returns that breaks the command, not a file."""


@dataclass(frozen=True)
class Healthy:
    """Where they lie."""

    root: Path

    def source(self, area: str) -> Path:
        """The folder that an area's kinds break a copy of."""
        if area.startswith("run"):
            return self.root / "run"
        if area.startswith("predictions"):
            return self.root / "predictions"
        return self.root / ("pictures" if area.startswith("picture") else "volumes")

    def command(
        self, name: str, area: str, target: Path, folder: Path, options: Options
    ) -> list[str]:
        """The arguments of a command on a broken copy."""
        flat = area.startswith("picture")
        images = target / ("images" if flat else "imagesTs")
        labels = self.root / "volumes" / "labelsTs"
        own = target / ("masks" if flat else "labelsTs")
        model = self.root / ("run-flat" if flat else "run")
        commands = {
            "check": ["check", target],
            "plan": ["plan", target, "--out", folder / "plan.json"],
            "train": ["train", target, *FAST, "--out", folder / "trained"],
            "predict": ["predict", model, images, folder / "out"],
            "evaluate": ["evaluate", self.root / "predictions", own, "--out", folder / "m.csv"],
            "judge": ["evaluate", target, labels, "--out", folder / "m.csv"],
            "use": ["predict", target, self.root / "volumes" / "imagesTs", folder / "out"],
            "resume": ["resume", target],
            "compare": ["compare", target, self.root / "run-two", "--out", folder / "page"],
            "export": ["export", target, folder / "model", "--to", "monai"],
            "settings": ["train", self.root / "pictures", *FAST, "--out", folder / "trained"],
        }
        return [str(a) for a in (*commands[name], *options)]


def prepare_healthy(root: Path) -> Healthy:
    """Make data sets, two small runs and predictions, once."""
    healthy = Healthy(root)
    if (root / "whole").is_file():
        return healthy
    volumes(root / "volumes")
    pictures(root / "pictures")
    for name, data, method in (
        ("run", "volumes", "supervised"), ("run-two", "volumes", "backsplit"),
        ("run-flat", "pictures", "supervised"),
    ):  # fmt: skip
        _must("train", root / data, *FAST, "--method", method, "--out", root / name)
    _must("predict", root / "run", root / "volumes" / "imagesTs", root / "predictions")
    (root / "whole").write_text("")
    return healthy


def _must(*arguments: object) -> None:
    outcome = run(arguments)
    if outcome.code:
        raise RuntimeError(outcome.text)


def volumes(root: Path) -> None:
    """nnU-Net's layout: two channels, six cases, splits and labels.yaml."""
    for i, name in enumerate(NAMES):
        part = "Ts" if name.startswith("t") else "Tr"
        rng = np.random.default_rng(i)
        for channel in (0, 1):
            array = rng.normal(100, 20, (SIDE, SIDE, 8)).astype(np.float32)
            nifti(root / f"images{part}/{name}_000{channel}.nii.gz", array)
        label = np.zeros((SIDE, SIDE, 8), np.uint8)
        label[3:12, 3:12, 1:6], label[5:9, 5:9, 2:5] = 1, 2
        nifti(root / f"labels{part}/{name}.nii.gz", label)
    content = {
        "channel_names": {"0": "T1", "1": "T2"}, "numTraining": 5, "file_ending": ".nii.gz",
        "labels": {"background": 0, "organ": 1, "lesion": 2},
    }  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(content))
    splits = {"train": list(NAMES[:4]), "val": ["d1"], "test": ["t1"]}
    (root / "splits.json").write_text(json.dumps(splits))
    (root / "labels.yaml").write_text(LABELS + "image_labels: labels.csv\n")
    rows = [f"{n},1,{'mf'[i % 2]}" for i, n in enumerate(NAMES)]
    (root / "labels.csv").write_text("\n".join(["name,lesion,sex", *rows]) + "\n")


def pictures(root: Path) -> None:
    """Plain folders of six grey PNG pictures with masks."""
    rng = np.random.default_rng(7)
    for name in NAMES:
        picture(root / f"images/{name}.png", rng.integers(0, 255, (32, 32), dtype=np.uint8))
        mask = np.zeros((32, 32), np.uint8)
        mask[6:22, 8:20] = 1
        picture(root / f"masks/{name}.png", mask)
    splits = {"train": list(NAMES[:4]), "val": ["d1"], "test": ["t1"]}
    (root / "splits.json").write_text(json.dumps(splits))


def nifti(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write an array (x, y, z)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine, dtype=array.dtype), path)


def picture(path: Path, array: np.ndarray) -> None:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
