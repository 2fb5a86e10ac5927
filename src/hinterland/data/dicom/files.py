"""Find DICOM files, and read their headers without letting patients' names into messages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hinterland.data.io.formats import file_ending
from hinterland.types import HinterlandError

if TYPE_CHECKING:
    from pydicom import Dataset as Header

ENDINGS = (".dcm", ".ima", ".dicom")
LAYOUTS = ("dataset.json", "imagesTr", "images")
"""What a data set's folder has one of; it is not searched for DICOM."""
_DEFLATED = "1.2.840.10008.1.2.1.99"


def library() -> Any:
    """Return pydicom.

    Raises:
        HinterlandError: It is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise HinterlandError(
            "DICOM needs pydicom. Install it: pip install 'hinterland[dicom]', or convert the "
            "series to NIfTI (dcm2niix)."
        ) from error
    return pydicom


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM: by its mark, or by its ending where it has no mark."""
    return path.is_file() and (_marked(path) or path.suffix.lower() in ENDINGS)


def _marked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def dicom_files(given: Path) -> list[Path]:
    """List the DICOM files of a folder and of all folders below it; or the file itself."""
    if given.is_file():
        return [given] if is_dicom(given) else []
    found = (p for p in sorted(given.rglob("*")) if not p.name.startswith("."))
    return [p for p in found if p.name != "DICOMDIR" and is_dicom(p)]


def holds_dicom(given: Path) -> bool:
    """Tell whether this is DICOM and nothing that is read otherwise."""
    if given.is_dir() and any(file_ending(p) for p in given.iterdir() if p.is_file()):
        return False
    return bool(dicom_files(given))


def is_dicom_folder(given: Path) -> bool:
    """Tell whether a folder holds series of DICOM and has not the layout of a data set."""
    return (
        given.is_dir()
        and not any((given / name).exists() for name in LAYOUTS)
        and holds_dicom(given)
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's remarks, which quote values of headers, out of logs.

    It reads values when they are asked for, so all that asks stands in such a block.
    """
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def read_header(path: Path, *, voxels: bool = False) -> Header:
    """Read a file.

    Args:
        path: The file.
        voxels: Whether to read its voxels, too.

    Returns:
        What pydicom reads.

    Raises:
        HinterlandError: It is damaged, or packed in a way that could hide a bomb.
    """
    pydicom = library()
    try:
        with quiet():
            if _marked(path):
                meta = pydicom.filereader.read_file_meta_info(path)
                if meta.get("TransferSyntaxUID") == _DEFLATED:
                    raise ValueError("it is deflated as a whole; write it without (dcmconv)")
            return pydicom.dcmread(path, stop_before_pixels=not voxels, force=True)
    except MemoryError:
        raise
    except Exception as error:
        what = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise HinterlandError(
            f"{path} cannot be read as DICOM ({what}). Copy it again from its source, or remove it."
        ) from None
