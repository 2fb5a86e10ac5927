"""Read and write NIfTI files, through nibabel."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np


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
    array = _voxels(path, image).reshape(x, y, z, channels)
    return np.ascontiguousarray(array.transpose(3, 2, 1, 0)), np.asarray(image.affine, float)


def _opened(path: Path) -> Any:
    """Open a file; ValueError where its header promises more than its bytes can hold."""
    image: Any = nib.load(path)
    promised = math.prod(image.shape) * image.get_data_dtype().itemsize
    size = path.stat().st_size * (_MOST_DEFLATED if path.name.lower().endswith(".gz") else 1)
    if promised > size:
        raise ValueError(
            f"its header promises {math.prod(image.shape):,} voxels of {image.get_data_dtype()}, "
            f"more than {path.stat().st_size:,} bytes can hold"
        )
    return image


_MOST_DEFLATED = 1032  # times: what deflate can make of equal bytes at best


def _voxels(path: Path, image: Any) -> np.ndarray:
    if not path.name.lower().endswith(".gz"):
        return _values(image)
    with gzip.open(path) as stream:
        array = _values(image.from_file_map({"image": nib.FileHolder(fileobj=stream)}))
        while stream.read(1 << 20):  # to the end: gzip compares its checksum only there
            pass
    return array


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
