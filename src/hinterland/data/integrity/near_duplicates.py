"""Find scans that show the same thing in other voxels: saved again, cropped a little, annotated.

Each scan is described by whether it gets brighter from one place to the next, on a grid of 16 x 17
places of its middle slices (a difference hash). Copies agree in most of these bits, whatever their
size, contrast and compression; other scans of the same organ do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from PIL import Image

_PLACES = 16
_ALIKE = 0.27
"""Share of differing among set bits below which two scans are copies. Of the 780 ultrasound scans
of BUSI some 190 pairs lie below, and most others of one organ differ by .45 or more."""


def clusters(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Put names that are joined by pairs, also over others, into one list each, in their order."""
    home: dict[str, list[str]] = {}
    for one, other in pairs:
        a, b = home.setdefault(one, [one]), home.setdefault(other, [other])
        if a is not b:
            a += b
            home.update(dict.fromkeys(b, a))
    return [members for name, members in home.items() if members[0] == name]


def describe(array: np.ndarray) -> bytes:
    """Describe a scan (C, z, y, x) by 256 bits for a picture, 768 for a volume (three slices)."""
    depth = array.shape[1]
    slices = (0,) if depth == 1 else (depth // 4, depth // 2, 3 * depth // 4)
    return b"".join(_bits(array[:, z]) for z in slices)


def _bits(picture: np.ndarray) -> bytes:
    grey = Image.fromarray(picture.mean(axis=0, dtype=np.float32))
    small = np.asarray(grey.resize((_PLACES + 1, _PLACES), Image.Resampling.BOX))
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()


def near_duplicates(described: Mapping[str, bytes]) -> Iterator[tuple[str, str, float]]:
    """Yield the pairs of names whose scans are nearly the same, with the share of differing bits.

    Args:
        described: name -> what `describe` returned.
    """
    for length in sorted({len(d) for d in described.values()}):
        names = [n for n, d in described.items() if len(d) == length]
        bits = np.unpackbits(
            np.frombuffer(b"".join(described[n] for n in names), np.uint8).reshape(-1, length),
            axis=1,
        ).astype(np.float32)
        count = bits.sum(axis=1)
        for i in range(len(names) - 1):
            both = bits[i + 1 :] @ bits[i]
            union = count[i + 1 :] + count[i] - both
            differ = (union - both) / np.maximum(union, 1)
            for j in np.flatnonzero((differ < _ALIKE) & (union > 0)):
                yield names[i], names[i + 1 + int(j)], float(differ[j])
