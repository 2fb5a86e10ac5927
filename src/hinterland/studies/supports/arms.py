"""What each study of support structures trains: its arms, each a few settings of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hinterland.labels import LabelSpec
from hinterland.types import HinterlandError

BINARY = "binary"
SHARES = (10, 25, 50, 100)
NOISE = (0.9, 0.8, 0.7, 0.5)
TUNING = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Fine-tuning steps as shares of the longest, which is a quarter of the binary run's: paper 1's
50 to 250 epochs after 1000."""
TUNED = 0.25


@dataclass(frozen=True)
class Arm:
    """One run of a study: `hinterland train --method supervised` with these settings.

    Attributes:
        on: questions by text.
        curve: the line of the figure that it belongs to.
        x: its place on the line; None for a level of comparison.
        changes: fields of `RunRequest`, such as `fine` and `naive`.
        init_from: the arm whose run it starts from.
        steps: share of the study's steps.
        settings: of `TrainConfig`, over the study's.
        dims: None is the plan's own.
    """

    name: str
    on: tuple[str, ...] = ("target",)
    curve: str = ""
    x: float | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    init_from: str = ""
    steps: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    dims: Literal[2, 3] | None = None


def candidates(spec: LabelSpec) -> list[str]:
    """Return the leaves that can serve as supports: background of the target, but no remainder.

    Raises:
        HinterlandError: there is none.
    """
    target, tree = spec.target, spec.tree
    inside = sorted(target.groups[target.background])
    names = [tree.leaf_names[i] for i in inside]
    found = [n for n in names if n != tree.remainder and n not in tree.virtual]
    if not found:
        raise HinterlandError(
            f"the labels have no support structure: beside the target ({target}) there is only "
            f"{tree.remainder!r}. Add some: hinterland supports."
        )
    return found


def checked(spec: LabelSpec, supports: Sequence[str]) -> list[str]:
    """Return the supports asked for, or all candidates where none is.

    Raises:
        HinterlandError: one of them is not background of the target.
    """
    background = spec.target.groups[spec.target.background]
    for name in supports:
        if not spec.tree.leaves_under(name) <= background:
            raise HinterlandError(
                f"{name!r} is no support structure: it lies in the target ({spec.target}). The "
                f"candidates are {', '.join(candidates(spec))}."
            )
    return list(supports) or candidates(spec)


def with_supports(supports: Sequence[str]) -> tuple[str, ...]:
    """Return the coarsening of the target and these supports, as a question's text."""
    return ("/".join(["target", *supports]),)


def one_by_one(supports: Sequence[str]) -> list[Arm]:
    """Plan the binary run, each support alone, and all of them."""
    arms = [Arm(BINARY)]
    arms += [Arm(f"+ {s}", with_supports([s])) for s in supports]
    if len(supports) > 1:
        arms.append(Arm("all supports", with_supports(supports)))
    return arms


def cumulative(supports: Sequence[str]) -> list[Arm]:
    """Plan the binary run, then one support more each time, in this order (paper 1, figure 4)."""
    return [
        Arm(f"{n} supports" if n else BINARY, with_supports(supports[:n]), "supports added", n)
        for n in range(len(supports) + 1)
    ]


def partial(supports: Sequence[str], shares: Sequence[int] = SHARES) -> list[Arm]:
    """Plan supports in some percent of the cases only; the others are read naively or marginally.

    naive: there the supports' voxels are trained as the remainder (paper 1, figure 3 right);
    marginal: as "a support or the rest". At 100 % the two are the same run.
    """
    on = with_supports(supports)
    arms = [Arm(BINARY)]
    for share in sorted(shares):
        if share >= 100:
            arms.append(Arm("100 %", on, "naive and marginal", 100))
            continue
        for naive in (True, False):
            name = "naive" if naive else "marginal"
            changes = {"fine": f"{share}%@target", "naive": naive}
            arms.append(Arm(f"{name} {share} %", on, name, share, changes))
    return arms


