"""One phantom patient: anatomy, lesions and look-alikes, and the image they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hinterland.phantoms.shapes import (
    Field,
    Mask,
    Superquadric,
    blob_inside,
    grid,
    rotation,
    texture,
)

REST, HOST, DECOY, BOWEL, SPINE, LESION = range(6)
LEAVES = ("rest", "host", "decoy", "bowel", "spine", "lesion")


@dataclass(frozen=True)
class Organ:
    """How one organ is drawn for a patient.

    Attributes:
        place: centre (z, y, x), share of the side.
        size: smallest and largest semi-axis, share of the side.
        stretch: factor on the semi-axis along each axis (z, y, x).
        exponent: smallest and largest superquadric exponent.
        tilt: s.d. of the pose angles, radians.
        level: mean intensity, units.
        grain: correlation length of the texture, share of the side.
        roughness: s.d. of the texture, units.
    """

    place: tuple[float, float, float]
    size: tuple[float, float]
    exponent: tuple[float, float]
    tilt: float
    level: float
    grain: float
    roughness: float
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class PhantomParameters:
    """Everything that a phantom is drawn from. Frozen before any model was trained on them.

    Intensities are in arbitrary units (tissue 300, air 0), lengths in shares of the shorter side.

    The design: lesions live in `host` only. `decoy` holds mimics that come from the same
    distribution as lesions: same contrast, size, shape, smoothness and number. Host and decoy have
    the same mean level and the same roughness, and which of them lies left is a coin toss for each
    patient, so that a patch of a lesion's size cannot tell them apart; the grain of their texture
    and their size can, over a larger neighbourhood. A lesion's contrast is about 1.3 to 2.5 times
    the s.d. of texture and noise around it.

    Attributes:
        shift: s.d. of an organ's centre about its place, share of the side.
        level_spread: s.d. of an organ's mean level between patients, units.
        gain_spread: s.d. of the scanner's gain between patients, relative.
        lesions: fewest and most lesions of a patient; mimics likewise.
        radius: smallest and largest mean semi-axis of a lesion, share of the side.
        elongation: largest ratio of a lesion's semi-axis to its mean radius.
        contrast: smallest and largest drop of a lesion below its organ's level, units.
        lumen: semi-axes of the bowel's dark lumen, relative to the bowel's.
        blur: s.d. of the point spread (partial volume), voxels.
        bias: s.d. of the log of the bias field.
        bias_length: its correlation length, share of the side.
        noise: s.d. of the white noise, units.
        spacing: voxel size, mm.
    """

    host: Organ = Organ((0.48, 0.46, 0.33), (0.19, 0.26), (2.0, 2.8), 0.5, 500.0, 0.016, 30.0)
    decoy: Organ = Organ((0.50, 0.50, 0.70), (0.15, 0.20), (2.0, 2.8), 0.5, 500.0, 0.040, 30.0)
    bowel: Organ = Organ((0.62, 0.26, 0.52), (0.12, 0.17), (2.0, 3.5), 0.5, 400.0, 0.025, 35.0)
    spine: Organ = Organ(
        (0.50, 0.80, 0.50), (0.08, 0.10), (2.5, 4.0), 0.08, 680.0, 0.02, 45.0, (6.0, 1.0, 1.0)
    )
    body_size: tuple[float, float] = (0.44, 0.48)
    body_level: float = 300.0
    body_grain: float = 0.03
    body_roughness: float = 30.0
    shift: float = 0.03
    level_spread: float = 20.0
    gain_spread: float = 0.10
    lesions: tuple[int, int] = (1, 3)
    mimics: tuple[int, int] = (1, 3)
    radius: tuple[float, float] = (0.040, 0.075)
    elongation: float = 1.3
    contrast: tuple[float, float] = (70.0, 130.0)
    lumen: float = 0.5
    lumen_level: float = 60.0
    blur: float = 0.6
    bias: float = 0.10
    bias_length: float = 0.25
    noise: float = 35.0
    spacing: float = 2.5

    def organs(self) -> tuple[tuple[int, Organ], ...]:
        """Return (label, organ) in the order of painting.

        Where organs overlap, a later one overwrites the earlier ones, and so touches them.
        """
        return (BOWEL, self.bowel), (DECOY, self.decoy), (HOST, self.host), (SPINE, self.spine)


@dataclass(frozen=True)
class Phantom:
    """One patient, as arrays.

    The image (*spatial) float32 is in units of the phantom, the label (*spatial) uint8 by `LEAVES`.
    The mimics (*spatial) bool are the look-alikes of lesions inside the decoy (and labelled decoy).
    """

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    mimics: Mask


def draw_phantom(
    rng: np.random.Generator, shape: tuple[int, ...], parameters: PhantomParameters
) -> Phantom:
    """Draw one patient on a grid of two or three axes.

    Args:
        rng: draws the anatomy and the noise.
        shape: voxels.
        parameters: of the anatomy.

    Returns:
        Image, label and mimics.
    """
    p, points, side = parameters, grid(shape), min(shape)
    flip = bool(rng.integers(2))
    body = Superquadric(
        np.full(len(shape), 0.5),
        rng.uniform(*p.body_size, size=len(shape)),
        np.eye(len(shape)),
        2.5,
    ).mask(points)
    label = np.zeros(shape, dtype=np.uint8)
    level = np.where(body, p.body_level, 0.0)
    level += np.where(body, p.body_roughness * texture(rng, shape, p.body_grain * side), 0.0)
    for value, organ in p.organs():
        solid = _pose(rng, organ, len(shape), p.shift, flip)
        inside = solid.mask(points) & body
        label[inside] = value
        mean = organ.level + rng.normal(0.0, p.level_spread)
        grain = organ.roughness * texture(rng, shape, organ.grain * side)
        level[inside] = (mean + grain)[inside]
        if value == BOWEL:
            level[solid.shrunk(p.lumen).mask(points) & inside] = p.lumen_level
    lesions = _blobs(rng, label == HOST, points, level, p.lesions, p)
    mimics = _blobs(rng, label == DECOY, points, level, p.mimics, p)
    label[lesions] = LESION
    return Phantom(_scan(rng, level, p), label, mimics)


def draw_null_supports(
    rng: np.random.Generator, label: NDArray[np.uint8], parameters: PhantomParameters
) -> NDArray[np.uint8]:
    """Return support labels that say nothing about the image, around the true lesions of `label`.

    Solids of the same number, size and shape as the organs, at places uniform over the volume,
    drawn without looking at the image. The lesions stay where they are.

    Args:
        rng: draws the places.
        label: the true label.
        parameters: of the anatomy.

    Returns:
        The label of the same shape.
    """
    points, dims = grid(label.shape), label.ndim
    side = np.array(label.shape) / min(label.shape)
    support = np.zeros_like(label)
    for value, organ in parameters.organs():
        solid = _pose(rng, organ, dims, 0.0, False)
        centre = 0.5 + (rng.uniform(size=dims) - 0.5) * side
        turn = rotation(rng, dims, np.pi)
        support[Superquadric(centre, solid.semi_axes, turn, solid.exponent).mask(points)] = value
    support[label == LESION] = LESION
    return support


def _pose(
    rng: np.random.Generator, organ: Organ, dims: int, shift: float, flip: bool
) -> Superquadric:
    centre = np.array(organ.place[-dims:]) + rng.normal(0.0, shift, size=dims)
    if flip:
        centre[-1] = 1.0 - centre[-1]
    semi_axes = rng.uniform(*organ.size, size=dims) * np.array(organ.stretch[-dims:])
    return Superquadric(
        centre, semi_axes, rotation(rng, dims, organ.tilt), rng.uniform(*organ.exponent)
    )


def _blobs(
    rng: np.random.Generator,
    organ: Mask,
    points: Field,
    level: Field,
    count: tuple[int, int],
    p: PhantomParameters,
) -> Mask:
    """Lower `level` inside a few blobs in the organ that do not touch each other.

    Lesions and mimics both come from here. A blob after the first that finds no room is left out.
    Returns the mask of the blobs.
    """
    found = np.zeros_like(organ)
    for _ in range(int(rng.integers(count[0], count[1] + 1))):
        radius, contrast = rng.uniform(*p.radius), rng.uniform(*p.contrast)
        free = organ & ~found
        if not free.any():
            break
        blob, fits = blob_inside(rng, free, points, radius, p.elongation)
        if fits or not found.any():
            level[blob] -= contrast
            found |= blob
    return found


def _scan(rng: np.random.Generator, level: Field, p: PhantomParameters) -> NDArray[np.float32]:
    sharp = gaussian_filter(level, p.blur)
    bias = np.exp(p.bias * texture(rng, level.shape, p.bias_length * min(level.shape)))
    gain = max(0.1, 1.0 + rng.normal(0.0, p.gain_spread))
    noisy = gain * bias * sharp + rng.normal(0.0, p.noise, size=level.shape)
    return noisy.astype(np.float32)
