"""Register file formats by their suffixes, and let all of them fail in one way.

A format of your own is one `VolumeFormat` and one line, `FORMATS.register("name", format)`, or an
entry point of the group `hinterland.formats`. It is then read by `check`, `train` and `predict`,
and written by `predict`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hinterland.data.io import itk, nifti, raster
from hinterland.data.io.limits import TooLarge
from hinterland.types import HinterlandError
from hinterland.types.registry import Registry

Shape4 = tuple[int, int, int, int]


@dataclass(frozen=True)
class VolumeFormat:
    """How files of one kind are read and written.

    Attributes:
        suffixes: Endings with their dot, in lower case; the first is the usual one.
        read: path -> array (C, z, y, x) in the file's own number type, and NIfTI's affine (4, 4):
            voxel (x, y, z) -> mm in a world that points right, front, up.
        write: (path, array (C, z, y, x), affine) -> None. The path is a temporary one, with the
            suffix of the final one.
        header: path -> shape (C, z, y, x), affine, dtype, without reading voxels. None: the file
            is read for it.
        read_label: As `read`, where label files are read otherwise (palettes); None: `read`.
        flat: Whether these are 2D pictures, which carry no spacing; their affine is the unit matrix
            and their probabilities are written as TIFF.
        lossy: Whether what is written is not what is read, so that labels become PNG files.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]]
    write: Callable[[Path, np.ndarray, np.ndarray], None]
    header: Callable[[Path], tuple[Shape4, np.ndarray, np.dtype]] | None = None
    read_label: Callable[[Path], tuple[np.ndarray, np.ndarray]] | None = None
    flat: bool = False
    lossy: bool = False

    def __post_init__(self) -> None:
        wrong = [s for s in self.suffixes if not s.startswith(".") or s != s.lower()]
        if wrong or not self.suffixes:
            raise HinterlandError(
                f"a file format has the suffixes {list(self.suffixes)}; expected endings in lower "
                "case with their dot, such as '.nii.gz'."
            )


FORMATS: Registry[VolumeFormat] = Registry(
    "file format",
    "hinterland.formats",
    {
        "nifti": VolumeFormat((".nii.gz", ".nii"), nifti.read, nifti.write, nifti.header),
        "itk": VolumeFormat((".mha", ".nrrd"), itk.read, itk.write, itk.header),
        "png": VolumeFormat(
            (".png", ".bmp"), raster.read_picture, raster.write_picture, raster.picture_header,
            raster.read_picture_label, flat=True,
        ),
        "jpeg": VolumeFormat(
            (".jpg", ".jpeg"), raster.read_picture, raster.write_picture, raster.picture_header,
            raster.read_picture_label, flat=True, lossy=True,
        ),
        "tiff": VolumeFormat(
            (".tif", ".tiff"), raster.read_tiff, raster.write_tiff, raster.tiff_header, flat=True,
        ),
    },
)  # fmt: skip
"""All file formats by name, also those of other packages."""


class VolumeError(HinterlandError):
    """A file that cannot be read as an image or as a label; `code` names the kind of trouble."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return VolumeError, (self.code, str(self))  # crosses process borders


def endings() -> tuple[str, ...]:
    """List the suffixes of all formats."""
    return tuple(s for name in FORMATS.names() for s in FORMATS.get(name).suffixes)


def file_ending(path: Path | str) -> str:
    """Return the suffix in lower case (`.nii.gz` is one), or "" where no format has it."""
    name = Path(path).name.lower()
    return max((e for e in endings() if name.endswith(e)), key=len, default="")


def stem(path: Path | str) -> str:
    """Return the file name without its (known) suffix."""
    name = Path(path).name
    return name[: len(name) - len(file_ending(name))]


def format_of(path: Path | str) -> VolumeFormat:
    """Find the format of a file by its suffix.

    Raises:
        VolumeError: No format has it (code `unknown-format`).
    """
    ending = file_ending(path)
    for name in FORMATS.names():
        if ending in FORMATS.get(name).suffixes:
            return FORMATS.get(name)
    raise VolumeError(
        "unknown-format",
        f"{path} has no ending that is known; expected one of {list(endings())}. Convert the file.",
    )


def is_flat(path: Path | str) -> bool:
    """Tell whether the format is one of 2D pictures, which know no spacing."""
    return bool(file_ending(path)) and format_of(path).flat


def label_ending(ending: str) -> str:
    """Return the suffix for a segmentation of an image with this one: the same, unless lossy."""
    return ".png" if ending and format_of(ending).lossy else ending


def probability_ending(ending: str) -> str:
    """Return the suffix for probabilities: the same, but TIFF for 2D pictures, which hold none."""
    return ".tif" if is_flat(ending) else ending


def call(path: Path, function: Callable[[Path], Any]) -> Any:
    """Call a reader; whatever a broken file makes it raise becomes one clear VolumeError."""
    if not path.exists():
        raise VolumeError("missing-file", _missing(path))
    if not (path.is_file() or path.is_dir()):
        raise VolumeError(
            "no-file",
            f"{path} is a pipe, a socket or a device; expected a file. Remove it.",
        )
    try:
        return function(path)
    except MemoryError:
        raise
    except TooLarge as error:
        raise VolumeError("too-large", f"{path} is not read: {error}") from None
    except Exception as error:
        _refuse_pointers(path)
        size = path.stat().st_size if path.is_file() else 0
        what = "it is empty (0 bytes)" if path.is_file() and not size else _first_line(error)
        raise VolumeError(
            "unreadable",
            f"{path} cannot be read: {what}. It is damaged, cut off or not a {file_ending(path)} "
            "file; copy it again from its source.",
        ) from error


def _refuse_pointers(path: Path) -> None:
    """Raise VolumeError where the file stands for one that was not fetched."""
    if path.is_dir():
        return
    with path.open("rb") as file:
        head = file.read(64)
    for mark, kind, command in _POINTERS:
        if head.startswith(mark):
            raise VolumeError(
                "not-fetched",
                f"{path} is a pointer of {kind}, not the image: its content was not fetched. Run "
                f"`{command}` in the data set's folder.",
            )


_POINTERS = (
    (b"version https://git-lfs.", "Git LFS", "git lfs pull"),
    (b"/annex/objects/", "git-annex", "git annex get ."),
)


def _missing(path: Path) -> str:
    if not path.is_symlink():
        return f"there is no file {path}."
    return (
        f"{path} is a link to {path.readlink()}, which is not there. Fetch the content (data sets "
        "of git-annex or DataLad: `git annex get .`), or correct the link."
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")[:200]
