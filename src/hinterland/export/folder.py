"""Output that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hinterland.types import HinterlandError


@contextmanager
def fresh_output(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `out` to write a file or folder at; at the end it becomes `out`.

    Raises:
        HinterlandError: `out` exists and may not be overwritten. Nothing is left behind then, nor
            after any other error.
    """
    if out.exists() and not overwrite:
        raise HinterlandError(f"{out} exists already. Give --overwrite, or another path.")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _remove(out)
        temporary.rename(out)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
