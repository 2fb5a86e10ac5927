"""The quality sheet: volumes, components, and overlap with lesions of every structure and case."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from hinterland.data.io.csv_text import neutral

OUTLIER = 3.5
"""Robust z-score, |v - median| / (1.4826 MAD), from which the logarithm of a volume is flagged."""
FRAGMENTED = 0.5
"""Share of the largest component from below which a structure is flagged."""
_ENOUGH = 5  # cases for a median that means something


@dataclass(frozen=True)
class Row:
    """One structure in one case.

    Attributes:
        given: whether the source could see it here.
        voxels: as the source saw it (empty volume where the spacing is unknown).
        volume_ml: as the source saw it (empty volume where the spacing is unknown).
        written: voxels that it got in the label file.
        annotated: voxels in which the annotation was kept, because it said otherwise or said so
            already.
        components: number of connected components.
        largest: share of the largest component.
        lesion_voxels: voxels in which lesions were annotated.
        lesion_share: these as a share of all lesion voxels of the case.
        overlap: voxels that another structure took.
        flags: empty, outlier, fragmented.
    """

    case: str
    structure: str
    given: bool
    voxels: int = 0
    volume_ml: float | None = None
    written: int = 0
    annotated: int = 0
    components: int = 0
    largest: float | None = None
    lesion_voxels: int = 0
    lesion_share: float | None = None
    overlap: int = 0
    flags: str = ""


def measure(
    case: str,
    nodes: Sequence[str],
    provided: frozenset[str],
    overlaps: dict[str, int],
    index: np.ndarray,
    kept: np.ndarray,
    lesion: np.ndarray,
    voxel_ml: float | None,
) -> list[Row]:
    """Return the rows of one case.

    Args:
        case: its name.
        nodes: the structures, in the order of their numbers.
        provided: the structures that the source could see.
        overlaps: node -> voxels that an earlier structure took from it.
        index: (z, y, x) number of the structure, from 1.
        kept: (z, y, x) bool, the annotation was kept.
        lesion: (z, y, x) bool, annotated as lesion.
        voxel_ml: volume of a voxel, None where unknown.

    Returns:
        One row a structure.
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(np.where(index > len(nodes), 0, index), len(nodes))
    lesions = int(lesion.sum())
    rows = []
    for number, (node, box) in enumerate(zip(nodes, boxes, strict=True), start=1):
        if node not in provided or box is None:
            ml = None if voxel_ml is None or node not in provided else 0.0
            rows.append(
                Row(case, node, node in provided, volume_ml=ml, overlap=overlaps.get(node, 0))
            )
            continue
        mask = index[box] == number
        voxels = int(mask.sum())
        parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
        inside = int((mask & lesion[box]).sum())
        same = int((mask & kept[box]).sum())
        rows.append(
            Row(
                case, node, True, voxels,
                None if voxel_ml is None else voxels * voxel_ml,
                written=voxels - same, annotated=same, components=count,
                largest=int(np.bincount(parts[mask]).max()) / voxels,
                lesion_voxels=inside,
                lesion_share=inside / lesions if lesions else None,
                overlap=overlaps.get(node, 0),
            )
        )  # fmt: skip
    return rows


def flagged(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with their flags: what a person should look at first."""
    result = []
    sizes: dict[str, list[float]] = {}
    for row in rows:
        if row.voxels:
            sizes.setdefault(row.structure, []).append(np.log(_size(row)))
    for row in rows:
        flags = []
        if row.given and not row.voxels:
            flags.append("empty")
        known = sizes.get(row.structure, [])
        if row.voxels and len(known) >= _ENOUGH:
            median = float(np.median(known))
            spread = 1.4826 * float(np.median(np.abs(np.array(known) - median)))
            if abs(np.log(_size(row)) - median) > OUTLIER * max(spread, 0.05):
                flags.append("outlier")
        if row.largest is not None and row.largest < FRAGMENTED:
            flags.append("fragmented")
        result.append(replace(row, flags=" ".join(flags)))
    return result


def _size(row: Row) -> float:
    return row.volume_ml if row.volume_ml else float(row.voxels)


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return one entry a structure: cases, volumes, overlap with lesions, flags."""
    result = []
    for node in dict.fromkeys(r.structure for r in rows):
        own = [r for r in rows if r.structure == node]
        found = [r for r in own if r.voxels]
        volumes = [r.volume_ml for r in found if r.volume_ml is not None]
        shares = [r.lesion_share for r in own if r.given and r.lesion_share is not None]
        result.append(
            {
                "structure": node,
                "cases_given": sum(r.given for r in own),
                "cases_found": len(found),
                "median_volume_ml": float(np.median(volumes)) if volumes else None,
                "voxels": sum(r.voxels for r in own),
                "written": sum(r.written for r in own),
                "annotated": sum(r.annotated for r in own),
                "lesion_voxels": sum(r.lesion_voxels for r in own),
                "mean_lesion_share": float(np.mean(shares)) if shares else None,
                "flagged": {
                    flag: cases
                    for flag in ("empty", "outlier", "fragmented")
                    if (cases := [r.case for r in own if flag in r.flags.split()])
                },
            }
        )
    return result


def to_csv(rows: Sequence[Row]) -> str:
    """Return the sheet as CSV, one line a row, empty where a figure does not exist."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: neutral(_cell(v)) for k, v in asdict(row).items()} for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value
