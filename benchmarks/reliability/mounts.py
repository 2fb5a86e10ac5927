"""File systems that are full or read-only, where this process may mount them (root on Linux)."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

PAGE = 4096
"""Bytes that a file takes up at least."""


@cache
def refused_here() -> str:
    """Why nothing can be mounted here; an empty text if it can."""
    if shutil.which("mount") is None:
        return "no `mount` on this system"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with full_disk(Path(folder), 1):
                return ""
        except subprocess.CalledProcessError as error:
            return f"may not mount here: {error.stderr.decode().strip()}"


@contextmanager
def full_disk(folder: Path, pages: int) -> Iterator[Callable[[], None]]:
    """Put a file system with room for `pages` at `folder`; yields what gives it plenty."""
    _call("mount", "-t", "tmpfs", "-o", f"size={PAGE * (pages + 1)}", "tmpfs", str(folder))
    filler = folder / "filler"  # size=0 would mean any size

    def make_room() -> None:
        filler.unlink()
        _call("mount", "-o", "remount,size=1g", str(folder))

    try:
        filler.write_bytes(bytes(PAGE))
        yield make_room
    finally:
        _call("umount", "-l", str(folder))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder unwritable, for root too."""
    _call("mount", "--bind", str(folder), str(folder))
    try:
        _call("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _call("umount", "-l", str(folder))


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
