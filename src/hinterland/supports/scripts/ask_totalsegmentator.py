"""TotalSegmentator's Python API on one case at a time; see serve.py."""

from __future__ import annotations

import importlib.metadata

from serve import Refused, device, serve


def describe(task: str) -> dict:
    """Return classes of a task, what it is for, and whether it needs a licence number."""
    from totalsegmentator.map_to_binary import class_map, commercial_models

    version = importlib.metadata.version("TotalSegmentator")
    if task not in class_map:
        known = ", ".join(sorted(t for t in class_map if "_v1" not in t))
        raise Refused(f"TotalSegmentator {version} has no task {task!r}. Expected one of: {known}.")
    return {
        "version": version,
        "classes": {name: value for value, name in class_map[task].items()},
        "needs_licence": task in commercial_models,
    }


def prepare(task: str, fast: bool, licence_number: str | None) -> list[str] | None:
    """Fetch the weights if they are not there; refuse where that is not possible.

    Args:
        task: of TotalSegmentator.
        fast: whether the coarser model is used.
        licence_number: for tasks that need one.

    Returns:
        Numbers of the models that are there; None where they are fetched later.
    """
    from totalsegmentator.config import get_weights_dir, setup_nnunet, setup_totalseg
    from totalsegmentator.libs import download_pretrained_weights
    from totalsegmentator.map_to_binary import commercial_models

    setup_nnunet()
    config = setup_totalseg()
    if task in commercial_models:
        if licence_number:
            from totalsegmentator.config import set_license_number

            set_license_number(licence_number)
        elif not config.get("license_number"):
            raise Refused(
                f"the task {task!r} needs a licence number of TotalSegmentator: free of charge for "
                "non-commercial use at https://backend.totalsegmentator.com/license-academic/, "
                "otherwise from jakob.wasserthal@usb.ch. Give it with --licence-number."
            )
    try:
        from totalsegmentator.python_api import get_task_config
    except ImportError:  # older versions: fetched when the first case is segmented
        return None
    ids = get_task_config(task, fast=fast, quiet=True)["task_id"]
    ids = ids if isinstance(ids, list) else [ids]
    for number in ids:
        try:
            download_pretrained_weights(number)
        except Exception as error:
            raise Refused(_missing(task, fast, number, get_weights_dir(), error)) from error
    return [str(i) for i in ids]


def _missing(task: str, fast: bool, number: object, folder: object, error: Exception) -> str:
    name = f"{task}_fast" if fast else task
    what = f"the folder of its task number {number}"
    try:
        from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

        info = TASK_ID_WEIGHTS_CONFIGS[number]
        what = info["foldername"]
        if info.get("version"):
            release = "https://github.com/wasserth/TotalSegmentator/releases/download"
            what += f" ({release}/{info['version']}/{what}.zip)"
    except (ImportError, KeyError):
        pass
    return (
        f"the weights of TotalSegmentator's task {task!r} are not there and could not be fetched "
        f"({type(error).__name__}). Where there is internet, run `totalseg_download_weights -t "
        f"{name}`, or download {what}; put the unpacked folder(s) into {folder} on this machine "
        "(or name another folder in TOTALSEG_WEIGHTS_PATH)."
    )


def segment(
    image: str, out: str, task: str, fast: bool, roi: list[str] | None, wanted_device: str | None
) -> str:
    """Segment a NIfTI file.

    Args:
        image: the file.
        out: a NIfTI file of the task's integers, to write.
        task: of TotalSegmentator.
        fast: whether the coarser model is used.
        roi: classes that are looked for; None is all.
        wanted_device: "cpu" or "cuda"; None chooses.

    Returns:
        The file that was written.
    """
    import nibabel as nib
    import numpy as np
    from totalsegmentator.python_api import totalsegmentator

    where = {"cuda": "gpu"}.get(device(wanted_device), device(wanted_device))
    found = totalsegmentator(
        image, None, ml=True, task=task, fast=fast, roi_subset=roi, device=where, quiet=True
    )
    array = np.asarray(found.dataobj).round().astype(np.uint8)
    nib.save(nib.Nifti1Image(array, found.affine), out)
    return out


if __name__ == "__main__":
    serve({"describe": describe, "prepare": prepare, "segment": segment})
