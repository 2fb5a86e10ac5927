"""How closely the metrics agree with other tools, and how far conventions move the same masks.

    python -m benchmarks.peers.metrics_agreement [--data DIR] [--cases 4] [--seed 0] [--out FILE]

Predictions are perturbed references (moved, dilated, opened). For each data set and 1,000 random
small masks it prints the largest absolute difference to each tool and the tolerance it must keep.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import RESULTS

DATASETS = ("Dataset027_ACDC", "Dataset004_Hippocampus", "Dataset115_COVID19CT")
TOLERANCES = {
    "brute force": "1e-9 mm",
    "monai": "1e-4 mm (float32)",
    "medpy": "1e-9 mm",
    "surface-distance": "1 voxel diagonal",
}
Pair = tuple[np.ndarray, np.ndarray, tuple[float, ...]]
Differences = dict[tuple[str, str], float]


def perturb(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A plausible prediction from a reference: each class moved in plane, dilated or opened."""
    from scipy import ndimage

    result = np.zeros_like(labels)
    for value in np.unique(labels)[1:]:
        mask = labels == value
        kind = rng.integers(3)
        if kind == 0:
            mask = np.roll(mask, rng.integers(-2, 3, size=2), axis=(1, 2))
        elif kind == 1:
            mask = ndimage.binary_dilation(mask, iterations=int(rng.integers(1, 3)))
        else:
            mask = ndimage.binary_opening(mask)
        result[mask] = value
    return result


def real_pairs(root: Path, cases: int, rng: np.random.Generator) -> Iterator[Pair]:
    """Prediction, reference and spacing of each class, cropped (the others are slow)."""
    from hinterland.data.io.volume import read_label
    from hinterland.types.box import bounding_box

    for path in sorted((root / "labelsTs").glob("*.nii.gz"))[:cases]:
        volume = read_label(path)
        labels = volume.array[0]
        guess = perturb(labels, rng)
        for value in np.unique(labels)[1:]:
            p, r = guess == value, labels == value
            box = bounding_box(p | r)
            if box is not None and p.any():
                yield p[box], r[box], volume.spacing


