"""Output that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hinterland.data.io.files import atomic_path, remove
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
    with atomic_path(out) as temporary:
        yield temporary
        remove(out)
