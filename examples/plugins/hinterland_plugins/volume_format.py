"""Add a file format: numpy's .npz with the arrays `data` (C, z, y, x) and `affine` (4, 4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hinterland.data.io.formats import VolumeFormat


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read voxels and affine."""
    with np.load(path, allow_pickle=False) as file:
        return file["data"], file["affine"]


def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels and affine."""
    np.savez_compressed(path, data=array, affine=affine)


FORMAT = VolumeFormat((".npz",), read, write)
