"""Refuse files that ask for more than a machine has, or that are no files.

A header may promise what it likes: what is promised is held against the memory before anything is
allocated, and nothing waits for a pipe.
"""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path

import numpy as np

from hinterland.types import HinterlandError

MOST_TEXT = 256 * 2**20
"""Bytes of the largest text file (JSON, CSV) that is read."""
_SHARE = 0.5  # of the memory, which one file may fill: reading holds it twice for a moment
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class TooLarge(Exception):
    """What a file promises cannot be held, or must be a bomb; says why and what to do."""


def refuse_irregular(path: Path) -> None:
    """Refuse pipes, sockets and devices: reading one would wait, or never end.

    Args:
        path: A file, a link, or nothing.

    Raises:
        HinterlandError: There is something else than a file.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # missing, a broken link: whoever opens it says so
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise HinterlandError(
            f"{path} is a pipe, a socket or a device; expected a file. Remove it, or write its "
            "content into a file."
        )


def read_text(path: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        HinterlandError: It is no file, or too large to be meant as a list.
        OSError: It cannot be opened.
        UnicodeDecodeError: It is in another encoding.
    """
    refuse_irregular(path)
    size = path.stat().st_size
    if size > MOST_TEXT:
        raise HinterlandError(
            f"{path} has {size:,} bytes; expected a text of {MOST_TEXT:,} at most. Look whether it "
            "is the right file."
        )
    return path.read_text(encoding="utf-8-sig")


def refuse_huge(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse an array that does not fit into half of the memory.

    Args:
        shape: What the header promises.
        dtype: Of its numbers.

    Raises:
        TooLarge: It does not fit.
    """
    if wrong := excess(shape, dtype):
        raise TooLarge(
            f"its header promises {wrong}. If it is meant, crop or split it, or use a machine "
            "with more memory."
        )


def refuse_even(shape: tuple[int, ...], dtype: np.dtype, size: int) -> None:
    """Refuse an image that a small file inflates to: nearly all of its voxels would be equal.

    Not for label files: a large scan with a small lesion is mostly background.

    Args:
        shape: What the header promises.
        dtype: Of its numbers.
        size: Bytes of the file.

    Raises:
        TooLarge: It promises more than 256 MiB, and more than 500 times its own size.
    """
    promised = math.prod(shape) * dtype.itemsize
    if promised > MOST_EVEN and promised > EVEN * size:
        raise TooLarge(
            f"{size:,} bytes would inflate to {promised:,}, so that nearly all voxels are equal; "
            "expected an image. If it is meant, save it uncompressed."
        )


EVEN, MOST_EVEN = 500, 2**28


def excess(shape: tuple[int, ...], dtype: np.dtype) -> str:
    """Say by how much an array does not fit into half of the memory; "" where it fits."""
    needed, there = math.prod(shape) * dtype.itemsize, memory()
    if needed <= _SHARE * there:
        return ""
    return (
        f"{' x '.join(map(str, shape))} numbers of {dtype}, {needed / 1e9:,.1f} GB; expected at "
        f"most half of the memory of {there / 1e9:.1f} GB"
    )


def memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _CGROUP:
        try:
            found.append(int(file.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(found)
