"""A grid of coloured squares, for what the number of annotated pixels is worth (paper 5, A4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hinterland.studies.synthetic.images import SyntheticImage
from hinterland.studies.synthetic.shapes import COLOURS, colour_index
from hinterland.types import HinterlandError


@dataclass(frozen=True)
class GridParameters:
    """Everything that defines the population: is one of the squares navy?

    Attributes:
        canvas: width and height in pixels, a multiple of `squares`, the squares along each side.
        positive: probability that exactly one square, anywhere, has `target_colour`. All others are
            drawn from `background_colours` without the target's.
        train: numbers of images.
        val: numbers of images.
        test: numbers of images.
    """

    canvas: int = 112
    squares: int = 4
    train: int = 10_000
    val: int = 2_000
    test: int = 10_000
    target_colour: str = "navy"
    background_colours: tuple[str, ...] = COLOURS
    positive: float = 0.5

    def __post_init__(self) -> None:
        if self.squares < 1 or self.canvas < self.squares or self.canvas % self.squares:
            raise HinterlandError(
                f"a canvas of {self.canvas} pixels with {self.squares} squares along a side: "
                "expected a multiple."
            )
        if not 0 <= self.positive <= 1:
            raise HinterlandError(f"positive = {self.positive}: expected 0 to 1.")
        for colour in (self.target_colour, *self.background_colours):
            colour_index(colour)
        if not self.others:
            raise HinterlandError("background_colours: expected another than the target's.")

    @property
    def others(self) -> tuple[str, ...]:
        """The colours of squares that are not the target."""
        return tuple(c for c in dict.fromkeys(self.background_colours) if c != self.target_colour)


class GridStream:
    """Image i of a population, for any i >= 0, as `SyntheticStream` has it.

    `points` of an image is one random pixel of every square.
    """

    def __init__(self, parameters: GridParameters, seed: int = 0, part: int = 0) -> None:
        self.parameters, self.seed, self.part = parameters, seed, part
        self._others = np.array([colour_index(c) for c in parameters.others], dtype=np.uint8)

    def __getitem__(self, index: int) -> SyntheticImage:
        p = self.parameters
        rng = np.random.default_rng([self.seed, self.part, index])
        n, edge = p.squares, p.canvas // p.squares
        positive = bool(rng.random() < p.positive)
        grid = self._others[rng.integers(len(self._others), size=(n, n))]
        at = rng.integers(n, size=2)
        corners = np.arange(n) * edge
        rows = corners[:, None] + rng.integers(edge, size=(n, n))
        columns = corners[None] + rng.integers(edge, size=(n, n))
        points = np.zeros((p.canvas, p.canvas), dtype=bool)
        points[rows, columns] = True
        target = np.zeros((n, n), dtype=bool)
        if positive:
            target[tuple(at)] = True
            grid[tuple(at)] = colour_index(p.target_colour)
        block = np.ones((edge, edge), dtype=np.uint8)
        centre = (int(at[1]) * edge + edge // 2, int(at[0]) * edge + edge // 2)
        return SyntheticImage(
            np.kron(grid, block),
            np.kron(target, block).astype(bool),
            positive,
            spurious=False,
            radius=edge // 2 if positive else 0,
            centre=centre if positive else None,
            points=points,
        )
