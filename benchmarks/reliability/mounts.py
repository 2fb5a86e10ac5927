"""File systems that are full or read-only, where this process may mount them (root on Linux)."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@cache
def refused_here() -> str:
    """Why nothing can be mounted here; an empty text if it can."""
    if shutil.which("mount") is None:
        return "no `mount` on this system"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with full_disk(Path(folder), 8192):
                return ""
        except subprocess.CalledProcessError as error:
            return f"may not mount here: {error.stderr.decode().strip()}"


@contextmanager
def full_disk(folder: Path, size: int) -> Iterator[Callable[[], None]]:
    """Put a file system of `size` bytes at `folder`; yields what gives it plenty of room."""
    _call("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield lambda: _call("mount", "-o", "remount,size=1g", str(folder))
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
