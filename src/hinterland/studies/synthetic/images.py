"""Draw synthetic images in which a navy circle is to be found (paper 5, appendix A4).

An image is a grey ground with many coloured objects on it. Image i of a stream depends on the seed
and on i only, so a set of any size needs no space and any part of it can be drawn anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hinterland.studies.synthetic.shapes import COLOURS, GROUND, SHAPES, colour_index, stamp
from hinterland.types import HinterlandError

Range = tuple[int, int]
Kind = tuple[str, str]  # colour, shape


@dataclass(frozen=True)
class SyntheticParameters:
    """Everything that defines the population; defaults are those of Table A2.

    canvas: width and height in pixels. objects: n_obj, all objects of an image, the target and the
        spurious one among them.
    train, val, test: n_train, n_val, n_test, numbers of images.
    target_*: c, r, s, l_x, l_y of the target. `target_radii` are (radius, probability) pairs, which
        the size bias sweeps. spurious_*: the same of the spurious object.
    background_*: colours, radius, shapes and places of all others. `background_unique`: how many
        different kinds (colour and shape) there are, the first of an order drawn with
        `background_seed`; None means all.
    positive: p_pos, probability of a target. match: p_spur, probability that the spurious object
        is there exactly if the target is; 0.5 makes the two independent.
    *_x, *_y: lowest and highest coordinate of an object's centre, both possible; None means the
        whole canvas, 0 to `canvas`. Objects are cut at the border.

    The paper does not say whether a background object may look like the target or like the spurious
    object. Here it may not: no background object is a navy circle, which would make labels wrong,
    nor a pink square, which would make "the spurious object is absent" wrong.
    """

    canvas: int = 224
    objects: int = 50
    train: int = 100_000
    val: int = 20_000
    test: int = 100_000
    target_colour: str = "navy"
    target_shape: str = "circle"
    target_radii: tuple[tuple[int, float], ...] = ((8, 1.0),)
    target_x: Range | None = None
    target_y: Range | None = None
    spurious_colour: str = "pink"
    spurious_shape: str = "square"
    spurious_radius: int = 8
    spurious_x: Range | None = None
    spurious_y: Range | None = None
    background_colours: tuple[str, ...] = COLOURS
    background_shapes: tuple[str, ...] = SHAPES
    background_radius: int = 8
    background_x: Range | None = None
    background_y: Range | None = None
    background_unique: int | None = None
    background_seed: int = 0
    positive: float = 0.5
    match: float = 0.5

    def __post_init__(self) -> None:
        for name in ("positive", "match"):
            if not 0 <= getattr(self, name) <= 1:
                raise HinterlandError(f"{name} = {getattr(self, name)}: expected 0 to 1.")
        if self.canvas < 8 or self.objects < 2 or min(self.train, self.val, self.test) < 0:
            raise HinterlandError(
                f"a canvas of {self.canvas} with {self.objects} objects: expected at least 8 "
                "pixels and 2 objects, and no negative numbers of images."
            )
        share = sum(p for _, p in self.target_radii)
        if min(p for _, p in self.target_radii) < 0 or abs(share - 1) > 1e-6:
            raise HinterlandError(
                f"target_radii {self.target_radii}: expected (radius, probability) pairs whose "
                f"probabilities sum to 1; they sum to {share:.4g}."
            )
        for name in ("target", "spurious", "background"):
            for axis in "xy":
                self._check_range(f"{name}_{axis}")
        for radius, _ in self.target_radii:
            stamp(self.target_shape, radius)
        stamp(self.spurious_shape, self.spurious_radius)
        for shape in self.background_shapes:
            stamp(shape, self.background_radius)
        for colour in (self.target_colour, self.spurious_colour, *self.background_colours):
            colour_index(colour)
        most = len(self._all_kinds)
        if not 1 <= (self.background_unique or most) <= most:
            raise HinterlandError(
                f"background_unique = {self.background_unique}: expected 1 to {most} kinds of "
                "objects."
            )

    def _check_range(self, name: str) -> None:
        low, high = self.range_of(name)
        if not 0 <= low <= high <= self.canvas:
            raise HinterlandError(
                f"{name} = {(low, high)}: expected two coordinates from 0 to {self.canvas}, in "
                "order."
            )

    def range_of(self, name: str) -> Range:
        """Find the coordinates that `name` (such as "target_x") may take, both ends included."""
        return getattr(self, name) or (0, self.canvas)

    @property
    def _all_kinds(self) -> list[Kind]:
        taken = {
            (self.target_colour, self.target_shape),
            (self.spurious_colour, self.spurious_shape),
        }
        pairs = product(dict.fromkeys(self.background_colours), self.background_shapes)
        return [pair for pair in pairs if pair not in taken]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Colour and shape of the objects that the background is drawn from, all equally often."""
        kinds = self._all_kinds
        if self.background_unique is None:
            return tuple(kinds)
        order = np.random.default_rng([self.background_seed, len(kinds)]).permutation(len(kinds))
        return tuple(kinds[i] for i in order[: self.background_unique])


