"""Remember which files of a folder a command has written, until it has written all of them.

A command that writes many files into a folder that others may use, too, cannot prepare them under
another name. Its journal, a hidden file in that folder, tells the same command after a stop what
is its own work, so that it goes on with it, and everybody else's, which it leaves alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hinterland.data.io.files import explained, file_stamp
from hinterland.data.io.lock import alone


class Journal:
    """What was begun and finished; without a file, nothing ever was.

    A file counts as finished as long as it is the one that was written.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._begun: set[str] = set()
        self._finished: dict[str, str] = {}
        if file is not None:
            for line in file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):  # a line that was cut short
                    self._read(json.loads(line))

    def _read(self, entry: Any) -> None:
        name, stamp = entry
        self._begun.add(name)
        if stamp:
            self._begun.discard(name)
            self._finished[name] = stamp

    def begin(self, *paths: Path) -> None:
        """Note that these files are about to be written."""
        self._write((path, "") for path in paths)

    def finish(self, *paths: Path) -> None:
        """Note that these files are complete."""
        self._write((path, file_stamp(path)) for path in paths)

    def finished(self, *paths: Path) -> bool:
        """Tell whether all these files are there as they were finished."""
        return all(
            path.is_file() and self._finished.get(self._name(path)) == file_stamp(path)
            for path in paths
        )

    def ours(self, path: Path) -> bool:
        """Tell whether a file that is there comes from this command."""
        return self._name(path) in self._begun or self.finished(path)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._file.parent)) if self._file else ""

    def _write(self, entries: Iterator[tuple[Path, str]]) -> None:
        if self._file is None:
            return
        with explained(self._file), self._file.open("a", encoding="utf-8") as file:
            for path, stamp in entries:
                entry = (self._name(path), stamp)
                file.write(f"\n{json.dumps(entry)}")  # ends a line that was cut short
                self._read(entry)


@contextmanager
def journal(folder: Path | None, asked: Mapping[str, Any]) -> Iterator[Journal]:
    """Keep the journal of a command in `folder` until the block ends well.

    Args:
        folder: Where the command writes; it is made. None: nothing is noted, nor ever was.
        asked: What tells the command from all others, in JSON's types.

    Raises:
        HinterlandError: The same command is running, or the folder cannot be written to.
    """
    if folder is None:
        yield Journal()
        return
    digest = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=6).hexdigest()
    file, made = folder / f".unfinished-{digest}", not folder.exists()
    with explained(file):
        folder.mkdir(parents=True, exist_ok=True)
        file.touch()
    with alone(file, str(folder)):
        try:
            yield Journal(file)
        except BaseException:
            with suppress(OSError):
                if not file.stat().st_size:
                    file.unlink()
                    if made:
                        folder.rmdir()
            raise
        file.unlink(missing_ok=True)
