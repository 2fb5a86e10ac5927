"""A curve in a terminal, drawn with dots of Braille characters: two across and four up a cell."""

from __future__ import annotations

from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row from the top, column
_EMPTY = 0x2800


def braille(
    points: Sequence[tuple[float, float]],
    width: int,
    height: int,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> list[str]:
    """Draw points, joined by lines, as `height` lines of `width` characters.

    Args:
        points: (x, y), finite, in the order of x.
        width: characters.
        height: lines.
        x_range: the limits of x; default, those of the points.
        y_range: the limits of y; default, those of the points.

    Returns:
        The lines, from the top.

    Examples:
        >>> braille([(0, 0), (1, 1)], 2, 1)
        ['⡠⠊']
    """
    cells = [[_EMPTY] * width for _ in range(height)]
    across, up = 2 * width - 1, 4 * height - 1
    x0, x1 = x_range or _limits([x for x, _ in points])
    y0, y1 = y_range or _limits([y for _, y in points])

    def place(x: float, y: float) -> tuple[int, int]:
        column = round((x - x0) / (x1 - x0) * across) if x1 > x0 else 0
        row = round((1 - (y - y0) / (y1 - y0)) * up) if y1 > y0 else up // 2
        return min(max(column, 0), across), min(max(row, 0), up)

    before: tuple[int, int] | None = None
    for x, y in points:
        column, row = place(x, y)
        last_column, last_row = before or (column, row)
        for c in range(last_column, column + 1):
            share = (c - last_column) / (column - last_column) if column > last_column else 1.0
            r = round(last_row + share * (row - last_row))
            cells[r // 4][c // 2] |= _DOTS[r % 4][c % 2]
        before = column, row
    return ["".join(map(chr, line)) for line in cells]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (0.0, 1.0)
