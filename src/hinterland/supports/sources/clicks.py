"""Where somebody clicks inside a structure: drawn at random from masks, or read from a table."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hinterland.types import HinterlandError

Click = tuple[int, int, int, bool]
"""Voxel (z, y, x), and whether it says "inside"."""
_COLUMNS = ("case", "structure", "x", "y", "z")
_YES, _NO = ("1", "true", "yes", "positive", "+", ""), ("0", "false", "no", "negative", "-")


def random_clicks(
    mask: np.ndarray, count: int, seed: int, case: str, structure: str
) -> list[Click]:
    """Draw `count` positive clicks on voxels of a mask (z, y, x), uniform, without replacement.

    Fewer where the mask has fewer voxels. The draw depends on seed, case and structure alone.

    Args:
        mask: bool (z, y, x).
        count: how many.
        seed: of the draw.
        case: its name.
        structure: its name.

    Returns:
        (z, y, x, positive) each.
    """
    inside = np.flatnonzero(mask)
    key = (seed, zlib.crc32(case.encode()), zlib.crc32(structure.encode()))
    drawn = np.random.default_rng(key).choice(inside, min(count, inside.size), replace=False)
    voxels = np.stack(np.unravel_index(drawn, mask.shape), axis=1)
    return [(int(z), int(y), int(x), True) for z, y, x in voxels]


def read_clicks(path: Path) -> dict[str, dict[str, list[Click]]]:
    """Read clicks from a CSV file.

    Args:
        path: a file with the columns case, structure, x, y, z and, if wanted, positive (1 or 0).
            x, y, z count voxels from 0, in the order of the image file.

    Returns:
        Case -> structure -> clicks.

    Raises:
        HinterlandError: the file holds anything else; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            rows, columns = list(table), table.fieldnames or []
    except FileNotFoundError:
        raise HinterlandError(
            f"there is no click file {path}. Give a CSV file of clicks."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise HinterlandError(f"{path} is no CSV file: {error}. Save it as CSV in UTF-8.") from None
    missing = [c for c in _COLUMNS if c not in columns]
    if missing:
        raise HinterlandError(
            f"{path} has no column {missing[0]!r}; expected {', '.join(_COLUMNS)} "
            "and, if wanted, positive."
        )
    found: dict[str, dict[str, list[Click]]] = {}
    for number, row in enumerate(rows, start=2):
        found.setdefault(row["case"], {}).setdefault(row["structure"], []).append(
            _click(path, number, row)
        )
    return found


def _click(path: Path, number: int, row: Mapping[str, str | None]) -> Click:
    try:
        x, y, z = (int(row[axis] or "") for axis in "xyz")
    except ValueError:
        raise HinterlandError(
            f"{path}, line {number}: {row['x']!r}, {row['y']!r}, {row['z']!r} is no voxel; "
            "expected three whole numbers from 0."
        ) from None
    positive = (row.get("positive") or "").strip().lower()
    if positive not in (*_YES, *_NO):
        raise HinterlandError(f"{path}, line {number}: positive is {positive!r}; expected 1 or 0.")
    return z, y, x, positive in _YES


def check_clicks(clicks: Mapping[str, list[Click]], shape: tuple[int, ...], case: str) -> None:
    """Refuse clicks outside of the image (z, y, x), and structures without a positive one.

    Args:
        clicks: structure -> clicks.
        shape: of the image.
        case: its name.

    Raises:
        HinterlandError: there is one of either kind.
    """
    for structure, points in clicks.items():
        for z, y, x, _ in points:
            if not all(0 <= v < n for v, n in zip((z, y, x), shape, strict=True)):
                raise HinterlandError(
                    f"case {case}: the click ({x}, {y}, {z}) (x, y, z) for {structure!r} lies "
                    f"outside of the image, which has {tuple(reversed(shape))} voxels."
                    " Correct it."
                )
        if not any(positive for *_, positive in points):
            raise HinterlandError(f"case {case}: {structure!r} has no positive click. Add one.")
