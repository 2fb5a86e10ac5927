"""The run's log: log.csv, cut back to the checkpoint on resume, and a tracker beside it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hinterland.data.io.files import atomic_path
from hinterland.training.trackers import open_tracker
from hinterland.types import HinterlandError

_COLUMNS = ("phase", "step", "key", "value")


class Logbook:
    """Appends (phase, global step, key, value) rows to `log.csv`, and tells a tracker, too.

    Opened at global step `start`, it first drops what is logged from there on: a run that was
    killed after its checkpoint repeats those steps.
    """

    def __init__(self, folder: Path, start: int = 0, logger: str = "tensorboard") -> None:
        self._path = folder / "log.csv"
        self._tracker = open_tracker(logger, folder, start)
        kept = [r for r in read_rows(self._path) if int(r[1]) < start]
        with (
            atomic_path(self._path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([_COLUMNS, *kept])
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file)

    def write(self, phase: str, step: int, values: Mapping[str, float]) -> None:
        """Log scalars of a global step.

        Args:
            phase: its name.
            step: counted over all phases, from 0.
            values: name -> number.
        """
        with self._named():
            for key, value in values.items():
                self._csv.writerow((phase, step, key, f"{value:.8g}"))
            self._tracker.write(values, step)

    def flush(self) -> None:
        """Put everything on disk; called before each checkpoint."""
        with self._named():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._tracker.flush()

    def close(self) -> None:
        """Put everything on disk and let go of the files."""
        self.flush()
        self._file.close()
        self._tracker.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say which file could not be written, and how to go on."""
        try:
            yield
        except OSError as error:
            raise HinterlandError(
                f"{self._path} cannot be written: {error.strerror or error}. Make room there, then "
                f"go on: hinterland resume {self._path.parent}"
            ) from None


def read_rows(path: Path) -> list[list[str]]:
    """Return the complete rows (phase, step, key, value) of a log.

    A row that is being written, or that a kill cut short, is left out.
    """
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [r for r in list(csv.reader(file))[1:] if len(r) == len(_COLUMNS) and r[1].isdigit()]