@dataclass(frozen=True)
class SyntheticImage:
    """One image with all that is true of it.

    colours  (H, W) uint8, indices into `synthetic_stamps.PALETTE`
    mask     (H, W) bool, the target's pixels
    positive: is the target there (then the mask is not empty). spurious: is the spurious object.
    radius: of the target, 0 without one. centre: its (x, y), None without one.
    points: (H, W) bool, the pixels that a sparse annotation names; None means all.
    """

    colours: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    positive: bool
    spurious: bool
    radius: int = 0
    centre: tuple[int, int] | None = None
    points: NDArray[np.bool_] | None = None


class SyntheticStream:
    """Image i of a population, for any i >= 0: `stream[i]`.

    The same seed and i give the same image. Draw training, validation and test images with
    different `part`s.
    """

    def __init__(self, parameters: SyntheticParameters, seed: int = 0, part: int = 0) -> None:
        self.parameters, self.seed, self.part = parameters, seed, part

    @cached_property
    def _kinds(self) -> list[tuple[NDArray[np.bool_], int]]:
        p = self.parameters
        return [(stamp(s, p.background_radius), colour_index(c)) for c, s in p.kinds]

    def __getitem__(self, index: int) -> SyntheticImage:
        p = self.parameters
        rng = np.random.default_rng([self.seed, self.part, index])
        positive = bool(rng.random() < p.positive)
        spurious = positive if rng.random() < p.match else not positive
        canvas = np.full((p.canvas, p.canvas), GROUND, dtype=np.uint8)
        if spurious:
            (place,) = self._places(rng, "spurious", 1)
            mark = stamp(p.spurious_shape, p.spurious_radius)
            _paint(canvas, mark, place, colour_index(p.spurious_colour))
        kinds, count = self._kinds, p.objects - positive - spurious
        chosen = rng.integers(len(kinds), size=count).tolist()
        for kind, place in zip(chosen, self._places(rng, "background", count), strict=True):
            _paint(canvas, kinds[kind][0], place, kinds[kind][1])
        mask = np.zeros(canvas.shape, dtype=bool)
        if not positive:
            return SyntheticImage(canvas, mask, False, spurious)
        radii, shares = zip(*p.target_radii, strict=True)
        radius = radii[int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares)))]
        (place,) = self._places(rng, "target", 1)
        _paint(canvas, stamp(p.target_shape, radius), place, colour_index(p.target_colour))
        _paint(mask, stamp(p.target_shape, radius), place, True)
        return SyntheticImage(canvas, mask, True, spurious, radius, place)

    def _places(self, rng: np.random.Generator, what: str, count: int) -> list[tuple[int, int]]:
        """Draw the places (x, y) of `count` centres."""
        ranges = (self.parameters.range_of(f"{what}_{axis}") for axis in "xy")
        xs, ys = (rng.integers(low, high + 1, size=count).tolist() for low, high in ranges)
        return list(zip(xs, ys, strict=True))


def _paint(
    canvas: NDArray[Any], mark: NDArray[np.bool_], place: tuple[int, int], value: int
) -> None:
    """Set the canvas where a stamp with its centre at the place covers it."""
    (x, y), r = place, len(mark) // 2
    top, left = max(y - r, 0), max(x - r, 0)
    part = canvas[top : y + r + 1, left : x + r + 1]
    if part.shape != mark.shape:
        down, right = top - (y - r), left - (x - r)
        mark = mark[down : down + part.shape[0], right : right + part.shape[1]]
    part[mark] = value
