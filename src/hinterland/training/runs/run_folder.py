"""Whether a folder may become a run: nothing of anybody else's is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hinterland.data.io.files import TEMPORARY, remove, sweep, temporary_name
from hinterland.data.io.lock import alone
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


@contextmanager
def new_folder(
    path: Path,
    overwrite: bool,
    *,
    ours: Callable[[Path], bool] = is_run,
    kind: str = "run directory",
) -> Iterator[None]:
    """Make the folder anew and have it alone in the block.

    What was there is gone at once or not at all.

    Args:
        path: the folder.
        overwrite: whether what is there is replaced.
        ours: tells whether a folder is one of those that may be replaced.
        kind: what it is called in messages.

    Returns:
        A context manager, in whose block the folder is there, and this process's.

    Raises:
        HinterlandError: The folder is taken, or another process works on it or has just made it.
    """
    fresh = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        remove(fresh)
        fresh.mkdir()
    except OSError as error:
        raise HinterlandError(f"{path} cannot be made: {error.strerror or error}.") from error
    with alone(fresh, str(path)):
        try:
            if path.is_dir():
                with alone(path, str(path)):
                    refuse_taken(path, overwrite, ours=ours, kind=kind)
                    remove(path)
            fresh.rename(path)
        except OSError as error:
            raise HinterlandError(f"{path} cannot be made: {error.strerror or error}.") from error
        finally:
            with suppress(OSError):
                remove(fresh)
        yield


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _foreign(name: str) -> bool:
    unfinished = name.startswith(TEMPORARY) or (name.startswith(".") and name.endswith(".tmp"))
    return name not in _BEFORE_CONFIG and not unfinished
