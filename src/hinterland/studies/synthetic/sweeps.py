"""The sweeps of Table A3 and the annotation-quantity experiment of A4.3, as lists of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hinterland.studies.synthetic.grid import GridParameters
from hinterland.studies.synthetic.images import SyntheticParameters
from hinterland.studies.synthetic.trial import Arm, Budget, Parameters, Trial
from hinterland.types import HinterlandError

# `cpu` is the paper's world at 2/7 of its edges: 64 pixels, 10 objects (as densely placed) of
# radius 5 (larger than 2/7 of 8, or shapes could not be told apart), a large spurious object of
# radius 8 = 28 * 2/7, 4,000 training images in place of 100,000.
WORLDS: dict[str, SyntheticParameters] = {
    "paper": SyntheticParameters(),
    "cpu": SyntheticParameters(
        canvas=64, objects=10, train=4_000, val=300, test=1_000, target_radii=((5, 1.0),),
        spurious_radius=5, background_radius=5,
    ),
    "smoke": SyntheticParameters(
        canvas=32, objects=5, train=24, val=12, test=12, target_radii=((4, 1.0),),
        spurious_radius=4, background_radius=4,
    ),
}  # fmt: skip
GRIDS: dict[str, GridParameters] = {
    "paper": GridParameters(),
    "cpu": GridParameters(canvas=32, train=3_200, val=300, test=1_000),
    "smoke": GridParameters(canvas=16, train=24, val=12, test=12),
}
BUDGETS: dict[str, Budget] = {
    "paper": Budget(),
    "cpu": Budget(steps=600, batch=32, lr=3e-3, power=0.9, interval=100, trunk="small", tau=40),
    "smoke": Budget(steps=2, batch=4, lr=3e-3, interval=1, trunk="small", tau=20),
}
SIZES = tuple(WORLDS)
_LARGE = {"paper": 28, "cpu": 8, "smoke": 6}
_RADII = {"paper": (8, 16, 24), "cpu": (5, 8, 11), "smoke": (3, 4, 5)}
_FEWER = {"paper": (10_000, 25_000), "cpu": (1_000, 1_000), "smoke": (16, 16)}
"""n_train of the target size and of the number of objects, as the paper lowers it."""

Make = Callable[[str, Any], tuple[Parameters, Parameters, Budget]]


@dataclass(frozen=True)
class Sweep:
    """One figure: what changes along the x axis, the values by size, and the trials they mean.

    Attributes:
        make: (size, value) -> training population, test population (validation's too), budget.
    """

    name: str
    title: str
    axis: str
    along: dict[str, Sequence[float]]
    make: Make
    log: bool = False
    arms: tuple[Arm, ...] = ("classifier", "segmentation")

    def trials(self, size: str, seed: int = 0) -> list[tuple[float, Trial]]:
        """List (value, trial) for each value and arm, in the order in which they should be run.

        Raises:
            HinterlandError: another size.
        """
        if size not in SIZES:
            raise HinterlandError(f"size {size!r}: expected one of {', '.join(SIZES)}.")
        return [
            (value, Trial(arm, *self.make(size, value), seed=seed))
            for value in self.along[size]
            for arm in self.arms
        ]


def _images(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    world = WORLDS[size]
    return replace(world, train=int(value)), world, BUDGETS[size]


def _balance(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    world = WORLDS[size]
    return replace(world, positive=value), world, BUDGETS[size]


def _size_bias(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    small, *others = _RADII[size]
    rest = tuple((radius, (1 - value) / len(others)) for radius in others)
    train = replace(WORLDS[size], target_radii=((small, value), *rest))
    return train, replace(WORLDS[size], target_radii=((small, 1.0),)), BUDGETS[size]


def _spurious(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    world = replace(WORLDS[size], spurious_radius=_LARGE[size])
    return replace(world, match=value), world, BUDGETS[size]


def _location(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    world = WORLDS[size]
    middle = world.canvas // 2
    reach = round(value * middle)
    place = (middle - reach, middle + reach)
    return replace(world, target_x=place, target_y=place), world, BUDGETS[size]


def _target_size(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    radius = int(value)
    world = replace(
        WORLDS[size], train=_FEWER[size][0], target_radii=((radius, 1.0),),
        spurious_radius=radius, background_radius=radius,
    )  # fmt: skip
    budget = BUDGETS[size]
    least = WORLDS[size].target_radii[0][0]
    tau = budget.tau if radius >= least else round(budget.tau * (radius / least) ** 2)
    return world, world, replace(budget, tau=tau)


def _unique(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    world = replace(WORLDS[size], train=_FEWER[size][1], background_unique=int(value))
    return world, world, BUDGETS[size]


def _annotation(size: str, value: float) -> tuple[Parameters, Parameters, Budget]:
    grid = GRIDS[size]
    edge = grid.canvas // grid.squares
    budget = replace(BUDGETS[size], tau=round(edge**2 / 2))
    return replace(grid, train=int(value)), grid, budget


_TINY = (12, 24)
SWEEPS: dict[str, Sweep] = {
    sweep.name: sweep
    for sweep in (
        Sweep(
            "images", "Number of training images", "training images",
            {"paper": (1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000),
             "cpu": (250, 500, 1_000, 2_000, 4_000, 8_000), "smoke": _TINY},
            _images, log=True,
        ),
        Sweep(
            "spurious", "Spurious correlation", "p_spur in training",
            {"paper": (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0),
             "cpu": (0.0, 0.5, 0.8, 0.95, 1.0), "smoke": (0.5, 1.0)},
            _spurious,
        ),
        Sweep(
            "annotation", "Annotation quantity", "training images",
            {"paper": (100, 250, 500, 1_000, 2_500, 10_000), "cpu": (50, 200, 800, 3_200),
             "smoke": _TINY},
            _annotation, log=True, arms=("classifier", "points", "segmentation"),
        ),
        Sweep(
            "balance", "Class balance", "p_pos in training",
            {"paper": (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0),
             "cpu": (0.02, 0.1, 0.5, 0.9), "smoke": (0.3, 0.7)},
            _balance,
        ),
        Sweep(
            "target-size", "Target size", "radius of all objects (pixels)",
            {"paper": (8, 16, 24, 32, 40), "cpu": (3, 5, 8, 11), "smoke": (3, 5)},
            _target_size,
        ),
        Sweep(
            "location", "Location bias", "reach of the target in training (1: anywhere)",
            {"paper": (0.0, 0.1, 0.25, 0.5, 0.75, 1.0), "cpu": (0.0, 0.3, 0.6, 1.0),
             "smoke": (0.0, 1.0)},
            _location,
        ),
        Sweep(
            "size-bias", "Size bias: test on small targets", "share of small targets in training",
            {"paper": (0.0, 0.001, 0.01, 0.03, 0.1, 1 / 3), "cpu": (0.0, 0.02, 0.1, 1 / 3),
             "smoke": (0.0, 0.5)},
            _size_bias,
        ),
        Sweep(
            "objects", "Kinds of background objects", "unique background objects",
            {"paper": (1, 2, 3, 5, 7, 10), "cpu": (1, 3, 6, 10), "smoke": (1, 2)},
            _unique,
        ),
    )
}  # fmt: skip
"""In the order in which they should be run: those with a claim of their own first."""


def sweep_of(name: str) -> Sweep:
    """Find a sweep by name.

    Raises:
        HinterlandError: there is none.
    """
    if name not in SWEEPS:
        raise HinterlandError(f"sweep {name!r}: expected one of {', '.join(SWEEPS)}, or all.")
    return SWEEPS[name]
