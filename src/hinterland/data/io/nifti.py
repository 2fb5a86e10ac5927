"""Read and write NIfTI files, through nibabel."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from hinterland.data.io.limits import TooLarge


def _layout(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return (C, z, y, x) of an array (x, y), (x, y, z), (x, y, z, C) or (x, y, z, 1, C)."""
    if len(shape) < 2 or len(shape) > 5 or (len(shape) == 5 and shape[3] != 1):
        raise ValueError(
            f"the array has the shape {shape}; expected (x, y, z) or (x, y, z, channel)"
        )
    x, y, z = (*shape, 1)[:3]
    return (shape[-1] if len(shape) > 3 else 1, z, y, x)


def header(path: Path) -> tuple[tuple[int, int, int, int], np.ndarray, np.dtype]:
    """Return shape (C, z, y, x), affine and stored dtype, without reading voxels."""
    image = _opened(path)
    return _layout(image.shape), np.asarray(image.affine, float), image.get_data_dtype()


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read (C, z, y, x) in the file's own type (float32 if the header scales), and the affine."""
    image = _opened(path)
    channels, z, y, x = _layout(image.shape)
    array = _voxels(path, image).reshape(x, y, z, channels, order="F")  # as stored: no copy
    return np.ascontiguousarray(array.transpose(3, 2, 1, 0)), np.asarray(image.affine, float)


def _opened(path: Path) -> Any:
    """Open a file; ValueError where its header promises more than its bytes can hold."""
    _refuse_far_voxels(path)
    image: Any = nib.load(path)
    promised = math.prod(image.shape) * image.get_data_dtype().itemsize
    size = path.stat().st_size * (_MOST_DEFLATED if _is_gzip(path) else 1)
    if promised > size:
        raise ValueError(
            f"its header promises {math.prod(image.shape):,} voxels of {image.get_data_dtype()}, "
            f"more than {path.stat().st_size:,} bytes can hold"
        )
    return image


_MOST_DEFLATED = 1032  # times: what deflate can make of equal bytes at best
_MOST_EXTENSIONS = 2**24  # bytes between header and voxels
_MOST_BEHIND = 2**24  # bytes after the last voxel


def _refuse_far_voxels(path: Path) -> None:
    """Refuse headers that put gigabytes before the voxels: nibabel would read them all."""
    with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
        head = file.read(176)
    if len(head) < 176:
        return  # nibabel says what it is
    order = "<" if head[0] else ">"
    kind, place = ("q", 168) if struct.unpack_from(f"{order}i", head)[0] == 540 else ("f", 108)
    offset = struct.unpack_from(f"{order}{kind}", head, place)[0]
    if offset > _MOST_EXTENSIONS:
        raise TooLarge(
            f"its header says that {offset:,.0f} bytes lie before the voxels; expected at most "
            f"{_MOST_EXTENSIONS:,}. Write it again without header extensions."
        )


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _voxels(path: Path, image: Any) -> np.ndarray:
    if not _is_gzip(path):
        return _values(image)
    with _Stream(path) as stream:
        array = _values(image.from_file_map({"image": nib.FileHolder(fileobj=stream)}))
        behind = 0
        while more := len(stream.read(1 << 20)):  # gzip compares its checksum only at the end
            behind += more
            if behind > _MOST_BEHIND:
                raise ValueError("it goes on for megabytes after the last voxel that it promises")
    return array


class _Stream(gzip.GzipFile):
    """Inflate into the array itself: the standard library would make a copy of the whole first."""

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how many bytes came."""
        view, done = memoryview(buffer).cast("B"), 0
        while part := self.read(min(1 << 20, len(view) - done)):
            view[done : done + len(part)] = part
            done += len(part)
        return done


def _values(image: Any) -> np.ndarray:
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    if (scaled and image.get_data_dtype().kind in "iu") or image.get_data_dtype().kind == "f":
        return np.asarray(image.dataobj, dtype=np.float32)
    return np.asarray(image.dataobj)


def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write (C, z, y, x); one channel is written as a 3D file.

    Args:
        path: the file to write.
        array: voxels.
        affine: voxel indices (x, y, z) to RAS+ millimetres, 4 x 4.
    """
    data = array.transpose(3, 2, 1, 0)
    image = nib.Nifti1Image(data[..., 0] if len(array) == 1 else data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(axes.T @ axes, np.eye(3), atol=1e-5):  # a qform cannot hold a shear
        image.set_qform(affine, code=1)
    nib.save(image, path)
