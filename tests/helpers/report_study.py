"""A small finished study, made on the spot: data set, two runs with predictions, logs, metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from factories import spec_of
from scans import plan_for

from hinterland.data.io.volume import Header, write_label, write_probabilities
from hinterland.evaluation.folders import Origin, evaluate_folders
from hinterland.evaluation.table import write_table
from hinterland.training.config import make_config
from hinterland.training.runs.record import RunRecord

SHAPE = (10, 48, 56)
AFFINE = np.diag([1.5, 1.5, 4.0, 1.0])  # x, y, z in mm
LABELS = {"rest": 0, "lung": 1, "vessel": 2, "lesion": 3}
SPEC = {
    "tree": {"background": {"lung": {}, "vessel": {}, "rest": {}}, "lesion": {}},
    "target": ["lesion"],
    "schemes": {"full": {0: "rest", 1: "lung", 2: "vessel", 3: "lesion"}},
}
METHODS = {
    "supervised": [{"background": ["lung", "vessel", "rest"], "lesion": ["lesion"]}],
    "backsplit": [{"rest": ["rest"], "lung": ["lung"], "vessel": ["vessel"], "lesion": ["lesion"]}],
}


def make_study(
    folder: Path, cases: int = 6, training: int = 8, patients: int | None = None
) -> tuple[Path, Path]:
    """Write `data/` and `runs/{supervised,backsplit}`; return both run directories.

    The second method misses less and calls fewer vessels a lesion.
    """
    rng = np.random.default_rng(7)
    train = [f"train{i:02d}" for i in range(training)]
    test = [f"case{i:02d}" for i in range(cases)]
    data = folder / "data"
    for sub in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (data / sub).mkdir(parents=True)
    for i, name in enumerate([*train, *test]):
        side = "Tr" if i < len(train) else "Ts"
        label = _anatomy(rng)
        image = np.array([-800.0, -400.0, 40.0, 60.0])[label] + rng.normal(0, 40, SHAPE)
        _write(data / f"labels{side}" / f"{name}.nii.gz", label)
        header = Header((1, *SHAPE), AFFINE, np.dtype("float32"))
        path = data / f"images{side}" / f"{name}_0000.nii.gz"
        write_probabilities(path, image[None].astype(np.float32), header)
    (data / "labels.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "lesion": 3},
               "numTraining": training, "file_ending": ".nii.gz"}  # fmt: skip
    (data / "dataset.json").write_text(json.dumps(dataset))
    groups = {c: f"patient{i % (patients or cases):02d}" for i, c in enumerate(test)}
    runs = [_run(folder, method, train, test, groups, rng) for method in METHODS]
    return runs[0], runs[1]


def _anatomy(rng: np.random.Generator) -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    label = np.zeros(SHAPE, np.uint8)
    label[((y - 24) / 19) ** 2 + ((x - 28) / 23) ** 2 < 1] = 1
    for cy, cx in ((18, 18), (31, 39)):
        label[(y - cy - z // 2) ** 2 + (x - cx) ** 2 < 9] = 2
    for _ in range(2):
        cz, cy, cx = rng.integers((2, 14, 16), (8, 34, 40))
        radius = rng.uniform(2, 7)
        label[((z - cz) * 2) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < radius**2] = 3
    return label


def _predict(label: np.ndarray, good: bool, rng: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    lesion = label == 3
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2)
    noise /= noise.std()
    inner = ndimage.distance_transform_edt(lesion) - ndimage.distance_transform_edt(~lesion)
    wrong = inner + rng.uniform(0.5, 2.4 if good else 2.8) * noise > rng.uniform(-0.5, 1.0)
    if rng.random() < (0.3 if good else 0.7):
        wrong |= (label == 2) & (noise > 0.4)
    out = np.where(lesion, 1, label).astype(np.uint8)
    out[wrong] = 3
    return out


def _run(
    folder: Path,
    method: str,
    train: Sequence[str],
    test: Sequence[str],
    groups: dict[str, str],
    rng: np.random.Generator,
) -> Path:
    from hinterland.data.io.volume import read_label

    run, data = folder / "runs" / method, folder / "data"
    (run / "predictions").mkdir(parents=True)
    for name in test:
        label = read_label(data / "labelsTs" / f"{name}.nii.gz").array[0]
        _write(run / "predictions" / f"{name}.nii.gz", _predict(label, method == "backsplit", rng))
    table = evaluate_folders(run / "predictions", data / "labelsTs", lesions=True, threads=1,
                             origin=Origin(method, "fixed", 0))  # fmt: skip
    write_table(table.assign(group=table["case"].map(groups)), run / "metrics.csv")
    RunRecord(
        command=f"hinterland train data --method {method} --fold fixed --out runs/{method}",
        method=method, on=tuple(METHODS[method]), method_options={}, dims=3, fold="fixed",
        selection="val",
        split={"train": list(train[:-2]), "val": list(train[-2:]), "test": list(test)},
        schemes=dict.fromkeys([*train, *test], "full"),
        groups={**{c: c for c in train}, **groups},
        dataset={"path": str(data), "name": "data", "fingerprint": "7f3a90cc41d2e001"},
        versions={"hinterland": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        train=make_config({"network": "unet", "steps": 300, "seed": 0}),
        plan=plan_for((4.0, 1.5, 1.5)), spec=spec_of(**SPEC),
    ).write(run)  # fmt: skip
    (run / "summary.json").write_text(json.dumps({"empty": "penalty"}))
    _log(method, rng).to_csv(run / "log.csv", index=False)
    return run


def _log(method: str, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for step in range(300):
        loss = 1.8 * np.exp(-step / (90 if method == "backsplit" else 110)) + rng.normal(0.2, 0.05)
        rows.append(("train", step, "train/loss", loss))
        rows.append(("train", step, "train/lr", 0.01 * (1 - step / 300) ** 0.9))
        if step % 50 == 49:
            rows.append(("train", step, "val/dice", 0.7 - loss / 3))
    return pd.DataFrame(rows, columns=["phase", "step", "key", "value"])


def _write(path: Path, label: np.ndarray) -> None:
    write_label(path, label, Header((1, *SHAPE), AFFINE, np.dtype("uint8")))
