"""Do two files lie on the same grid?"""

from __future__ import annotations

import numpy as np

from hinterland.data.integrity.problems import Problem
from hinterland.data.io.volume import Header

SPACING_TOLERANCE = 1e-3  # relative
DIRECTION_TOLERANCE = 1e-3  # of direction cosines
ORIGIN_TOLERANCE = 1e-2  # of the smallest voxel side
NOISE = 1e-6  # differences below are not worth a word


def check_affine(header: Header, case: str, what: str) -> Problem | None:
    """An error where the affine maps the voxels onto less than a volume, or onto NaN."""
    matrix = header.affine[:3, :3]
    if np.isfinite(header.affine).all() and abs(np.linalg.det(matrix)) > 1e-12:
        return None
    spacing = ", ".join(f"{s:.4g}" for s in header.spacing)
    return Problem(
        "error", "bad-geometry", case,
        f"the header of {what} has the spacing ({spacing}) mm (z, y, x) and no usable affine; "
        "expected positive, finite voxel sizes and independent axes. Correct the header.",
    )  # fmt: skip


def compare(reference: Header, other: Header, case: str, what: str, to: str) -> Problem | None:
    """What separates `other` (called `what`) from `reference` (called `to`), as one problem.

    Differences within the tolerances are a note, those at the level of float rounding nothing.
    """
    if reference.shape[1:] != other.shape[1:]:
        return Problem(
            "error", "shape-mismatch", case,
            f"{what} has the shape {other.shape[1:]} (z, y, x), but {to} has "
            f"{reference.shape[1:]}; both must lie on one grid. Resample one onto the other "
            "(labels with nearest neighbour), or look whether the files belong together.",
        )  # fmt: skip
    differences = _differences(reference.affine, other.affine)
    wrong = [d for d in differences if d[1] > d[2]]
    if wrong:
        names = " and ".join(name for name, *_ in wrong)
        details = "; ".join(
            f"{name} {theirs} instead of {ours}" for name, _, _, ours, theirs in wrong
        )
        return Problem(
            "error", f"{wrong[0][0]}-mismatch", case,
            f"{what} and {to} differ in {names}: {details}. Both must lie on one grid: copy the "
            "header if the voxels correspond, resample if they do not.",
        )  # fmt: skip
    largest = max(differences, key=lambda d: d[1])
    if largest[1] > NOISE:
        return Problem(
            "note", "geometry-noise", case,
            f"{largest[0]} of {what} and {to} differ by {largest[1]:.1e}, which is rounding.",
        )  # fmt: skip
    return None


def _differences(a: np.ndarray, b: np.ndarray) -> list[tuple[str, float, float, str, str]]:
    """(name, difference, tolerance, reference as text, other as text) for each property."""
    sa, sb = np.linalg.norm(a[:3, :3], axis=0), np.linalg.norm(b[:3, :3], axis=0)
    da, db = a[:3, :3] / sa, b[:3, :3] / sb
    return [
        ("spacing", float(np.max(np.abs(sa - sb) / sa)), SPACING_TOLERANCE,
         _text(sa[::-1]), _text(sb[::-1])),
        ("direction", float(np.abs(da - db).max()), DIRECTION_TOLERANCE,
         _text(da.ravel()), _text(db.ravel())),
        ("origin", float(np.abs(a[:3, 3] - b[:3, 3]).max() / sa.min()), ORIGIN_TOLERANCE,
         _text(a[:3, 3]), _text(b[:3, 3])),
    ]  # fmt: skip


def _text(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"