def random_pairs(count: int, rng: np.random.Generator) -> Iterator[Pair]:
    """Related random masks of 8^3 voxels."""
    from scipy import ndimage

    for i in range(count):
        field, noise = (
            ndimage.gaussian_filter(rng.standard_normal((8, 8, 8)), rng.uniform(0.3, 1.5))
            for _ in range(2)
        )
        mixed = field + rng.uniform(0, 3) * noise
        shares = rng.uniform(0.3, 0.98, 2)
        spacing = ((1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (0.5, 2.0, 1.3))[i % 3]
        yield mixed > np.quantile(mixed, shares[0]), field > np.quantile(field, shares[1]), spacing


def brute_force(prediction: np.ndarray, reference: np.ndarray, spacing: Any) -> dict[str, float]:
    """HD95, ASSD and NSD from all pairs of surface voxels; the surface by looking at neighbours."""
    points = []
    for mask in (prediction, reference):
        framed, axes = np.pad(mask, 1), (0, 1, 2)
        steps = [s * np.eye(3, dtype=int)[a] for a in axes for s in (1, -1)]
        outside = np.any([~np.roll(framed, s, axis=axes) for s in steps], axis=0)
        points.append(np.argwhere(framed & outside) * np.array(spacing))
    between = np.sqrt(((points[0][:, None] - points[1][None]) ** 2).sum(-1))
    forward, backward = between.min(axis=1), between.min(axis=0)
    both = np.concatenate([forward, backward])
    return {
        "hd95": max(np.percentile(forward, 95), np.percentile(backward, 95)),
        "assd": both.mean(),
        "nsd": (both <= 1.0).mean(),
    }


def compare(pairs: Iterator[Pair], tools: tuple[str, ...]) -> tuple[Differences, int]:
    """Largest absolute difference by (tool, metric), and the number of pairs."""
    from hinterland.evaluation.metrics.metrics import assd, hd95, measure

    worst: Differences = defaultdict(float)
    count = 0
    for prediction, reference, spacing in pairs:
        count += 1
        ours = measure(prediction, reference, spacing)
        ours["asd"] = assd(prediction, reference, spacing, mode="directed")
        ours["hd95 pooled"] = hd95(prediction, reference, spacing, mode="pooled")
        for tool in tools:
            for metric, value in TOOLS[tool](prediction, reference, spacing).items():
                difference = abs(ours[metric] - value)
                if tool == "surface-distance" and metric != "dice":
                    difference /= float(np.linalg.norm(spacing))  # in voxel diagonals
                worst[tool, metric] = max(worst[tool, metric], difference)
    return worst, count


def _monai(prediction: np.ndarray, reference: np.ndarray, spacing: Any) -> dict[str, float]:
    import torch
    from monai import metrics

    p, r = (torch.from_numpy(np.ascontiguousarray(m))[None, None] for m in (prediction, reference))
    common = {"include_background": True, "spacing": list(spacing)}
    mean = metrics.compute_average_surface_distance
    return {
        "dice": float(metrics.DiceMetric(reduction="none")(p, r)),
        "hd95": float(metrics.compute_hausdorff_distance(p, r, percentile=95, **common)),
        "assd": float(mean(p, r, symmetric=True, **common)),
        "asd": float(mean(p, r, **common)),
    }


def _medpy(prediction: np.ndarray, reference: np.ndarray, spacing: Any) -> dict[str, float]:
    from medpy.metric import binary

    return {
        "dice": float(binary.dc(prediction, reference)),
        "hd95 pooled": float(binary.hd95(prediction, reference, spacing)),
        "assd": float(binary.assd(prediction, reference, spacing)),
        "asd": float(binary.asd(prediction, reference, spacing)),
    }


def _deepmind(prediction: np.ndarray, reference: np.ndarray, spacing: Any) -> dict[str, float]:
    import surface_distance as sd

    distances = sd.compute_surface_distances(reference, prediction, spacing)
    return {
        "dice": float(sd.compute_dice_coefficient(reference, prediction)),
        "hd95": float(sd.compute_robust_hausdorff(distances, 95)),
        "assd": float(np.mean(sd.compute_average_surface_distance(distances))),
    }


TOOLS = {
    "brute force": brute_force,
    "monai": _monai,
    "medpy": _medpy,
    "surface-distance": _deepmind,
}


def conventions(root: Path, cases: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The convention table of perturbed predictions in which one case misses its last class."""
    from hinterland.data.io.volume import read_label, write_label
    from hinterland.evaluation.metrics.conventions import evaluate_conventions, side_by_side

    paths = sorted((root / "labelsTs").glob("*.nii.gz"))[:cases]
    with tempfile.TemporaryDirectory() as folder:
        for i, path in enumerate(paths):
            volume = read_label(path)
            guess = perturb(volume.array[0], rng)
            if i == 0:
                guess[guess == guess.max()] = 0
            write_label(Path(folder) / path.name, guess, volume)
        names = [p.name[: -len(".nii.gz")] for p in paths]
        table = side_by_side(evaluate_conventions(folder, root / "labelsTs", cases=names))
    rows = table.to_dict("records")
    return [{k: v if v != float("inf") else "inf" for k, v in row.items()} for row in rows]


def run(data: Path, cases: int = 4, seed: int = 0) -> dict[str, Any]:
    """All comparisons; returns the content of the result file."""
    warnings.filterwarnings("ignore")
    rng = np.random.default_rng(seed)
    sources = {"1,000 random 8^3 masks": (random_pairs(1000, rng), ("brute force",))}
    peers = ("monai", "medpy", "surface-distance")
    sources |= {d: (real_pairs(data / d, cases, rng), peers) for d in DATASETS}
    rows = []
    for name, (pairs, tools) in sources.items():
        worst, count = compare(pairs, tools)
        rows += [{"masks": name, "pairs": count, "tool": t, "metric": m, "largest_difference": v,
                  "tolerance": TOLERANCES[t] if m != "dice" else "1e-6"}
                 for (t, m), v in sorted(worst.items())]  # fmt: skip
    return {
        "benchmark": "agreement",
        "command": f"python -m benchmarks.peers.metrics_agreement --cases {cases} --seed {seed}",
        "seed": seed,
        "agreement": rows,
        "conventions": {d: conventions(data / d, 10, rng) for d in DATASETS[:1] + DATASETS[2:]},
    }


def main() -> None:
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "agreement.json")
    options = parser.parse_args()
    result = run(options.data, options.cases, options.seed)
    print(pd.DataFrame(result["agreement"]).to_string(index=False))
    for name, rows in result["conventions"].items():
        print(f"\n{name}: the same predictions under four conventions")
        print(pd.DataFrame(rows).round(3).to_string(index=False))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
