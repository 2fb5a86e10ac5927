"""Phantom scans and plans for tests: oblique, anisotropic, with three structures in a body."""

import numpy as np
from factories import plan_of

from hinterland.data.io.volume import Volume
from hinterland.types import Normalisation, Plan

OBLIQUE = np.array([[0.9, -0.3, 0.3], [0.3, 0.95, 0.1], [-0.3, 0.0, 0.95]])


def plan_for(spacing, transpose=(0, 1, 2), scheme="zscore", unit="mm", **more) -> Plan:
    dims = 2 if spacing[0] is None else 3
    return plan_of(
        (32,) * dims, (32,), normalisation=(Normalisation(scheme, **more),), spacing=spacing,
        unit=unit, transpose=transpose, fingerprint="f" * 16,
    )  # fmt: skip


def volume(array, spacing=(1.0, 1.0, 1.0)) -> Volume:
    """A volume of an oblique affine with this spacing (z, y, x)."""
    affine = np.eye(4)
    columns = OBLIQUE / np.linalg.norm(OBLIQUE, axis=0)
    affine[:3, :3] = columns * np.array(spacing)[::-1]
    affine[:3, 3] = (-31, 12, 5)
    return Volume(array if array.ndim == 4 else array[None], affine)


def phantom(shape=(20, 40, 48), spacing=(3.0, 1.0, 1.5)):
    """A body inside zeros and a label of three structures, off centre in every axis."""
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)),
                          indexing="ij")  # fmt: skip
    extent = np.array(shape) * spacing

    def ball(centre, radius):
        cz, cy, cx = np.array(centre) * extent
        return (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < (radius * extent.min()) ** 2

    label = np.zeros(shape, np.uint8)
    label[ball((0.5, 0.45, 0.6), 0.3)] = 1
    label[ball((0.45, 0.5, 0.7), 0.15)] = 2
    label[ball((0.6, 0.3, 0.5), 0.1)] = 7
    body = ball((0.5, 0.45, 0.6), 0.42)
    rng = np.random.default_rng(0)
    image = np.where(body, 100 + 30 * label + rng.normal(0, 5, shape), 0).astype(np.float32)
    return image, label
