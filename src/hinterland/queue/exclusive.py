"""Write a file that only one of many writers can have written, on disks that machines share."""

from __future__ import annotations

import errno
import hashlib
import platform
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from hinterland.data.io.files import explained, temporary_name


def create(path: Path, text: str) -> bool:
    """Write a whole file under a name that nobody has taken yet.

    The name is a second link to a file that is complete already: on NFS, too, one writer wins, and
    readers never see a part. The count of links tells who has won even where the server's answer
    was lost. Disks without links get a file opened exclusively.

    Args:
        path: The name.
        text: The content.

    Returns:
        Whether this call has made the file; False where it was there already.

    Raises:
        HinterlandError: The folder cannot be written to.
    """
    prepared = temporary_name(path.with_name(f"{threading.get_ident()}.{path.name}"))
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prepared.write_text(text, encoding="utf-8")
        try:
            with suppress(FileExistsError):
                path.hardlink_to(prepared)
            return prepared.stat().st_nlink == 2
        except (NotImplementedError, OSError) as error:
            if not _no_links(error):
                raise
            return _opened(path, text)
        finally:
            prepared.unlink(missing_ok=True)


def _no_links(error: Exception) -> bool:
    """Tell whether it is the kind of disk that is at fault."""
    known = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
    return not isinstance(error, OSError) or error.errno in known


def _opened(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


@lru_cache(maxsize=1)
def machine() -> str:
    """Return what tells this machine, and the start of its system, from all others.

    Process numbers mean something only within it; a container has numbers of its own.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
