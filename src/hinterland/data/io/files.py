"""Tell files and data sets apart without reading them whole, and write whole files only."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
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


def image_stamps(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Map each case to the stamps of its images: what tells the input of a command from another.

    Raises:
        HinterlandError: a file cannot be read.
    """
    return {case.name: [file_stamp(path) for path in case.images] for case in cases}


def file_stamp(path: Path) -> str:
    """Return a short text that changes with a file's content and stays when it is moved or copied.

    Hash the size and the first and last 4 KiB. Compressed formats end in a checksum of all their
    content, so that is enough; for others the time of the last change is hashed too (and a copy
    is then a new file).

    Raises:
        HinterlandError: the file cannot be read.
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
    temporary = temporary_name(path)
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            remove(temporary)  # of a killed process that had this number before
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):
            remove(temporary)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says of a file that cannot be written into a message that names it.

    Raises:
        HinterlandError: `path` could not be written; why, and what to do.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        if not isinstance(error, OSError) and not _is_full(path.parent):
            raise
        raise HinterlandError(f"{path} cannot be written: {_reason(error, path)}") from error


TEMPORARY = ".tmp-"
"""What the names of unfinished files begin with."""


def temporary_name(path: Path) -> Path:
    """Return the name beside `path` under which this process, and no other, prepares it."""
    return path.with_name(f"{TEMPORARY}{_machine()}-{os.getpid()}.{path.name}")


@lru_cache(maxsize=1024)  # once a process is enough: it leaves nothing itself
def sweep(folder: Path) -> None:
    """Remove the unfinished files and folders that killed processes left in `folder`.

    Whether a process of this machine still lives can be asked; what others (on a shared disk) have
    left counts as abandoned after a day.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        machine, _, number = path.name[len(TEMPORARY) :].partition(".")[0].partition("-")
        with suppress(OSError):
            if machine == _machine() and number.isdecimal():
                abandoned = not lives(int(number))
            else:
                abandoned = path.lstat().st_mtime < time.time() - 24 * 3600
            if abandoned:
                remove(path)


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return 4 digits for this computer, or the container in which process numbers count anew."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return hashlib.blake2b(f"{platform.node()} {space}".encode(), digest_size=2).hexdigest()


def lives(process: int) -> bool:
    """Tell whether a process of this machine lives; one that nobody has buried yet does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in "ZX"


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; a folder is gone at once or not at all."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(TEMPORARY):
        doomed = temporary_name(path.with_name(f"removed.{path.name}"))  # not that of its heir
        shutil.rmtree(doomed, ignore_errors=True)
        path = path.rename(doomed)
    shutil.rmtree(path)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 2**20
    except OSError:
        return False


def _reason(error: Exception, path: Path) -> str:
    number = error.errno if isinstance(error, OSError) else errno.ENOSPC
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left in {path.parent}. Make room there, or choose another folder."
    if number == errno.EFBIG:
        return "the file would be larger than is allowed here (ulimit -f, or the file system)."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path.parent} may not be written to. Change its permissions, or choose another."
    return f"{getattr(error, 'strerror', None) or error}."


def write_text(path: Path, text: str) -> None:
    """Write a whole text file (UTF-8) or nothing; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
