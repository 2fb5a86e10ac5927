"""nnU-Net's own predictor on one case at a time; see serve.py."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any

from serve import Refused, device, serve

state: dict[str, Any] = {}


def describe(
    model: str, folds: list, checkpoint: str, wanted_device: str | None, mirror: bool
) -> dict:
    """Load the model.

    Args:
        model: its folder.
        folds: those that are averaged.
        checkpoint: name of the file.
        wanted_device: "cpu" or "cuda"; None chooses.
        mirror: whether predictions of mirrored images are averaged.

    Returns:
        What the model says of itself.
    """
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ.setdefault(name, str(model))  # asked for at import, never used here
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    where = torch.device(device(wanted_device))
    predictor = nnUNetPredictor(
        use_mirroring=mirror,
        perform_everything_on_device=where.type == "cuda",
        device=where,
        allow_tqdm=False,
    )
    folds = [f if f == "all" else int(f) for f in folds]
    missing = [f for f in folds if not (Path(model) / f"fold_{f}" / checkpoint).is_file()]
    if missing:
        raise Refused(
            f"the model {model} has no {checkpoint} in fold_{missing[0]}. Copy it there, or choose "
            "another --checkpoint."
        )
    predictor.initialize_from_trained_model_folder(model, tuple(folds), checkpoint)
    state["predictor"] = predictor
    return {"version": importlib.metadata.version("nnunetv2"), "device": where.type}


def segment(images: list[str], out: str) -> str:
    """Segment the channel files of a case; returns the file written (`out` has no ending)."""
    predictor = state["predictor"]
    predictor.predict_from_files_sequential([images], [out])
    return out + predictor.dataset_json["file_ending"]


if __name__ == "__main__":
    serve({"describe": describe, "segment": segment})
