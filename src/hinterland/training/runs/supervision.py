"""Who is trained on, and with which labels: the split, with `--labelled` and `--fine` applied."""

from __future__ import annotations

from typing import Literal

from hinterland.data.dataset.splits import fold as make_fold
from hinterland.data.dataset.subsets import (
    fine_subset,
    labelled_by,
    labelled_subset,
    select,
    with_absent,
)
from hinterland.labels import Scheme
from hinterland.types import Case, Dataset, HinterlandError

Splits = dict[str, tuple[Case, ...]]


def split_cases(
    dataset: Dataset,
    fold: int | Literal["fixed", "all"],
    seed: int,
    labelled: str | None = None,
    fine: str | None = None,
    naive: bool = False,
) -> tuple[Dataset, Splits]:
    """Split a data set into training, validation and test cases.

    Training cases whose image labels rule a class out are read under a scheme that knows it (see
    `data.image_schemes`). Validation and test cases keep the labels they have.

    Args:
        dataset: the cases.
        fold: a fold of cross-validation, "fixed" for the data set's own split, or "all".
        seed: of the draws.
        labelled: only these training cases keep their labels ("3", "3:cases", "25%" or a file); the
            cases that keep them are never drawn into a validation split. "3@image": the others keep
            their image labels.
        fine: of the cases labelled more finely than the children of the tree's root, only these
            keep
            their labels; the others are read as those children, or at the question behind an `@`
            ("4:cases@LV/RV/myocardium", see `LabelSpec.question`). "25%@target" is partial support
            supervision: a quarter of the cases have support labels.
        naive: the others' background is taken for the remainder class, as in paper 1, and not for
            "one
            of the classes below".

    Returns:
        The data set, its labels extended by coarse schemes if needed, and train / val / test.

    Raises:
        HinterlandError: nothing in the split is labelled as finely as `fine` asks.
    """
    few, kept = (labelled or "").removesuffix("@image"), (labelled or "").endswith("@image")
    pool = dataset.train if fold == "fixed" else ()
    finest, _, level = (fine or "").partition("@")
    coarse = _coarse_schemes(dataset, level, naive) if finest else {}
    keep = select(pool, few) if few and pool else frozenset()
    if finest and pool:
        keep |= select(labelled_by(pool, coarse), finest)
    split = make_fold(dataset, fold, seed, keep=keep)
    train = labelled_subset(split.train, few, image_labels=kept) if few else split.train
    if finest:
        if not labelled_by(train, coarse):
            raise HinterlandError(
                f"fine={fine!r}: no training case is labelled more finely than "
                f"{level or 'the children of the root'}. Leave --fine away, or name a coarser "
                "level behind an @."
            )
        used = [coarse[name] for name in sorted({c.scheme for c in train} & set(coarse))]
        dataset = dataset.replace(labels=dataset.labels.with_schemes(*used))
        train = fine_subset(train, finest, {name: s.name for name, s in coarse.items()})
    spec, train = with_absent(dataset.labels, train)
    dataset = dataset.replace(labels=spec)
    return dataset, {"train": train, "val": split.val, "test": split.test}


def _coarse_schemes(dataset: Dataset, level: str, naive: bool) -> dict[str, Scheme]:
    """Return scheme -> its coarse reading, of the schemes that say more than that."""
    spec, at = dataset.labels, dataset.labels.question(level) if level else None
    found = {name: spec.coarse_scheme(name, at, naive) for name in spec.schemes}
    return {name: s for name, s in found.items() if s.values != spec.scheme(name).values}
