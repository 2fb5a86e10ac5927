"""Work on a file or folder alone, as long as this process lives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hinterland.types import HinterlandError

try:
    import fcntl
except ImportError:  # not on this system: nobody is kept out
    fcntl = None  # type: ignore[assignment]

_held: set[int] = set()


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Keep other processes of this machine out of a block about `path`, which must exist.

    Nothing is written: the system itself remembers, and forgets when the process ends, however it
    ends. File systems that know no locks keep nobody out.

    Args:
        path: A file or folder. It may be renamed meanwhile.
        what: Names it in the message.

    Raises:
        HinterlandError: Another process is in such a block.
    """
    if fcntl is None:
        yield
        return
    number = os.open(path, os.O_RDONLY)
    _held.add(number)
    try:
        with suppress(OSError):
            _take(number, what)
        yield
    finally:
        _let_go(number)


def _take(number: int, what: str) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HinterlandError(
            f"another process is working on {what} just now. Wait until it has ended and give the "
            "command again, or choose another output."
        ) from None


def _let_go(number: int) -> None:
    if number in _held:
        _held.remove(number)
        with suppress(OSError):
            os.close(number)


def _let_go_of_all() -> None:
    """In a forked child: else one that outlives its parent would go on keeping others out."""
    for number in tuple(_held):
        _let_go(number)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_all)
