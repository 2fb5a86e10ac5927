"""Which files belong to which case."""

from __future__ import annotations

from pathlib import Path

from hinterland.data.dataset.files import Layout, is_listed
from hinterland.data.dataset.nnunet import nnunet_layout
from hinterland.data.dataset.plain import plain_layout
from hinterland.types import HinterlandError


def find_files(root: Path) -> Layout:
    """List the cases of a data set by file names alone.

    Raises HinterlandError where the folder has neither layout, or its dataset.json is unusable;
    whatever concerns single cases is in `problems`.
    """
    if not root.is_dir():
        raise HinterlandError(f"there is no folder {root}; expected the folder of a data set.")
    if is_listed(root / "dataset.json") or (root / "imagesTr").is_dir():
        return nnunet_layout(root)
    if (root / "images").is_dir():
        return plain_layout(root)
    inside = ", ".join(sorted(p.name for p in root.iterdir())[:6]) or "nothing"
    raise HinterlandError(
        f"{root} is not a data set: it holds {inside}. Expected nnU-Net's raw layout "
        "(dataset.json, imagesTr/, labelsTr/) or folders images/ and masks/."
    )
