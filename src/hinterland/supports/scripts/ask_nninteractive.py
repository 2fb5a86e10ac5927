"""nnInteractive's inference session on one case at a time; see serve.py."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
from serve import Refused, device, serve

state: dict[str, Any] = {}
REPOSITORY = "MIC-DKFZ/nnInteractive"
DEFAULT_MODEL = "nnInteractive_v1.0"


def _folder(weights: str | None, model: str | None) -> Path:
    """Return the folder of the checkpoint, fetched where it is not there."""
    if weights:
        folder = Path(weights)
        if not (folder / "plans.json").is_file():
            raise Refused(
                f"{weights} is no nnInteractive model: it has no plans.json. Expected the folder "
                f"{model or DEFAULT_MODEL} of https://huggingface.co/{REPOSITORY}."
            )
        return folder
    try:
        from nnInteractive import model_management as models
    except ImportError:
        raise Refused(
            "this version of nnInteractive does not look after its models; download one from "
            f"https://huggingface.co/{REPOSITORY} and name its folder with --weights."
        ) from None
    root = models.get_model_root_dir()
    name = model or _downloaded(root)
    try:
        return Path(models.ensure_model_available(name or models.get_default_model_id()))
    except Exception as error:
        name = name or DEFAULT_MODEL
        raise Refused(
            f"the weights of nnInteractive are not there and could not be fetched "
            f"({type(error).__name__}). Where there is internet, run `nninteractive-download-model`"
            f", or download the folder {name} of https://huggingface.co/{REPOSITORY}; put it into "
            f"{root / 'models' / name} on this machine (NNINTERACTIVE_MODEL_DIR names another "
            "root), or name the folder with --weights."
        ) from error


def _downloaded(root: Path) -> str | None:
    """Return a model that is here already, so that nothing is asked of the network."""
    found = sorted(p.parent.name for p in (root / "models").glob("*/plans.json"))
    return DEFAULT_MODEL if DEFAULT_MODEL in found else (found[-1] if found else None)


def describe() -> dict:
    """Return the version."""
    return {"version": importlib.metadata.version("nnInteractive")}


def prepare(weights: str | None, model: str | None, wanted_device: str | None) -> dict:
    """Load the model.

    Args:
        weights: its folder, or None.
        model: its name, where it is to be fetched.
        wanted_device: "cpu" or "cuda"; None chooses.

    Returns:
        Its folder, and the licence that it names.
    """
    folder = _folder(weights, model)
    import torch
    from nnInteractive.inference.inference_session import nnInteractiveInferenceSession

    session = nnInteractiveInferenceSession(
        device=torch.device(device(wanted_device)),
        use_torch_compile=False,
        torch_n_threads=torch.get_num_threads(),
        verbose=False,
        do_autozoom=True,
    )
    session.initialize_from_trained_model_folder(str(folder))
    state["session"] = session
    return {"model": str(folder), "licence": getattr(session, "license", None)}


def segment(image: str, out: str, clicks: dict[str, list]) -> list[str]:
    """Click and predict, structure by structure.

    Args:
        image: .npy (1, z, y, x).
        clicks: structure -> list of [z, y, x, positive].
        out: .npz with one array (z, y, x) bool a structure.

    Returns:
        The structures that were found.
    """
    session = state["session"]
    array = np.load(image)
    session.set_image(array)
    found = {}
    for structure, points in clicks.items():
        target = np.zeros(array.shape[1:], np.uint8)
        session.set_target_buffer(target)
        for z, y, x, positive in points:
            session.add_point_interaction((z, y, x), include_interaction=bool(positive))
        found[structure] = target > 0
        session.reset_interactions()  # clears the buffer, too: after the comparison above
    np.savez_compressed(out, *found.values())
    return list(found)


if __name__ == "__main__":
    serve({"describe": describe, "prepare": prepare, "segment": segment})
