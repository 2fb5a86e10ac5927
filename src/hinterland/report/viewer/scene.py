"""One case for the 3D viewer: image, reference and predictions as bytes, with what they mean."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np

from hinterland.data.io.volume import Volume
from hinterland.evaluation.masks import GroupMap
from hinterland.labels import Coarsening
from hinterland.report.viewer.shrink import (
    Factors,
    factors_for,
    mean_blocks,
    pick_blocks,
    sharpest_plane,
    shrunk_affine,
    straightened,
)

MOST_VOXELS = 2**24
"""Voxels of a volume at most, whatever the budget: what a telephone's graphics memory bears."""
_BASE64 = 4 / 3
_HEADER = 352  # bytes before the voxels of a NIfTI file


@dataclass(frozen=True)
class CaseVolumes:
    """A case at full size.

    Attributes:
        case: its name.
        volume: the image; its first channel is shown.
        at: the question: groups that predictions tell apart.
        reference: the annotation by leaf (or set of leaves), None where there is none.
        predictions: method -> groups of `at`, uint8 (z, y, x).
        hidden: leaves of the reference that are not coloured, such as what 0 stands for.
        remark: a line below the case's name, such as its scores.
        physical: whether voxels have a size.
    """

    case: str
    volume: Volume
    at: Coarsening | None = None
    reference: GroupMap | None = None
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()
    remark: str = ""
    physical: bool = True


@dataclass(frozen=True)
class Scene:
    """A case ready for the page.

    Attributes:
        content: what the script reads; JSON.
        factors: by how much the volumes were shrunk, (z, y, x).
        size: bytes that the volumes take on the page.
    """

    content: dict[str, Any]
    factors: Factors
    size: int


def make_scene(case: CaseVolumes, budget: int) -> Scene:
    """Pack a case, shrunk until its volumes take no more than `budget` bytes of the page.

    Args:
        case: at full size.
        budget: bytes, as base64.

    Returns:
        The scene. Images are averaged over blocks and rounded to 256 grey values, label maps take
        the middle voxel of each block.
    """
    voxels = min(MOST_VOXELS, max(1, int(budget / _BASE64)))
    while True:
        factors = factors_for(case.volume.shape, case.volume.spacing, voxels)
        volumes = _volumes(case, factors)
        size = sum(len(text) for text in volumes.values())
        if size <= budget or voxels == 1:
            break
        voxels = max(1, int(voxels * max(0.3, min(0.9, budget / size))))
    return Scene({**volumes, **_meanings(case, factors)}, factors, size)


