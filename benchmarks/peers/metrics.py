"""Dice + HD95 + ASSD + NSD of five classes on one CT-sized case, beside three other tools.

    python -m benchmarks.peers.metrics [--size cpu|paper] [--seed 0] [--out FILE]

Every tool runs in a process of its own, on the same label maps, one after the other; time is that
of the metrics alone (the median over several calls of ours, one call of the others), memory the
peak resident size during them minus the size before (label maps and imports). On a machine that
does other work the ratio of processor seconds says more than that of wall seconds; both are kept.
Prints a table and writes a JSON result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import RESULTS

SIZES = {"cpu": (60, 256, 256), "paper": (120, 512, 512)}
SPACING = (2.5, 0.8, 0.8)
CLASSES = 5
TOLERANCE = 1.0
PEERS = {
    "monai": "monai",
    "surface-distance": "Surface-Distance-Based-Measures",
    "medpy": "medpy",
}
OURS = ("hinterland", "hinterland, 1 thread")
REPEATS = {"hinterland": 5, "hinterland, 1 thread": 5}

Values = dict[str, list[float]]


def phantom(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference and prediction (z, y, x) uint8: five organs of very different size.

    The prediction is the reference on a smoothly displaced grid (up to a few voxels), with a false
    lesion far away from the smallest organ, as real predictions have.
    """
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in shape], indexing="ij")
    coarse = tuple(max(4, n // 16) for n in shape)

    def smooth() -> np.ndarray:
        noise = ndimage.gaussian_filter(rng.standard_normal(coarse).astype(np.float32), 1.5)
        noise /= noise.std()
        return ndimage.zoom(noise, [n / c for n, c in zip(shape, coarse, strict=True)], order=1)

    organs = [((0, 0.1, -0.35), 0.42), ((0.1, -0.1, 0.45), 0.34), ((-0.2, 0.55, 0.2), 0.2),
              ((0.3, -0.55, -0.1), 0.14), ((-0.4, -0.5, -0.6), 0.06)]  # fmt: skip

    def labels(points: list[np.ndarray], wobble: list[np.ndarray]) -> np.ndarray:
        result = np.zeros(shape, np.uint8)
        for value, ((centre, radius), bumps) in enumerate(zip(organs, wobble, strict=True), 1):
            stretch = (0.7, 1.2, 1.0)
            distance = np.sqrt(sum(((p - c) * s) ** 2 for p, c, s in
                                   zip(points, centre, stretch, strict=True)))  # fmt: skip
            result[distance + 0.04 * radius * bumps < radius] = value
        return result

    wobble = [smooth() for _ in organs]
    reference = labels(grid, wobble)
    moved = [g + 3.0 / n * smooth() for g, n in zip(grid, shape, strict=True)]
    prediction = labels(moved, wobble)
    z, y, x = (n // 8 for n in shape)
    prediction[-z : -z // 2, y : y + y // 4, -x : -x + x // 4] = CLASSES
    return reference, prediction


def hinterland(reference: np.ndarray, prediction: np.ndarray, threads: int = 0) -> Values:
    from hinterland.evaluation.metrics.case import available_threads, evaluate_case
    from hinterland.evaluation.metrics.metrics import MetricSettings
    from hinterland.evaluation.sources import spec_from_integers

    spec = spec_from_integers(range(CLASSES + 1))
    rows = evaluate_case(
        prediction, reference, SPACING, spec.target, spec.default_scheme,
        settings=MetricSettings(tolerance=TOLERANCE), threads=threads or available_threads(),
    )  # fmt: skip
    return {m: [row[m] for row in rows] for m in ("dice", "hd95", "assd", "nsd")}


def monai(reference: np.ndarray, prediction: np.ndarray) -> Values:
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    def one_hot(labels: np.ndarray) -> torch.Tensor:
        channels = np.stack([labels == c for c in range(1, CLASSES + 1)])
        return torch.from_numpy(channels)[None]

    y_pred, y = one_hot(prediction), one_hot(reference)
    common = {"include_background": True, "spacing": list(SPACING)}
    results = {
        "dice": compute_dice(y_pred, y),
        "hd95": compute_hausdorff_distance(y_pred, y, percentile=95, **common),
        "assd": compute_average_surface_distance(y_pred, y, symmetric=True, **common),
        "nsd": compute_surface_dice(y_pred, y, class_thresholds=[TOLERANCE] * CLASSES, **common),
    }
    return {name: [float(v) for v in values[0]] for name, values in results.items()}


def surface_distance(reference: np.ndarray, prediction: np.ndarray) -> Values:
    import surface_distance as sd

    values: Values = {"dice": [], "hd95": [], "assd": [], "nsd": []}
    for c in range(1, CLASSES + 1):
        truth, guess = reference == c, prediction == c
        values["dice"].append(float(sd.compute_dice_coefficient(truth, guess)))
        distances = sd.compute_surface_distances(truth, guess, SPACING)
        values["hd95"].append(float(sd.compute_robust_hausdorff(distances, 95)))
        both = sd.compute_average_surface_distance(distances)
        values["assd"].append(float(np.mean(both)))
        values["nsd"].append(float(sd.compute_surface_dice_at_tolerance(distances, TOLERANCE)))
    return values


def medpy(reference: np.ndarray, prediction: np.ndarray) -> Values:
    """medpy has no NSD: its time is for three metrics only."""
    from medpy.metric import binary

    values: Values = {"dice": [], "hd95": [], "assd": []}
    for c in range(1, CLASSES + 1):
        truth, guess = reference == c, prediction == c
        values["dice"].append(float(binary.dc(guess, truth)))
        values["hd95"].append(float(binary.hd95(guess, truth, SPACING)))
        values["assd"].append(float(binary.assd(guess, truth, SPACING)))
    return values


TOOLS: dict[str, Callable[[np.ndarray, np.ndarray], Values]] = {
    "hinterland": hinterland,
    "hinterland, 1 thread": lambda r, p: hinterland(r, p, threads=1),
    "monai": monai,
    "surface-distance": surface_distance,
    "medpy": medpy,
}


def _memory(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def worker(tool: str, size: str, seed: int) -> dict[str, Any]:
    """Measure one tool in this process."""
    warnings.filterwarnings("ignore")
    reference, prediction = phantom(SIZES[size], seed)
    _imports(tool)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    seconds, cpu = [], []
    for _ in range(REPEATS.get(tool, 1)):
        start, start_cpu = time.perf_counter(), time.process_time()
        values = TOOLS[tool](reference, prediction)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return {
        "seconds": statistics.median(seconds),
        "cpu_seconds": statistics.median(cpu),
        "peak_mib": (_memory("VmHWM") - before) / 2**20,
        "values": values,
    }


def _imports(tool: str) -> None:
    """Import what the tool needs before the clock starts."""
    modules = {"monai": "monai.metrics", "medpy": "medpy.metric",
               "surface-distance": "surface_distance"}  # fmt: skip
    import_module(modules.get(tool, "hinterland.evaluation.metrics.case"))


def run(size: str = "cpu", seed: int = 0) -> dict[str, Any]:
    """Measure all tools, one process each; returns the content of the result file."""
    tools: dict[str, Any] = {}
    for tool in TOOLS:
        command = [sys.executable, "-m", "benchmarks.peers.metrics", "--worker", tool,
                   "--size", size, "--seed", str(seed)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{tool} failed:\n{done.stderr[-2000:]}")
        tools[tool] = json.loads(done.stdout.splitlines()[-1])
    ours = {name: tools[name] for name in OURS}
    packages = ["numpy", "scipy", "torch", *PEERS.values()]
    return {
        "benchmark": "metrics",
        "command": f"python -m benchmarks.peers.metrics --size {size} --seed {seed}",
        "config": {"shape": SIZES[size], "spacing": SPACING, "classes": CLASSES,
                   "tolerance": TOLERANCE, "metrics": ["dice", "hd95", "assd", "nsd"]},
        "seed": seed,
        "size": size,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {p: version(p) for p in packages} | {"python": platform.python_version()},
        "hardware": {"machine": platform.machine(), "processor": _processor(),
                     "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]},
        "tools": tools,
        "ratios": {p: tools[p]["seconds"] / ours["hinterland"]["seconds"] for p in PEERS},
        "ratios_one_thread": {
            p: tools[p]["seconds"] / ours["hinterland, 1 thread"]["seconds"] for p in PEERS
        },
        "ratios_cpu": {
            p: tools[p]["cpu_seconds"] / ours["hinterland, 1 thread"]["cpu_seconds"] for p in PEERS
        },
        "memory_ratios": {
            p: tools[p]["peak_mib"] / ours["hinterland"]["peak_mib"] for p in PEERS
        },
    }  # fmt: skip


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


def report(result: dict[str, Any]) -> str:
    """The result as a table in text."""
    shape = "x".join(map(str, result["config"]["shape"]))
    lines = [f"Dice + HD95 + ASSD + NSD of {CLASSES} classes, {shape}, spacing {SPACING} mm"]
    lines.append(
        f"{'tool':22s}{'wall s':>8s}{'cpu s':>8s}{'x wall':>8s}{'x 1 thread':>11s}{'x cpu':>8s}"
        f"{'peak MiB':>10s}{'mean HD95':>11s}{'mean ASSD':>11s}"
    )
    for name, tool in result["tools"].items():
        ratios = [result[key].get(name) for key in ("ratios", "ratios_one_thread", "ratios_cpu")]
        lines.append(
            f"{name:22s}{tool['seconds']:8.3f}{tool['cpu_seconds']:8.3f}"
            + ("{:8.1f}{:11.1f}{:8.1f}".format(*ratios) if ratios[0] else " " * 27)
            + f"{tool['peak_mib']:10.0f}{np.mean(tool['values']['hd95']):11.3f}"
            f"{np.mean(tool['values']['assd']):11.3f}"
        )
    return "\n".join([*lines, "(medpy has no NSD: three metrics; surface-distance weighs by area)"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", choices=TOOLS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(worker(options.worker, options.size, options.seed)))
        return
    result = run(options.size, options.seed)
    print(report(result))
    out = options.out or RESULTS / f"metrics-{options.size}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
