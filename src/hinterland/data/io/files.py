"""Telling files and data sets apart without reading them whole, and writing whole files only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from hinterland.types import Case, Dataset, HinterlandError


def dataset_hash(dataset: Dataset, cases: Sequence[Case]) -> str:
    """A hash of the cases' names and files, 16 hexadecimal digits, without reading them whole."""
    digest = hashlib.blake2b(digest_size=8)
    for case in cases:
        files = case.images + ((case.label,) if case.label else ())
        parts = (case.name, *(file_stamp(path) for path in files), case.label is not None)
        digest.update(repr(parts).encode())
    return digest.hexdigest()


def file_stamp(path: Path) -> str:
    """A short string that changes with a file's content and stays when the file is moved or copied.

    Hashes the size and the first and last 4 KiB. Compressed formats end in a checksum of all their
    content, so that is enough; for others the time of the last change is hashed too (and a copy
    is then a new file).
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            tail = file.read()
    except OSError as error:
        raise HinterlandError(f"{path} cannot be read: {error.strerror or error}.") from error
    digest = hashlib.blake2b(head + tail + str(size).encode(), digest_size=8)
    if not path.name.endswith((".gz", ".png")):
        digest.update(str(path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: to a temporary name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
