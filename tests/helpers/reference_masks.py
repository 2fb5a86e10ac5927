"""Masks for the metric tests, and the metrics written down a second time, slowly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FACES = [(0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0)]
ACDC, HIPPOCAMPUS, COVID = "Dataset027_ACDC", "Dataset004_Hippocampus", "Dataset115_COVID19CT"


def real_labels(
    root: Path, dataset: str, count: int
) -> list[tuple[str, np.ndarray, tuple[float, ...]]]:
    """(case, integers (z, y, x), spacing) of the first test cases, their middle twelve slices."""
    from hinterland.data.io.volume import read_label

    files = sorted((root / dataset / "labelsTs").glob("*.nii.gz"))[:count]
    volumes = [(f.name[:-7], read_label(f)) for f in files]
    middle = [v.shape[0] // 2 for _, v in volumes]
    return [
        (name, v.array[0][max(0, m - 6) : m + 6], v.spacing)
        for (name, v), m in zip(volumes, middle, strict=True)
    ]


def perturbed(labels: np.ndarray, rng: np.random.Generator, specks: float = 2e-4) -> np.ndarray:
    """A plausible prediction: every label moved, grown or eroded, with some false specks."""
    from scipy import ndimage

    result = np.zeros_like(labels)
    for value in np.unique(labels)[1:]:
        mask = labels == value
        kind = rng.integers(3)
        if kind == 0:
            shift = rng.integers(-2, 3, size=mask.ndim)
            if mask.shape[0] < 12:
                shift[0] = 0
            mask = np.roll(mask, shift, axis=tuple(range(mask.ndim)))
        elif kind == 1:
            mask = ndimage.binary_dilation(mask, iterations=int(rng.integers(1, 3)))
        else:
            mask = ndimage.binary_opening(mask)
        mask ^= rng.random(mask.shape) < specks
        result[mask] = value
    return result


def random_masks(
    rng: np.random.Generator, dims: int = 3, side: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Two related random masks, at times noisy, thin, touching the border, or far apart."""
    from scipy import ndimage

    shape = (side,) * dims
    base = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.3, 1.5))
    reference = base > np.quantile(base, rng.uniform(0.3, 0.98))
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.3, 1.5))
    mixed = base + rng.uniform(0, 3) * noise
    prediction = mixed > np.quantile(mixed, rng.uniform(0.3, 0.98))
    return prediction, reference


def slow_surface(mask: np.ndarray) -> np.ndarray:
    """(n, dims) indices of voxels in the mask with a face neighbour outside of it."""
    faces = [f[3 - mask.ndim :] for f in FACES if not any(f[: 3 - mask.ndim])]
    framed, axes = np.pad(mask, 1), tuple(range(mask.ndim))
    outside = np.any([~np.roll(framed, f, axis=axes) for f in faces], axis=0)
    return np.argwhere(framed & outside) - 1


def slow_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of surface voxels, the nearest of each."""
    p, r = (slow_surface(m) * np.array(spacing) for m in (prediction, reference))
    between = np.sqrt(((p[:, None] - r[None]) ** 2).sum(axis=-1))
    return between.min(axis=1), between.min(axis=0)
