"""The peer's side of `benchmarks.peers.speed`: run by a Python that has nnU-Net and not Hinterland.

speed_nnunet.py train|predict MODEL_FOLDER INPUT.npz OUT.json REPEATS THREADS

train: seconds of each `nnUNetTrainer.train_step` on the given batch; predict: seconds of each
`nnUNetPredictor.predict_logits_from_preprocessed_data` on the given image. Peak memory in MiB.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

what, folder, source, target, repeats, threads = sys.argv[1:]
scratch = tempfile.mkdtemp()
for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ[name] = scratch

import numpy as np  # noqa: E402 - nnU-Net reads its folders when it is imported
import torch  # noqa: E402

torch.set_num_threads(int(threads))
data = np.load(source)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seconds = []
if what == "train":
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans = json.loads((Path(folder) / "plans.json").read_text()) | {"continue_training": False}
    dataset = json.loads((Path(folder) / "dataset.json").read_text())
    identifier = plans["configurations"][str(data["configuration"])]["data_identifier"]
    prepared = Path(scratch) / plans["dataset_name"] / identifier
    prepared.mkdir(parents=True)
    for name in ("case.b2nd", "case_seg.b2nd", "case.pkl"):  # looked at by name, never read
        (prepared / name).touch()
    trainer = nnUNetTrainer(plans, str(data["configuration"]), 0, dataset, device)
    trainer.print_to_log_file = lambda *_, **__: None
    trainer.initialize()
    trainer.network.train()
    image, label = torch.from_numpy(data["image"]), torch.from_numpy(data["label"])
    scales = trainer._get_deep_supervision_scales()
    targets = [
        torch.nn.functional.interpolate(label.float(), scale_factor=tuple(s), mode="nearest")
        for s in scales
    ]
    for _ in range(int(repeats)):
        started = time.perf_counter()
        trainer.train_step({"data": image, "target": targets})
        seconds.append(time.perf_counter() - started)
else:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        use_mirroring=True, perform_everything_on_device=False, device=torch.device("cpu"),
        allow_tqdm=False,
    )  # fmt: skip
    predictor.initialize_from_trained_model_folder(folder, use_folds=(0,))
    for _ in range(int(repeats)):
        started = time.perf_counter()
        predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data["image"]))
        seconds.append(time.perf_counter() - started)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
Path(target).write_text(json.dumps({"seconds": seconds, "peak_mib": peak}))
