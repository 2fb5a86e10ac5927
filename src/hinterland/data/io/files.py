"""Tell files and data sets apart without reading them whole, and write whole files only."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hinterland.types import Case, Dataset, HinterlandError


def dataset_hash(dataset: Dataset, cases: Sequence[Case]) -> str:
    """Hash the cases' names and files, without reading them whole; 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=8)
    for case in cases:
        files = case.images + ((case.label,) if case.label else ())
        parts = (case.name, *(file_stamp(path) for path in files), case.label is not None)
        digest.update(repr(parts).encode())
    return digest.hexdigest()


def file_stamp(path: Path) -> str:
    """Return a short text that changes with a file's content and stays when it is moved or copied.

    Hash the size and the first and last 4 KiB. Compressed formats end in a checksum of all their
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
        raise HinterlandError(
            f"{path} cannot be read: {error.strerror or error}."
            " Copy it again, or correct its permissions."
        ) from error
    digest = hashlib.blake2b(head + tail + str(size).encode(), digest_size=8)
    if not path.name.endswith((".gz", ".png")):
        digest.update(str(path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write at; it becomes `path` when the block ends well.

    What is written may be a file or a folder. Its temporary name ends as `path` does, so that
    writers who look at the ending (".nii.gz") may be given it. After any error nothing is left.

    Args:
        path: Where the file or folder shall be. Folders above it are made; what is there already
            is replaced if it is a file; a folder must be removed first.

    Yields:
        The temporary path. Nothing is there yet.

    Raises:
        HinterlandError: It could not be written; the message names `path` and says why.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)  # of a killed process that had this number before
        yield temporary
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        if not isinstance(error, OSError) and not _is_full(path.parent):
            raise
        raise HinterlandError(f"{path} cannot be written: {_reason(error, path)}") from error
    finally:
        with suppress(OSError):
            remove(temporary)


TEMPORARY = ".tmp-"
"""What the names of unfinished files begin with."""


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 2**20
    except OSError:
        return False


def _reason(error: Exception, path: Path) -> str:
    number = error.errno if isinstance(error, OSError) else errno.ENOSPC
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left in {path.parent}. Make room there, or choose another folder."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path.parent} may not be written to. Change its permissions, or choose another."
    return f"{getattr(error, 'strerror', None) or error}."


def write_text(path: Path, text: str) -> None:
    """Write a whole text file (UTF-8) or nothing; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
