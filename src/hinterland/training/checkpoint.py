"""Checkpoints: everything that training changes, readable with `weights_only=True`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hinterland.data.io.files import atomic_path
from hinterland.types import HinterlandError

FORMAT = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write whole or not at all: a kill or a full disk leaves the checkpoint before it intact.

    Args:
        path: The file.
        content: Tensors, numbers, texts, and dicts and lists of them.

    Raises:
        HinterlandError: It could not be written.
    """
    # Given a path, torch writes its name, the temporary one, into the file: other bytes each time.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save({"format": FORMAT, **content}, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, onto the CPU.

    Raises:
        HinterlandError: there is no such file, it cannot be read, or it has another format.
    """
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
    if not isinstance(content, dict):
        raise HinterlandError(
            f"{path} holds a {type(content).__name__}; expected a checkpoint. Delete it and resume "
            "from another, or train again."
        )
    if content.get("format") != FORMAT:
        raise HinterlandError(
            f"{path} has checkpoint format {content.get('format')}, this version reads {FORMAT}."
            " Use the version that wrote it, or train again."
        )
    return content


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn whatever loading the content of `path` into networks raises into one message.

    Raises:
        HinterlandError: the content does not fit.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise HinterlandError(
            f"{path} does not fit the networks that config.yaml and plan.json beside it describe "
            f"({type(error).__name__}: {reason}). Restore the files of the run, or train again."
        ) from None


def load_networks(networks: torch.nn.Module, path: Path) -> dict[str, Any]:
    """Load the networks' weights from a checkpoint.

    Args:
        networks: Built as for the run that wrote it; changed in place.
        path: The checkpoint.

    Returns:
        All that the checkpoint holds.

    Raises:
        HinterlandError: It cannot be read, or its weights are of other networks.
    """
    content = load_checkpoint(path)
    with fitting(path):
        networks.load_state_dict(content["networks"])
    return content
