"""Shapes and fields that phantoms are made of, on grids of two or three dimensions.

Lengths are shares of the volume's shorter side (1 = the whole side), so that one set of parameters
describes phantoms of every size. Points are in array order: (z, y, x) or (y, x).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.ndimage import distance_transform_edt, gaussian_filter

Mask = NDArray[np.bool_]
Field = NDArray[np.float64]


@dataclass(frozen=True)
class Superquadric:
    """The solid `sum_i |(R^T (p - centre))_i / semi_axes_i| ** exponent <= 1`.

    Exponent 2 is an ellipsoid, larger ones approach a box. `centre` and `semi_axes` are shares of
    the side; `rotation` R is an orthogonal (dims, dims) matrix.
    """

    centre: NDArray[np.float64]
    semi_axes: NDArray[np.float64]
    rotation: NDArray[np.float64]
    exponent: float = 2.0

    def mask(self, points: Field) -> Mask:
        """Tell which of the points (dims, *spatial) lie inside: (*spatial) bool."""
        offset = points - self.centre.reshape(-1, *[1] * (points.ndim - 1))
        local = np.tensordot(self.rotation.T, offset, axes=1)
        scaled = np.abs(local) / self.semi_axes.reshape(-1, *[1] * (points.ndim - 1))
        return np.asarray((scaled**self.exponent).sum(axis=0) <= 1.0)

    def shrunk(self, factor: float) -> Superquadric:
        """Return the same solid with its semi-axes multiplied by `factor`."""
        return Superquadric(self.centre, self.semi_axes * factor, self.rotation, self.exponent)


def grid(shape: tuple[int, ...]) -> Field:
    """Return voxel centres as shares of the shorter side, centred at 0.5: (dims, *shape)."""
    side = min(shape)
    axes = [(np.arange(n) + 0.5 - n / 2) / side + 0.5 for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def rotation(rng: np.random.Generator, dims: int, tilt: float) -> NDArray[np.float64]:
    """Draw a rotation.

    Args:
        rng: draws the angles.
        dims: 2 or 3.
        tilt: standard deviation of the angles, in radians.

    Returns:
        The matrix (dims, dims).
    """
    skew = np.zeros((dims, dims))
    above = np.triu_indices(dims, 1)
    skew[above] = rng.normal(0.0, tilt, size=len(above[0]))
    return np.asarray(expm(skew - skew.T))


def texture(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> Field:
    """Return a stationary Gaussian field of zero mean and unit variance over the volume.

    Args:
        rng: draws the noise.
        shape: voxels.
        length: standard deviation in voxels of the Gaussian that white noise is smoothed with; the
            field's correlation falls to 1/e at twice that distance. 0 gives white noise.

    Returns:
        The field.
    """
    field = gaussian_filter(rng.standard_normal(shape), length, mode="wrap")
    return (field - field.mean()) / max(float(field.std()), 1e-12)


def blob_inside(
    rng: np.random.Generator, organ: Mask, points: Field, radius: float, elongation: float
) -> tuple[Mask, bool]:
    """Draw a small ellipsoid at a random place inside `organ`.

    Each semi-axis is the radius times a factor drawn from [1 / elongation, elongation]. The centre
    is
    drawn among the voxels that are further than the longest semi-axis and one voxel from the
    organ's
    surface. Where the organ is too thin for that, the blob does not fit: it sits at the deepest
    voxel
    and is cut off at the surface.

    Args:
        rng: the source of randomness.
        organ: (*spatial) bool.
        points: the coordinates of the voxels.
        radius: mean semi-axis, as a share of the image's side.
        elongation: the largest factor between a semi-axis and the radius.

    Returns:
        The ellipsoid (*spatial) bool, and whether it fits.
    """
    dims, side = organ.ndim, min(organ.shape)
    factors = elongation ** rng.uniform(-1.0, 1.0, size=dims)
    turn = rotation(rng, dims, np.pi)
    pick = rng.uniform()
    depth = distance_transform_edt(organ)
    wanted = radius * float(factors.max()) * side + 1.0
    deepest = float(depth.max())
    places = np.argwhere(depth >= min(wanted, deepest))
    place = tuple(places[int(pick * len(places))])
    solid = Superquadric(points[(slice(None), *place)], radius * factors, turn)
    blob = solid.mask(points) & organ
    blob[place] = True  # smaller than a voxel still leaves its centre
    return blob, deepest >= wanted