def fine_tuning(supports: Sequence[str], shares: Sequence[float] = TUNING) -> list[Arm]:
    """Plan the binary run tuned with all supports, with the first alone, and with none.

    The last is the control, in which only training goes on.
    """
    kinds = {"all supports": list(supports), "no support": []}
    if len(supports) > 1:
        kinds = {**kinds, f"{supports[0]} alone": [supports[0]]}
    arms = [Arm(BINARY), Arm("all supports from scratch", with_supports(supports))]
    for share in shares:
        for kind, chosen in kinds.items():
            arms.append(
                Arm(
                    f"tuned {share:.0%}, {kind}", with_supports(chosen), kind, share,
                    init_from=BINARY, steps=TUNED * share,
                )
            )  # fmt: skip
    return arms


def virtual(supports: Sequence[str]) -> list[Arm]:
    """Plan the binary run, one empty class, as many as there are supports, and the supports."""
    counts = sorted({1, len(supports)})
    arms = [Arm(BINARY)]
    for n in counts:
        empty = [f"virtual{i}" for i in range(1, n + 1)]
        arms.append(Arm(f"{n} virtual", with_supports(empty), changes={"virtual": n}))
    return [*arms, Arm("all supports", with_supports(supports))]


def noisy(supports: Sequence[str], levels: Sequence[float] = NOISE) -> list[Arm]:
    """Plan supports bent until they have a chosen Dice with the given ones; 1 is as given."""
    on = with_supports(supports)
    arms = [Arm(BINARY), Arm("Dice 1", on, "noisy supports", 1.0)]
    return arms + [Arm(f"Dice {d:g}", on, "noisy supports", d, {"noise": d}) for d in levels]


def variations(
    supports: Sequence[str], axes: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[Arm]:
    """Plan the binary run and all supports under other settings: axis -> value's name -> settings.

    `dims` among the settings is the plan's; the others are those of `TrainConfig`.
    """
    arms = [Arm(BINARY), Arm("all supports", with_supports(supports))]
    for axis, values in axes.items():
        for value, settings in values.items():
            own = {k: v for k, v in settings.items() if k != "dims"}
            for name, on in ((BINARY, ("target",)), ("all supports", with_supports(supports))):
                arms.append(
                    Arm(f"{axis} {value}: {name}", on, settings=own, dims=settings.get("dims"))
                )
    return arms


def standard_axes(
    batch: int, patch: Sequence[int], dims: int, networks: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, Any]]:
    """Return the settings that paper 1's appendix G varies around a plan.

    Those are a doubled batch, a smaller patch, deep supervision off, other networks, and 2D where
    the plan is 3D.

    Args:
        batch: of the plan.
        patch: of the plan, in voxels.
        dims: of the plan.
        networks: name -> the patch that it takes; both of its arms have that patch.

    Returns:
        Axis -> name -> settings.
    """
    smaller = [max(16, n * 3 // 4 // 16 * 16) for n in patch]
    axes: dict[str, dict[str, Any]] = {
        "batch": {str(2 * batch): {"batch_size": 2 * batch}},
        "patch": {"x".join(map(str, smaller)): {"patch_size": smaller}},
        "deep supervision": {"off": {"deep_supervision": False}},
        "network": {
            name: {"network": name, **({} if list(own) == list(patch) else {"patch_size": own})}
            for name, own in networks.items()
        },
    }
    if dims == 3:
        axes["dims"] = {"2D": {"dims": 2}}
    return axes


STUDIES: dict[str, Callable[[Sequence[str]], list[Arm]]] = {
    "one-by-one": one_by_one,
    "cumulative": cumulative,
    "partial": partial,
    "fine-tuning": fine_tuning,
    "virtual": virtual,
    "noise": noisy,
}
"""Study -> its arms for the supports given; `variations` needs the plan, too."""
NAMES = (*STUDIES, "variations")
