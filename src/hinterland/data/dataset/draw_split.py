"""Draw who is in train, val and test, once and for all runs: a splits.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hinterland.data.dataset.splits import Split, answered, draw_groups, groups_of
from hinterland.types import Case, Dataset, HinterlandError


def draw_split(dataset: Dataset, shares: Sequence[float], seed: int = 0, *, pool: bool = False
               ) -> Split:  # fmt: skip
    """Draw train, val and test by group (patient), a share of each stratum of image labels.

    Groups that nothing is known of are learnt from.

    Args:
        dataset: the cases.
        shares: of train, val and test, in any unit; of the groups that have a label.
        seed: of the draw.
        pool: draw from the author's test cases, too.

    Returns:
        The split; cases keep their order.

    Raises:
        HinterlandError: no three shares above zero, author's test cases without `pool`, or too few
            groups.
    """
    if len(shares) != 3 or min(shares) <= 0:
        raise HinterlandError(
            f"shares {'-'.join(f'{s:g}' for s in shares)}: expected three above 0, of train, val "
            "and test, such as 70-10-20."
        )
    if dataset.test and not pool:
        raise HinterlandError(
            f"{dataset.root} has {len(dataset.test)} test cases already, and a new draw would "
            "train on some of them. Use --fold with what there is, or give --pool to draw from all "
            "cases."
        )
    groups = groups_of(dataset.cases)
    known = {g: cases for g, cases in groups.items() if any(map(answered, cases))}
    sizes = {
        part: max(1, round(len(known) * share / sum(shares)))
        for part, share in zip(("val", "test"), shares[1:], strict=True)
    }
    if len(known) < sum(sizes.values()) + 1:
        raise HinterlandError(
            f"{dataset.root} has {len(known)} labelled groups (patients), too few for train, val "
            "and test. Take cross-validation (--fold 0), or --fold all."
        )
    test = draw_groups(known, sizes["test"], seed)
    left = {g: cases for g, cases in known.items() if g not in test}
    val = draw_groups(left, sizes["val"], seed + 1)
    held = {**dict.fromkeys(test, "test"), **dict.fromkeys(val, "val")}

    def of(part: str) -> tuple[Case, ...]:
        return tuple(c for c in dataset.cases if held.get(c.group or c.name, "train") == part)

    return Split(*(of(part) for part in ("train", "val", "test")))


def split_text(split: Split, drawn: Mapping[str, Any]) -> str:
    """Write a split as the text of a splits.json, with the patients of all cases.

    Args:
        split: who is where.
        drawn: how it was drawn, for readers.
    """
    parts = {name: getattr(split, name) for name in ("train", "val", "test")}
    content = {
        **drawn,
        **{name: [c.name for c in cases] for name, cases in parts.items()},
        "cases": {
            c.name: {"patient": c.group}
            for cases in parts.values()
            for c in cases
            if c.group not in ("", c.name)
        },
    }
    return json.dumps(content, indent=1) + "\n"
