"""Series as NIfTI files, which every command can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hinterland.data.dicom.series import Series, find_series
from hinterland.data.dicom.voxels import read_series
from hinterland.data.integrity.problems import Problem
from hinterland.data.io import nifti
from hinterland.data.io.files import atomic_path, explained, remove, sweep, temporary_name
from hinterland.types import HinterlandError, Tick


def write_series(series: Series, file: Path) -> Path:
    """Write the voxels and the geometry of a series as a NIfTI file.

    Args:
        series: What `find_series` has found.
        file: The file to make; it ends in .nii.gz.

    Returns:
        The file.

    Raises:
        HinterlandError: The voxels cannot be read, or the file not written.
    """
    volume = read_series(series)
    with atomic_path(file) as temporary:
        nifti.write(temporary, volume.array, volume.affine)
    return file


@contextmanager
def as_images(
    given: Sequence[Path], beside: Path, *, anonymous: bool = True, progress: Tick | None = None
) -> Iterator[tuple[dict[str, Series], Path, list[Problem]]]:
    """Write the series of folders as NIfTI files for as long as the block lasts.

    Args:
        given: Folders or files of DICOM.
        beside: The name beside which the folder of the files is made; what a killed process leaves
            there is removed by the next one.
        anonymous: See `find_series`.
        progress: Called with (series read, series).

    Yields:
        The series by name, the folder with a file of that name each, and the problems; series
        that make no volume, or cannot be read, are among these.

    Raises:
        HinterlandError: There is no series that makes a volume.
    """
    found, problems = find_series(given, anonymous=anonymous)
    if not found:
        raise no_series(given[0], problems)
    folder = temporary_name(beside.with_name(f"{beside.name}.dicom"))
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        remove(folder)
        folder.mkdir(mode=0o700)
    try:
        made = {}
        for done, series in enumerate(found, start=1):
            try:
                write_series(series, folder / f"{series.name}.nii.gz")
                made[series.name] = series
            except HinterlandError as error:
                problems.append(Problem("error", "dicom-voxels", series.name, str(error)))
            if progress is not None:
                progress(done, len(found))
        if not made:
            raise no_series(given[0], problems)
        yield made, folder, problems
    finally:
        remove(folder)


def no_series(given: Path, problems: Sequence[Problem]) -> HinterlandError:
    """Return the error that nothing here makes a volume, and why."""
    said = [f"{p.case}: {p.message}" for p in problems if p.severity == "error"]
    return HinterlandError(
        f"{given} holds no series of DICOM slices that makes a volume. "
        + ("\n".join(said[:10]) or "Give the folder that holds its files.")
    )
