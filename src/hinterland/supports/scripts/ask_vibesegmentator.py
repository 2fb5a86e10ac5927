"""VIBESegmentator (in TPTBox) on one case at a time; see serve.py."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from pathlib import Path

from serve import Refused, device, serve


def _model(dataset_id: int, weights: str | None) -> tuple[Path, Path | None]:
    """Return the model's folder inside the weights, or None while there is none."""
    from TPTBox.segmentation.VibeSeg import inference_nnunet

    root = Path(weights) if weights else inference_nnunet._model_path_
    root = root if root.name == "nnUNet_results" else root / "nnUNet_results"
    found = sorted(root.glob(f"*{dataset_id:03}*/*__nnUNet*/plans.json"))
    return root, (found[0].parent if found else None)


def describe(dataset_id: int, weights: str | None) -> dict:
    """Return classes of the model: of its dataset.json where it is here, else those published."""
    from TPTBox.segmentation.VibeSeg.vibeseg import VibeSeg_map

    _, model = _model(dataset_id, weights)
    classes = {}
    if dataset_id in (100, 99, 98, 80):
        classes = {n: v for v, n in VibeSeg_map.items() if not n.startswith("unused")}
    elif model is not None:
        labels = json.loads((model / "dataset.json").read_text())["labels"]
        classes = {n: v for n, v in labels.items() if isinstance(v, int) and v > 0}
    return {"version": importlib.metadata.version("TPTBox"), "classes": classes}


def prepare(dataset_id: int, weights: str | None) -> str:
    """Fetch the weights if they are not there; refuse where that is not possible."""
    from TPTBox.segmentation.VibeSeg import auto_download

    root, model = _model(dataset_id, weights)
    if model is None and not weights:
        with contextlib.suppress(Exception):
            auto_download.download_weights(dataset_id)
        _, model = _model(dataset_id, weights)
    if model is None:
        url = f"{auto_download.WEIGHTS_URL_}{dataset_id:03}.zip"
        raise Refused(
            f"the weights of VIBESegmentator's model {dataset_id} are not in {root} and could not "
            f"be fetched. Where there is internet, download {url} (and the parts that its "
            f"other_downloads.json lists), unpack it as {root / f'Dataset{dataset_id:03}'} on this "
            "machine, or name a folder that holds nnUNet_results with --weights."
        )
    return str(model)


def segment(
    image: str, out: str, dataset_id: int, weights: str | None, wanted_device: str | None
) -> str:
    """Segment a NIfTI file.

    Args:
        image: the file.
        out: a NIfTI file of the model's integers, to write.
        dataset_id: number of the model.
        weights: their folder, or None.
        wanted_device: "cpu" or "cuda"; None chooses.

    Returns:
        The file that was written.
    """
    from TPTBox.segmentation import run_vibeseg

    run_vibeseg(
        image,
        out,
        override=True,
        ddevice=device(wanted_device),
        dataset_id=dataset_id,
        model_path=weights,
    )
    if not Path(out).is_file():
        raise Refused("VIBESegmentator wrote nothing; what it said stands above.")
    return out


if __name__ == "__main__":
    serve({"describe": describe, "prepare": prepare, "segment": segment})
