"""Find files that do not lie where they should."""

from __future__ import annotations

import numpy as np

from hinterland.data.integrity.problems import Problem
from hinterland.data.io.grid import differences, on_grid
from hinterland.data.io.volume import Header

NOISE = 1e-6  # differences below are not worth a word


def check_affine(header: Header, case: str, what: str) -> Problem | None:
    """Return an error where the affine maps the voxels onto less than a volume, or onto NaN.

    Args:
        header: of the file.
        case: its name.
        what: the file's, for the message.

    Returns:
        An error, or None.
    """
    if header.grid.usable:
        return None
    spacing = ", ".join(f"{s:.4g}" for s in header.spacing)
    return Problem(
        "error", "bad-geometry", case,
        f"the header of {what} has the spacing ({spacing}) mm (z, y, x) and no usable affine; "
        "expected positive, finite voxel sizes and independent axes. Correct the header.",
    )  # fmt: skip


def compare(reference: Header, other: Header, case: str, what: str, to: str) -> Problem | None:
    """Say what separates one file's geometry from another's, as one problem.

    Differences within the tolerances are a note, those at the level of float rounding nothing. The
    same voxels in another order are a note, too: they are turned when they are read.

    Args:
        reference: header of the file that counts.
        other: header of the file that is compared.
        case: its name.
        what: what `other` is called in the message.
        to: what `reference` is called there.

    Returns:
        An error or a note; None where both agree.
    """
    found = differences(reference.grid, other.grid)
    if any(d.matters for d in found) and _turns(reference, other):
        return Problem(
            "note", "axes-differ", case,
            f"{what} is stored with its axes flipped or in another order than {to}, as its header "
            "says; it is turned when it is read.",
        )  # fmt: skip
    if found and found[0].name == "shape":
        return Problem(
            "error", "shape-mismatch", case,
            f"{what} has the shape {other.shape[1:]} (z, y, x), but {to} has "
            f"{reference.shape[1:]}; both must lie on one grid. Resample one onto the other "
            "(labels with nearest neighbour), or look whether the files belong together.",
        )  # fmt: skip
    wrong = [d for d in found if d.matters]
    if wrong:
        names = " and ".join(d.name for d in wrong)
        details = "; ".join(str(d) for d in wrong)
        return Problem(
            "error", f"{wrong[0].name}-mismatch", case,
            f"{what} and {to} differ in {names}: {details}. Both must lie on one grid: copy the "
            "header if the voxels correspond, resample if they do not. (Axes that were flipped in "
            "the array alone must be flipped back, or reoriented with the header.)",
        )  # fmt: skip
    largest = max(found, key=lambda d: d.amount, default=None)
    if largest is not None and largest.amount > NOISE:
        return Problem(
            "note", "geometry-noise", case,
            f"{largest.name} of {what} and {to} differ by {largest.amount:.1e}, which is rounding.",
        )  # fmt: skip
    return None


def _turns(reference: Header, other: Header) -> bool:
    empty = np.broadcast_to(np.uint8(0), other.shape)
    return on_grid(empty, other.affine, reference.grid) is not None
