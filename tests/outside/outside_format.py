"""A file format: numpy's .npz with the arrays `array` (C, z, y, x) and `affine` (4, 4)."""

from pathlib import Path

import numpy as np

from hinterland.data.io.formats import VolumeFormat


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as content:
        return content["array"], content["affine"]


def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    np.savez(path, array=array, affine=affine)


FORMAT = VolumeFormat((".vol.npz",), read, write)
