"""File formats by their endings, and one way for all of them to fail."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from hinterland.types import HinterlandError

_FORMATS = {
    ".nii.gz": "nifti", ".nii": "nifti", ".mha": "itk", ".nrrd": "itk", ".png": "raster",
    ".bmp": "raster", ".jpg": "raster", ".jpeg": "raster", ".tif": "raster", ".tiff": "raster",
}  # fmt: skip
ENDINGS = tuple(_FORMATS)
LOSSY = (".jpg", ".jpeg")


class VolumeError(HinterlandError):
    """A file that cannot be read as an image or as a label; `code` names the kind of trouble."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return VolumeError, (self.code, str(self))  # crosses process borders


def file_ending(path: Path | str) -> str:
    """The ending as a format name, lower case (`.nii.gz` is one); "" where we read no such file."""
    name = Path(path).name.lower()
    return next((e for e in ENDINGS if name.endswith(e)), "")


def stem(path: Path | str) -> str:
    """The file name without its (known) ending."""
    name = Path(path).name
    return name[: len(name) - len(file_ending(name))]


def is_raster(path: Path | str) -> bool:
    """Whether the format is one of 2D pictures, which know no spacing."""
    return _FORMATS.get(file_ending(path)) == "raster"


def label_ending(ending: str) -> str:
    """The ending for a segmentation of an image with this ending: the same, unless lossy."""
    return ".png" if ending in LOSSY else ending


def probability_ending(ending: str) -> str:
    """The ending for probabilities: the same, but TIFF for 2D images, which hold no floats."""
    return ".tif" if is_raster(ending) else ending


def module_for(path: Path) -> Any:
    """The module that reads and writes files like this one."""
    ending = file_ending(path)
    if not ending:
        raise VolumeError(
            "unknown-format",
            f"{path} has no ending that is known; expected one of {list(ENDINGS)}.",
        )
    # image libraries are slow to import: only when needed
    return import_module(f"hinterland.data.io.{_FORMATS[ending]}")


def call_reader(path: Path, function: str, **options: bool) -> Any:
    """Call a reader; whatever a broken file makes it raise becomes one clear VolumeError."""
    module = module_for(path)
    if not path.exists():
        raise VolumeError("missing-file", f"there is no file {path}.")
    try:
        return getattr(module, function)(path, **options)
    except MemoryError:
        raise
    except Exception as error:
        size = path.stat().st_size if path.is_file() else 0
        what = "it is empty (0 bytes)" if path.is_file() and not size else _first_line(error)
        raise VolumeError(
            "unreadable",
            f"{path} cannot be read: {what}. It is damaged, cut off or not a {file_ending(path)} "
            "file; copy it again from its source.",
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")[:200]
