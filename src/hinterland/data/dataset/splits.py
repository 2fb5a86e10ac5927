"""Who learns, who selects, who tests. Groups (patients) are never divided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hinterland.data.dataset.splits_file import read_folds
from hinterland.types import Case, Dataset, HinterlandError

VALIDATION_SHARE = 0.2
MOST_VALUES = 10
"""A column of image labels with more values is no class."""


@dataclass(frozen=True)
class Split:
    """Cases to learn from, to select by (may be empty for `all`) and to test on."""

    train: tuple[Case, ...]
    val: tuple[Case, ...]
    test: tuple[Case, ...]


def groups_of(cases: Iterable[Case]) -> dict[str, tuple[Case, ...]]:
    """Return cases by group, groups in the order of their first case."""
    groups: dict[str, tuple[Case, ...]] = {}
    for case in cases:
        key = case.group or case.name
        groups[key] = (*groups.get(key, ()), case)
    return groups


def fold(
    dataset: Dataset, which: int | str = 0, seed: int = 0, *,
    k: int = 5, keep: Collection[str] = (),
) -> Split:  # fmt: skip
    """Return one split of a data set. The test cases are always the author's.

    An integer is a fold of k over the author's train and val cases together: of nnU-Net's
    splits_final.json where the data set has one, else of `k_fold`. `all`: everything but test is
    learnt from and nothing validated.

    Args:
        dataset: the cases.
        which: a fold's number, "fixed" (see `fixed`) or "all".
        seed: of the draws.
        k: how many folds there are.
        keep: names of the cases that a drawn val leaves in train, for "fixed".

    Returns:
        The split.

    Raises:
        HinterlandError: no such fold, too few groups.
    """
    if which == "fixed":
        return fixed(dataset, seed, keep=keep)
    pool = tuple(c for c in dataset.cases if c.split in ("train", "val"))
    if which == "all":
        return Split(pool, (), dataset.test)
    if not str(which).isdecimal():
        raise HinterlandError(f"there is no split {which!r}; expected a fold number, fixed or all.")
    number = int(which)
    parts = _author_folds(dataset, pool) or k_fold(pool, k, seed)
    if number >= len(parts):
        raise HinterlandError(
            f"there is no fold {number}: this data set has the folds 0 to {len(parts) - 1}."
        )
    train, val = parts[number]
    return Split(train, val, dataset.test)


_ONE = (
    "Take --fold all (it learns from every case, and nothing is held out), or list further cases "
    "as val in splits.json and take --fold fixed."
)
_FEW = (
    "Take --fold fixed (it holds a patient out, or the val cases that splits.json lists), or "
    "--fold all (it learns from every case)."
)


def k_fold(
    cases: Sequence[Case], k: int = 5, seed: int = 0
) -> list[tuple[tuple[Case, ...], tuple[Case, ...]]]:
    """Return k pairs (train, val). Every labelled case is validated in exactly one of them.

    Labelled groups (with a label file or an image label) are shuffled by `seed` and dealt, the
    largest first, to the fold that holds the fewest cases, one stratum of image labels after the
    other. Cases keep their order. Unlabelled cases are trained on in every fold but that of their
    group.

    Args:
        cases: all that may be learnt from or validated.
        k: how many folds.
        seed: of the shuffling.

    Returns:
        (train, val) of each fold.

    Raises:
        HinterlandError: there are fewer labelled groups than folds.
    """
    if k < 2:
        raise HinterlandError(f"{k} folds came; cross-validation needs at least 2.")
    groups = groups_of(cases)
    sizes = {g: sum(map(answered, members)) for g, members in groups.items()}
    names = [g for g, size in sizes.items() if size]
    if len(names) < k:
        raise HinterlandError(
            f"{k} folds need {k} groups (patients) with labels, but there are {len(names)}. "
            + (_FEW if len(names) > 1 else _ONE)
        )
    order = np.random.default_rng(seed).permutation(len(names))
    stratum = strata({g: groups[g] for g in names})
    dealt = sorted((names[i] for i in order), key=lambda g: (-sizes[g], stratum[g]))
    folds: list[set[str]] = [set() for _ in range(k)]
    for group in dealt:
        min(folds, key=lambda f: sum(sizes[g] for g in f)).add(group)
    return [_without(cases, held) for held in folds]


def fixed(dataset: Dataset, seed: int = 0, *, keep: Collection[str] = ()) -> Split:
    """Return train, val and test as the author gave them.

    A missing val is drawn from train: about a fifth of the groups with a label file or an image
    label, at least one, at random by `seed`, never the first ones, and a fifth of each stratum of
    image labels.

    Args:
        dataset: the cases.
        seed: of the draw.
        keep: names of the cases that stay in train: the few labelled ones of a semi-supervised run.

    Returns:
        The split.

    Raises:
        HinterlandError: no group would be left.
    """
    train, val = dataset.train, dataset.val
    if val:
        return Split(train, val, dataset.test)
    groups = groups_of(train)
    free = [
        g
        for g, members in groups.items()
        if any(map(answered, members)) and not any(c.name in keep for c in members)
    ]
    spare = free if keep else free[1:]  # somebody labelled must stay in train
    if not spare:
        raise HinterlandError(
            "there is no val split, and train has too few labelled groups (patients) to draw one: "
            f"{len(free)} free. {_ONE}"
        )
    count = min(max(1, round(VALIDATION_SHARE * len(free))), len(spare))
    drawn = draw_groups({g: groups[g] for g in free}, count, seed)
    masked = [g for g, members in groups.items() if any(c.labelled for c in members)]
    if masked and not set(masked) - drawn:  # somebody with a mask must stay in train
        drawn.remove(masked[0])
    return Split(*_without(train, drawn), dataset.test)


def answered(case: Case) -> bool:
    """Tell whether something is known of a case by which a model can be judged."""
    return case.labelled or bool(case.image_labels)


def strata(groups: Mapping[str, Sequence[Case]]) -> dict[str, tuple[str, ...]]:
    """Find groups that are alike: with or without a mask, and by their image labels.

    Columns of 2 to 10 values count, those with few values first, as long as there are five groups
    for each stratum. A group has the values of its first case.
    """
    first = {g: members[0] for g, members in groups.items()}
    values: dict[str, set[str]] = {}
    for case in first.values():
        for column, value in case.image_labels.items():
            values.setdefault(column, set()).add(str(value))
    found: dict[str, tuple[str, ...]] = {
        g: (str(any(c.labelled for c in members)),) for g, members in groups.items()
    }
    for column in sorted(values, key=lambda c: (len(values[c]), c)):
        finer = {g: (*key, str(first[g].image_labels.get(column))) for g, key in found.items()}
        if len(values[column]) <= MOST_VALUES and len(set(finer.values())) * 5 <= len(groups):
            found = finer
    return found


def draw_groups(groups: Mapping[str, Sequence[Case]], count: int, seed: int) -> set[str]:
    """Draw `count` groups at random, of each stratum (see `strata`) its share.

    Args:
        groups: name -> cases.
        count: how many are drawn.
        seed: of the draw.

    Returns:
        The names of the groups.
    """
    names, rng, stratum = list(groups), np.random.default_rng(seed), strata(groups)
    if len(set(stratum.values())) == 1:
        return {names[i] for i in rng.choice(len(names), size=count, replace=False)}
    mixed = sorted((names[i] for i in rng.permutation(len(names))), key=stratum.__getitem__)
    return {mixed[int((i + 0.5) * len(mixed) / count)] for i in range(count)}


def _without(
    cases: Iterable[Case], held: Collection[str]
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Return the cases outside the groups `held`, and those inside that have some annotation."""
    cases = tuple(cases)
    inside = [(c.group or c.name) in held for c in cases]
    train = tuple(c for c, held_out in zip(cases, inside, strict=True) if not held_out)
    val = tuple(c for c, held_out in zip(cases, inside, strict=True) if held_out and answered(c))
    return train, val


def _author_folds(
    dataset: Dataset, pool: Sequence[Case]
) -> list[tuple[tuple[Case, ...], tuple[Case, ...]]]:
    """Return the folds of splits_final.json, if the data set has one."""
    path = dataset.root / "splits_final.json"
    by_name = {c.name: c for c in pool}
    folds = []
    for number, (train, val) in enumerate(read_folds(path) or ()):
        unknown = [n for n in (*train, *val) if n not in by_name]
        if unknown:
            raise HinterlandError(
                f"{path}, fold {number}: {len(unknown)} case(s) are no training case of this data "
                f"set: {', '.join(unknown[:5])}. Correct the names or remove the file."
            )
        pair = tuple(by_name[n] for n in train), tuple(by_name[n] for n in val)
        divided = sorted(set(groups_of(pair[0])) & set(groups_of(pair[1])))
        if divided:
            raise HinterlandError(
                f"{path}, fold {number}: the group (patient) {divided[0]!r} is in train and in val "
                f"({len(divided)} such). Groups are never divided: correct or remove the file."
            )
        folds.append(pair)
    return folds
