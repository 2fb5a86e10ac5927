"""Whether a folder may become a run: nothing of anybody else's is replaced."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from hinterland.types import HinterlandError

_BEFORE_CONFIG = {"plan.json", "labels.yaml", "checkpoints", "canvas.json"}
"""What a start that was stopped before config.yaml can have left."""


def is_run(path: Path) -> bool:
    """Tell whether the folder holds a run (or a classifier) that can be gone on with."""
    return (path / "config.yaml").is_file()


def refuse_taken(
    path: Path,
    overwrite: bool,
    *,
    ours: Callable[[Path], bool] = is_run,
    kind: str = "run directory",
) -> None:
    """Refuse a folder that holds something, but for a run that is to be replaced.

    Args:
        path: The folder that is to be made.
        overwrite: Whether a run that is there may be replaced.
        ours: Says whether a folder holds a run of the kind that is to be made.
        kind: What the messages call it.

    Raises:
        HinterlandError: It holds such a run and not `overwrite`, or it holds something else.
    """
    if not path.exists() or _is_empty(path):
        return
    if ours(path):
        if not overwrite:
            raise HinterlandError(
                f"{path} exists already. Give --overwrite to replace it, another --out, or go on "
                f"with it: hinterland resume {path}"
            )
    elif not path.is_dir() or any(_foreign(p.name) for p in path.iterdir()):
        raise HinterlandError(
            f"{path} exists already and is no {kind}; it is not replaced. Choose another --out."
        )


def empty_folder(path: Path) -> None:
    """Make the folder anew, without what `refuse_taken` let pass."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _foreign(name: str) -> bool:
    unfinished = name.startswith(".") and "tmp" in name
    return name not in _BEFORE_CONFIG and not unfinished
