"""Checkpoints: everything that training changes, readable with `weights_only=True`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hinterland.types import HinterlandError

FORMAT = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write under a temporary name, then rename: a kill leaves the checkpoint before it intact.

    content: tensors, numbers, texts, and dicts and lists of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    torch.save({"format": FORMAT, **content}, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, onto the CPU. HinterlandError if it cannot be read."""
    if not path.is_file():
        raise HinterlandError(
            f"there is no checkpoint {path}: the run was stopped before its first. Go on with it: "
            f"hinterland resume {path.parent.parent}"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise HinterlandError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}). Delete it and resume "
            "from another, or train again."
        ) from None
    if content.get("format") != FORMAT:
        raise HinterlandError(
            f"{path} has checkpoint format {content.get('format')}, this version reads {FORMAT}."
        )
    return content
