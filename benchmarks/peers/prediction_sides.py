"""Our sides of `prediction_peers`, and MONAI's: a process that loads what predicting needs.

python -m benchmarks.peers.prediction_sides SIDE FOLDER MIRROR(0|1) OUT.json DIMS CLASSES
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PLANS = {
    "2D": {"patch": (256, 256), "features": (32, 64, 128, 256, 512, 512)},
    "3D": {"patch": (64, 64, 64), "features": (32, 64, 128, 256, 320)},
}


def make_plan(dims: str) -> Any:
    """The plan that all sides follow."""
    from hinterland.types import NetworkPlan, Normalisation, Plan

    patch, features = PLANS[dims]["patch"], PLANS[dims]["features"]
    n, d = len(features), len(patch)
    return Plan(
        dims=d, channels=("MRI",), normalisation=(Normalisation("zscore"),),
        spacing=(None if d == 2 else 1.0, 1.0, 1.0), unit="mm", transpose=(0, 1, 2),
        median_shape=(64, 96, 96), patch_size=patch, batch_size=2, batch_dice=True,
        fingerprint="peers",
        network=NetworkPlan(features, ((1,) * d,) + ((2,) * d,) * (n - 1), ((3,) * d,) * n),
    )  # fmt: skip


def peak_mib() -> float:
    """The largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def network_of(folder: Path, dims: str, classes: int) -> Any:
    """The network with the cell's weights."""
    import torch

    from hinterland.networks import create

    network = create("unet", make_plan(dims), classes, True)
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return network.eval().requires_grad_(False)


def ours(side: str, folder: Path, mirror: bool, dims: str, classes: int) -> Any:
    """What `hinterland predict` makes of an image."""
    import hinterland.training.runs.run  # noqa: F401 - what `predict` loads
    from hinterland.data.preprocessing.geometry import Geometry
    from hinterland.inference.backends.registry import Settings, backend_named
    from hinterland.inference.volumes import Predictor, WindowOptions
    from hinterland.labels import LabelTree
    from hinterland.networks.in_parts import softmax_in_parts
    from hinterland.training.config import make_config
    from hinterland.training.device import arrange, window_batch

    plan = make_plan(dims)
    leaves = LabelTree({f"class-{i}": {} for i in range(classes)}).leaves
    batch = window_batch(make_config({}), plan.patch_size, "cpu", compiled=side != "torch")
    options = WindowOptions(mirror=tuple(range(plan.dims)) if mirror else (), batch=batch)
    if side == "torch":
        network = arrange(network_of(folder, dims, classes), plan.dims, "cpu")
        predictor = Predictor(
            lambda x: network(x).float().softmax(1), plan, leaves, options,
            lambda x, then: softmax_in_parts(network, x, then),  # type: ignore[arg-type]
        )  # fmt: skip
    else:
        backend = backend_named(side)
        compiled = backend.compile(folder / side / backend.file, Settings(plan, batch))
        predictor = Predictor(compiled, plan, leaves, options)

    def predict(image: np.ndarray) -> np.ndarray:
        shape = image.shape[1:]
        same = Geometry(shape, (0, 1, 2), (0, 0, 0), shape, (1.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type]
        return predictor.labels(image, same, leaves)

    return predict


def monai(folder: Path, dims: str, classes: int) -> Any:
    """MONAI's sliding window around the same network."""
    import torch
    from monai.inferers import SliceInferer, sliding_window_inference

    network = network_of(folder, dims, classes)
    patch = PLANS[dims]["patch"]

    def predict(image: np.ndarray) -> np.ndarray:
        source = torch.from_numpy(image)[None]
        with torch.inference_mode():
            if dims == "2D":
                slices = SliceInferer(0, roi_size=patch, overlap=0.5, mode="gaussian")
                logits = slices(source, network)
            else:
                logits = sliding_window_inference(source, patch, 1, network, overlap=0.5,
                                                  mode="gaussian")  # fmt: skip
            return logits.argmax(1)[0].to(torch.uint8).numpy()  # type: ignore[union-attr,no-any-return]

    return predict


def main(side: str, where: str, mirror: str, out: str, dims: str, classes: str) -> None:
    """One side, in a process of its own."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    folder = Path(where)
    predict = (
        monai(folder, dims, int(classes)) if side == "monai"
        else ours(side, folder, mirror == "1", dims, int(classes))
    )  # fmt: skip
    image = np.load(folder / "image.npy")
    before, wall, cpu = peak_mib(), time.perf_counter(), time.process_time()
    labels = predict(image)
    content = {
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - wall,
        "before_mib": before,
        "peak_mib": peak_mib(),
    }
    np.save(Path(out).with_suffix(".npy"), labels)
    Path(out).write_text(json.dumps(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
