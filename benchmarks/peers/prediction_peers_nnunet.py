"""nnU-Net's side of `prediction_peers`: run by a Python that has nnU-Net and not Hinterland.

prediction_peers_nnunet.py FOLDER MIRROR(0|1) OUT.json
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

folder, mirror, target = Path(sys.argv[1]), sys.argv[2] == "1", sys.argv[3]
scratch = tempfile.mkdtemp()
for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ[name] = scratch

import numpy as np  # noqa: E402 - nnU-Net reads its folders when it is imported
import torch  # noqa: E402
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def peak_mib() -> float:
    """The largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


predictor = nnUNetPredictor(
    use_mirroring=mirror, perform_everything_on_device=False, device=torch.device("cpu"),
    allow_tqdm=False,
)  # fmt: skip
predictor.initialize_from_trained_model_folder(str(folder / "model"), use_folds=(0,))
image = torch.from_numpy(np.load(folder / "image.npy"))
before, wall, cpu = peak_mib(), time.perf_counter(), time.process_time()
labels = predictor.predict_logits_from_preprocessed_data(image).argmax(0).to(torch.uint8)
content = {
    "cpu_seconds": time.process_time() - cpu,
    "seconds": time.perf_counter() - wall,
    "before_mib": before,
    "peak_mib": peak_mib(),
}
np.save(Path(target).with_suffix(".npy"), labels.numpy())
Path(target).write_text(json.dumps(content))