def make_scenes(cases: Sequence[CaseVolumes], budget: int) -> list[Scene]:
    """Pack several cases that share a budget in equal parts."""
    return [make_scene(case, budget // max(len(cases), 1)) for case in cases]


def _volumes(case: CaseVolumes, factors: Factors) -> dict[str, str]:
    low, step = _grey_scale(case.volume)
    image = mean_blocks(case.volume.array[0], factors)
    grey = ((image - low) / step).round().clip(0, 255).astype(np.uint8)
    found = {"image": _packed(grey)}
    if case.reference is not None:
        found["reference"] = _packed(pick_blocks(case.reference.codes, factors))
    for i, mask in enumerate(case.predictions.values()):
        found[f"prediction{i}"] = _packed(pick_blocks(mask.astype(np.uint8), factors))
    return found


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(gzip.compress(array.tobytes(), 9, mtime=0)).decode("ascii")


def _grey_scale(volume: Volume) -> tuple[float, float]:
    """Return the value of grey 0 and the step to the next grey: extremes may be cut off."""
    sample = np.nan_to_num(volume.array[0].reshape(-1)[:: max(1, volume.array[0].size // 10**6)])
    low, high = (float(v) for v in np.percentile(sample.astype(np.float32), [0.05, 99.95]))
    return low, (high - low) / 255 if high > low else 1.0


def _meanings(case: CaseVolumes, factors: Factors) -> dict[str, Any]:
    low, step = _grey_scale(case.volume)
    reference, at = case.reference, case.at
    names = structure_names(reference) if reference is not None else []
    z, y, x = case.volume.shape
    affine = straightened(case.volume.affine, case.volume.shape)
    oblique = affine is not case.volume.affine
    grid = [-(-n // f) for n, f in zip((x, y, z), reversed(factors), strict=True)]
    classes = [_class(case, at, group, factors) for group in at.foreground] if at else []
    return {
        "case": case.case,
        "remark": case.remark,
        "header": _header(affine, factors, grid),
        "plane": sharpest_plane(affine),
        "oblique": oblique,
        "grid": grid,
        "grey": [low, step],
        "structures": names,
        "hidden": _codes_of(reference, case.hidden)[0] if reference is not None else [],
        "classes": classes,
        "methods": list(case.predictions),
        "shrunk": shrunk_text(factors, case.volume, case.physical)
        + (" The volume is oblique, and is shown along its own axes." if oblique else ""),
        "errors": _errors(case),
    }


def _class(case: CaseVolumes, at: Coarsening, group: int, factors: Factors) -> dict[str, Any]:
    """Describe a class of the question: its number, and the codes of the reference it means."""
    told: dict[str, Any] = {"name": at.names[group], "group": group, "inside": [], "undecided": []}
    if case.reference is not None:
        inside, undecided = _codes_of(case.reference, at.groups[group])
        start = _start(case, case.reference, group, inside, factors)
        told |= {"inside": inside, "undecided": undecided, "start": start}
    return told


def structure_names(reference: GroupMap) -> list[str]:
    """Name every code of a reference: leaves, then the sets of leaves that it leaves open."""
    tree = reference.at.tree
    opened = [
        tree.node_for(leaves) or " or ".join(tree.leaf_names[k] for k in sorted(leaves))
        for leaves in reference.open_sets
    ]
    return [*reference.at.names, *opened]


def _codes_of(reference: GroupMap, group: frozenset[int]) -> tuple[list[int], list[int]]:
    """Return the codes of a reference that lie in a group, and those that may."""
    sets = [*reference.at.groups, *reference.open_sets]
    inside = [i for i, leaves in enumerate(sets) if leaves <= group]
    return inside, [i for i, leaves in enumerate(sets) if leaves & group and i not in inside]


def _errors(case: CaseVolumes) -> dict[str, dict[str, Any]]:
    """Count, on the full volumes, what each method got right, missed, and took for the class."""
    if case.reference is None or case.at is None:
        return {}
    codes, names = case.reference.codes, structure_names(case.reference)
    millilitres = float(np.prod(case.volume.spacing)) / 1000
    unit, scale = ("mL", millilitres) if case.physical else ("voxels", 1.0)
    found: dict[str, dict[str, Any]] = {}
    for group in case.at.foreground:
        inside, undecided = _codes_of(case.reference, case.at.groups[group])
        per = {}
        for method, mask in case.predictions.items():
            hit = np.bincount(codes[mask == group], minlength=len(names)) * scale
            whole = np.bincount(codes.ravel(), minlength=len(names)) * scale
            per[method] = {
                "correct": float(hit[inside].sum()),
                "missed": float(whole[inside].sum() - hit[inside].sum()),
                "false": {
                    names[i]: float(hit[i])
                    for i in range(len(names))
                    if hit[i] > 0 and i not in inside and i not in undecided
                },
            }
        found[case.at.names[group]] = {"unit": unit, "methods": per}
    return found


def _start(
    case: CaseVolumes, reference: GroupMap, group: int, inside: Sequence[int], factors: Factors
) -> list[int] | None:
    """Choose the voxel (x, y, z) to begin with: on the slice with most of the class."""
    wanted = np.isin(reference.codes, inside)
    if not wanted.any():
        wanted = np.any([m == group for m in case.predictions.values()] or [wanted], axis=0)
    if not wanted.any():
        return None
    z = int(wanted.sum(axis=(1, 2)).argmax())
    places = np.argwhere(wanted[z])
    nearest = places[np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()]
    voxel = (int(nearest[1]), int(nearest[0]), z)
    return [v // f for v, f in zip(voxel, reversed(factors), strict=True)]


def _header(affine: np.ndarray, factors: Factors, grid: Sequence[int]) -> str:
    """Write the NIfTI header of a uint8 volume on the shrunk grid."""
    empty = np.broadcast_to(np.uint8(0), tuple(grid))
    image = nib.Nifti1Image(empty, shrunk_affine(affine, factors), dtype=np.uint8)
    return base64.b64encode(image.to_bytes()[:_HEADER]).decode("ascii")


def shrunk_text(factors: Factors, volume: Volume, physical: bool) -> str:
    """Say what was done to the volumes of a case, for the page.

    Args:
        factors: by how much its axes were shrunk.
        volume: at full size.
        physical: whether voxels have a size in mm.

    Returns:
        One or two sentences.
    """
    z, y, x = volume.shape
    if factors == (1, 1, 1):
        return f"All {x} × {y} × {z} voxels are shown."
    by_x, by_y, by_z = factors[::-1]
    sides = [s * f for s, f in zip(volume.spacing, factors, strict=True)][::-1]
    size = f", to {sides[0]:.3g} × {sides[1]:.3g} × {sides[2]:.3g} mm" if physical else ""
    return (
        f"{x} × {y} × {z} voxels were shrunk by {by_x} × {by_y} × {by_z}{size}: small lesions may "
        "be gone or ragged. Figures are those of the full volumes."
    )
