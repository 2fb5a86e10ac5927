"""The voxels of a series, in Hounsfield units or whatever its slope and intercept make of them."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from hinterland.data.dicom.files import quiet, read_header
from hinterland.data.dicom.series import Series
from hinterland.data.dicom.slices import Slice
from hinterland.data.io.limits import TooLarge, refuse_huge
from hinterland.data.io.volume import Volume
from hinterland.types import HinterlandError

_SYNTAX = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
"""(implicit types, little endian) -> the transfer syntax of uncompressed voxels."""


def read_series(series: Series) -> Volume:
    """Read the voxels of a series.

    Compressed files are unpacked by pydicom's decoders (RLE by itself, JPEG-LS and JPEG 2000 with
    the extra `dicom`), and by GDCM, in SimpleITK, where these cannot.

    Args:
        series: What `find_series` has found.

    Returns:
        Array (1, z, y, x), integers where slope and intercept are, else float32, and the affine.

    Raises:
        HinterlandError: A file cannot be unpacked, or the memory does not suffice.
    """
    kind = number_type(series)
    try:
        refuse_huge((1, *series.shape), kind)
    except TooLarge as error:
        raise HinterlandError(f"{series.name} is not read: {error}") from None
    array = np.empty((1, *series.shape), kind)
    places = {(s.path, s.frame): z for z, s in enumerate(series.slices)}
    by_file = sorted(series.slices, key=lambda s: (s.path, s.frame))
    for path, slices in groupby(by_file, key=lambda s: s.path):
        frames, scaled = _unpacked(path)
        for one in slices:
            plane = frames[one.frame]
            if not scaled and (one.slope, one.intercept) != (1, 0):
                plane = plane.astype(np.float64) * one.slope + one.intercept
            array[0, places[path, one.frame]] = plane
    return Volume(array, series.affine)


def number_type(series: Series) -> np.dtype:
    """Return the smallest usual type that holds every value that the headers allow."""
    if not all(_whole(s) for s in series.slices):
        return np.dtype(np.float32)
    ends = [end for s in series.slices for end in _ends(s)]
    for kind in (np.int16, np.int32):
        if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.int64)


def _whole(one: Slice) -> bool:
    return float(one.slope).is_integer() and float(one.intercept).is_integer()


def _ends(one: Slice) -> tuple[float, float]:
    low, high = (-(2 ** (one.bits - 1)), 2 ** (one.bits - 1)) if one.signed else (0, 2**one.bits)
    return one.slope * low + one.intercept, one.slope * (high - 1) + one.intercept


def _unpacked(path: Path) -> tuple[np.ndarray, bool]:
    """Return the frames (frame, y, x) of a file, and whether they are scaled already.

    GDCM is asked for compressed files only. It fills up what is missing of others without a word,
    and turns MONOCHROME1 into its negative, which `pixel_array` does not.
    """
    header: Any = read_header(path, voxels=True)
    try:
        with quiet():
            _name_syntax(header)
            array = header.pixel_array
        return array.reshape(-1, *array.shape[-2:]), False
    except MemoryError:
        raise
    except Exception:  # its decoders raise whatever a damaged file makes them stumble over
        pass
    try:
        with quiet():
            syntax = header.file_meta.get("TransferSyntaxUID")
            if not (syntax and syntax.is_compressed):
                raise RuntimeError("too few voxels")
            if header.get("PhotometricInterpretation") == "MONOCHROME1":
                raise RuntimeError("MONOCHROME1")
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    except RuntimeError as error:
        raise HinterlandError(
            f"{path}: its voxels cannot be unpacked, or are fewer than its header says. "
            "Copy it again from its source, or write it uncompressed (dcmdjpeg, gdcmconv --raw)."
        ) from error
    return array.reshape(-1, *array.shape[-2:]), True


def _name_syntax(header: Any) -> None:
    """Say of a file without a preamble how its numbers are written; they are never compressed."""
    if "TransferSyntaxUID" not in header.file_meta:
        header.file_meta.TransferSyntaxUID = _SYNTAX[header.original_encoding]
