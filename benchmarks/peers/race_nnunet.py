"""The peer's side of `benchmarks.peers.race`: run by a Python that has nnU-Net and not Hinterland.

race_nnunet.py JOB.json

Plans and preprocesses a raw data set, trains `nnUNetTrainer` on the training cases with validation
on the validation cases, and predicts the test images with its final checkpoint. Its code is as it
comes; only the numbers of epochs and of iterations in one are set, so that its schedule ends with
the budget. Goes on from its own checkpoint when it was killed.

JOB.json: folder (with raw/, a data set in nnU-Net's layout inside), name, configuration, train and
val (case names), seconds (of training, or null) or iterations, epochs, threads, images, out, plan
(entries of the configuration that replace nnU-Net's, or null).
"""

import json
import os
import sys
import time
from pathlib import Path

WORKERS = "nnUNet_n_proc_DA"
job = json.loads(Path(sys.argv[1]).read_text())
folder = Path(job["folder"])
for variable, place in (
    ("nnUNet_raw", "raw"),
    ("nnUNet_preprocessed", "preprocessed"),
    ("nnUNet_results", "results"),
):
    (folder / place).mkdir(parents=True, exist_ok=True)
    os.environ[variable] = str(folder / place)
os.environ[WORKERS] = "1"  # planning wants one at least
os.environ.setdefault("nnUNet_compile", "f")

import numpy as np  # noqa: E402 - nnU-Net reads its folders when it is imported
import torch  # noqa: E402
from nnunetv2.experiment_planning.plan_and_preprocess_api import (  # noqa: E402
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # noqa: E402

IDENTIFIER = 1


def prepare() -> Path:
    """Plan and preprocess once; the folder of the preprocessed data."""
    home = folder / "preprocessed" / job["name"]
    if not (home / "ready").is_file():
        extract_fingerprints([IDENTIFIER], num_processes=1, check_dataset_integrity=False)
        plan_experiments([IDENTIFIER])
        if job["plan"]:
            file = home / "nnUNetPlans.json"
            plans = json.loads(file.read_text())
            plans["configurations"][job["configuration"]] |= job["plan"]
            file.write_text(json.dumps(plans))
        preprocess([IDENTIFIER], configurations=[job["configuration"]], num_processes=[1])
        splits = [{"train": job["train"], "val": job["val"]}]
        (home / "splits_final.json").write_text(json.dumps(splits))
        (home / "ready").touch()
    return home


def make_trainer(home: Path) -> nnUNetTrainer:
    plans = json.loads((home / "nnUNetPlans.json").read_text()) | {"continue_training": False}
    dataset = json.loads((home / "dataset.json").read_text())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return nnUNetTrainer(plans, job["configuration"], 0, dataset, device)


def seconds_a_step(home: Path) -> float:
    """The median of a few steps of a trainer that is thrown away."""
    trainer = make_trainer(home)
    trainer.num_iterations_per_epoch = 5
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        trainer.train_step(next(trainer.dataloader_train))
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:]))


def main() -> None:
    home = prepare()
    os.environ[WORKERS] = "0"  # augment in this process: two cores are few
    torch.set_num_threads(job["threads"])
    plan_file = folder / "budget.json"
    if plan_file.is_file():
        iterations = json.loads(plan_file.read_text())["iterations"]
    else:
        iterations = job["iterations"] or max(20, int(job["seconds"] / seconds_a_step(home)))
        plan_file.write_text(json.dumps({"iterations": iterations}))
    trainer = make_trainer(home)
    trainer.num_epochs = min(job["epochs"], iterations)
    trainer.num_iterations_per_epoch = max(1, iterations // trainer.num_epochs)
    trainer.num_val_iterations_per_epoch = max(1, trainer.num_iterations_per_epoch // 5)
    trainer.save_every = 1
    last = Path(trainer.output_folder) / "checkpoint_latest.pth"
    final = Path(trainer.output_folder) / "checkpoint_final.pth"
    if not final.is_file():
        trainer.initialize()
        if last.is_file():
            trainer.load_checkpoint(str(last))
        trainer.run_training()
    else:
        trainer.initialize()
        trainer.load_checkpoint(str(final))
    log = trainer.logger.local_logger.my_fantastic_logging
    starts, ends = log["epoch_start_timestamps"], log["epoch_end_timestamps"]
    spent = np.cumsum([b - a for a, b in zip(starts, ends, strict=False)])
    curve = [
        [trainer.num_iterations_per_epoch * (i + 1), float(s), float(d)]
        for i, (s, d) in enumerate(zip(spent, log["mean_fg_dice"], strict=False))
    ]
    predictor = nnUNetPredictor(
        use_mirroring=job["mirror"],
        perform_everything_on_device=torch.cuda.is_available(),
        device=trainer.device,
        allow_tqdm=False,
    )
    model = str(Path(trainer.output_folder).parent)
    predictor.initialize_from_trained_model_folder(model, use_folds=(0,))
    out = Path(job["out"])
    out.mkdir(parents=True, exist_ok=True)
    predictor.predict_from_files_sequential(job["images"], str(out))
    configuration = trainer.configuration_manager
    result = {
        "iterations": iterations,
        "seconds_training": float(spent[-1]),
        "curve": curve,
        "patch": list(map(int, configuration.patch_size)),
        "batch": int(configuration.batch_size),
        "torch": torch.__version__,
    }
    Path(job["out"]).with_suffix(".json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
