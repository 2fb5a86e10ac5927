"""Plans by nnU-Net for made-up fingerprints. Run by an nnU-Net interpreter, not by pytest:

    $HINTERLAND_NNUNET_PYTHON nnunet_reference.py < fingerprints.json > plans.json

Input: a list of {shapes, spacings, kept, channels, classes, memory_gb}; output: what the planner of
nnunetv2 makes of each, reduced to what a Hinterland plan holds. No images are needed for this.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

root = Path(tempfile.mkdtemp())
for folder in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{folder}"] = str(root / folder)

STATS = dict.fromkeys(("mean", "median", "std", "min", "max"), 1.0)
STATS |= {"percentile_00_5": 0.0, "percentile_99_5": 2.0}


def plan(entry: dict, planner: type) -> dict:
    raw, preprocessed = root / "raw/Dataset001_x", root / "preprocessed/Dataset001_x"
    for folder in (raw / "imagesTr", raw / "labelsTr", preprocessed):
        folder.mkdir(parents=True, exist_ok=True)
    (raw / "imagesTr/case_0000.nii.gz").touch()
    description = {
        "channel_names": {str(i): name for i, name in enumerate(entry["channels"])},
        "labels": {"background": 0} | {f"c{i}": i for i in range(1, entry["classes"])},
        "numTraining": len(entry["shapes"]),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    fingerprint = {
        "spacings": entry["spacings"],
        "shapes_after_crop": entry["shapes"],
        "median_relative_size_after_cropping": entry["kept"],
        "foreground_intensity_properties_per_channel": {
            str(i): STATS for i in range(len(entry["channels"]))
        },
    }
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    (preprocessed / "nnUNetPlans.json").unlink(missing_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        planner(1, gpu_memory_target_in_gb=entry["memory_gb"]).plan_experiment()
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    keys = ("patch_size", "batch_size", "batch_dice", "spacing", "median_image_size_in_voxels")
    keys += ("normalization_schemes", "use_mask_for_norm")
    network = ("features_per_stage", "strides", "kernel_sizes", "n_conv_per_stage")
    found = {}
    for name, config in plans["configurations"].items():
        if name in ("2d", "3d_fullres"):
            kwargs = config["architecture"]["arch_kwargs"]
            found[name] = {k: config[k] for k in keys}
            found[name]["architecture"] = {"arch_kwargs": {k: kwargs[k] for k in network}}
    return {
        "transpose_forward": plans["transpose_forward"],
        "foreground_intensity_properties_per_channel": plans[
            "foreground_intensity_properties_per_channel"
        ],
        "configurations": found,
    }


if __name__ == "__main__":
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    json.dump([plan(e, ExperimentPlanner) for e in json.load(sys.stdin)], sys.stdout)
