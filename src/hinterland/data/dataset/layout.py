"""Which files belong to which case."""

from __future__ import annotations

from pathlib import Path

from hinterland.data.dataset.files import Layout, is_listed
from hinterland.data.dataset.nnunet import nnunet_layout
from hinterland.data.dataset.plain import plain_layout
from hinterland.data.io.formats import file_ending
from hinterland.types import HinterlandError


def find_files(root: Path) -> Layout:
    """List the cases of a data set by file names alone.

    Raises:
        HinterlandError: the folder has neither layout, or its dataset.json is unusable; whatever
            concerns single cases is in `problems`.
    """
    if not root.is_dir():
        what = f"{root} is a file" if root.exists() else f"there is no folder {root}"
        raise HinterlandError(f"{what}; expected the folder of a data set. Give that.")
    if is_listed(root / "dataset.json") or (root / "imagesTr").is_dir():
        return nnunet_layout(root)
    if (root / "images").is_dir():
        return plain_layout(root)
    inside = sorted(p.name for p in root.iterdir() if not p.name.startswith("."))
    listed = f"{', '.join(inside[:6])}{', ...' if len(inside) > 6 else ''}" if inside else "nothing"
    raise HinterlandError(
        f"{root} is not a data set: it holds {listed}. Expected nnU-Net's raw layout "
        f"(dataset.json, imagesTr/, labelsTr/) or folders images/ and masks/. {_advice(root)}"
    )


_OURS = ("images", "masks", "labels", "imagesTr", "labelsTr", "imagesTs", "labelsTs")
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")


def _is_data_set(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("dataset.json", "imagesTr", "images"))


def _advice(root: Path) -> str:
    """Say how what lies here can become a data set."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [p for p in root.iterdir() if p.is_file() and not p.name.startswith(".")]
    below = [str(p) for p in folders if _is_data_set(p)]
    if len(below) == 1:
        return f"Take the folder below: {below[0]}."
    if below:
        return (
            f"{' and '.join(below[:3])} look like data sets: take one of them, or put their images "
            "and masks together and list in splits.json who is in train, val and test."
        )
    for name in _OURS:
        spelt = [p.name for p in folders if p.name.lower() == name.lower() and p.name != name]
        if spelt:
            return f"Rename {spelt[0]} to {name} (capital letters count)."
    if any(file_ending(p) for p in files):
        return "Move the images into images/, and masks of the same names into masks/."
    if any(p.name.lower().endswith(_ARCHIVES) for p in files):
        return "Unpack the archive."
    if any(file_ending(p) for folder in folders for p in folder.rglob("*")):
        return (
            "Move or link the images into images/, and masks of the same names into masks/ "
            "(several channels: NAME_0000, NAME_0001, ...). For image labels alone: "
            "hinterland classify start."
        )
    return "Give the folder that holds them."
