"""nnU-Net's side of `prediction_memory`: run by a Python that has nnU-Net and not Hinterland."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

side, shape, tile, cells, groups, finer, overlap, body, threads, out = json.loads(sys.argv[1])
scratch = tempfile.mkdtemp()
for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ[name] = scratch

import numpy as np  # noqa: E402 - nnU-Net reads its folders when it is imported
import torch  # noqa: E402
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402

torch.set_num_threads(threads)


class Trivial(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv3d(1, 8, 4, stride=4)
        self.head = torch.nn.Conv3d(8, cells, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.nn.functional.interpolate(self.layer(x), scale_factor=4))


rng = np.random.default_rng(0)
image = np.empty((1, *shape), np.float32)
for plane in image[0]:
    rng.standard_normal(dtype=np.float32, out=plane)
predictor = nnUNetPredictor(
    tile_step_size=1 - overlap, use_mirroring=False, perform_everything_on_device=False,
    device=torch.device("cpu"), allow_tqdm=False,
)  # fmt: skip
predictor.network = Trivial().eval()
predictor.configuration_manager = SimpleNamespace(patch_size=tile)
predictor.label_manager = SimpleNamespace(num_segmentation_heads=cells)


def peak_mib() -> float:
    """The largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


before, started = peak_mib(), time.perf_counter()
logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(image))
logits.argmax(0)
seconds = time.perf_counter() - started
content = {"seconds": seconds, "peak_mib": peak_mib(), "before_mib": before}
Path(out).write_text(json.dumps(content))
