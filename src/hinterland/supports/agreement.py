"""How good support labels are: their Dice with reference labels of the same cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hinterland.data.io.volume import read_label
from hinterland.evaluation.grid import read_label_on
from hinterland.evaluation.masks import encode
from hinterland.evaluation.metrics.metrics import dice
from hinterland.labels import LabelSpec
from hinterland.types import Case, Dataset, HinterlandError


def support_agreement(
    made: Dataset, reference: Dataset, structures: Sequence[str] = ()
) -> pd.DataFrame:
    """Measure the Dice of support labels in the cases that both data sets have labels of.

    Voxels count where both decide whether the structure is there: what an annotation leaves open is
    left out of either. Structures that the labels of a case leave open everywhere have no row.

    Args:
        made: the data set whose supports are judged.
        reference: the data set that has the true ones; nodes are matched by name.
        structures: which nodes; default, all that both trees have and that are background of the
            target of `made`.

    Returns:
        One row a case and structure: case, structure, dice (0 to 1; NaN where neither has it),
        voxels (of the support), reference_voxels, and decided, the share of the voxels that count.

    Raises:
        HinterlandError: no case or no structure in common, an unknown structure, or other grids.
    """
    known = [n for n in _backgrounds(made.labels) if n in reference.labels.tree]
    if unknown := [n for n in structures if n not in known]:
        raise HinterlandError(
            f"{unknown[0]!r} is not a structure of both {made.root} and {reference.root}; expected "
            f"one of {', '.join(known) or 'none'}. Name one of them, or leave the structures away."
        )
    chosen = list(structures) or known
    truth = {c.name: c for c in reference.cases if c.labelled}
    shared = [c for c in made.cases if c.labelled and c.name in truth]
    if not shared or not chosen:
        raise HinterlandError(
            f"{made.root} and {reference.root} have {len(shared)} labelled cases and "
            f"{len(chosen)} structures in common; expected some of either, with the same names."
        )
    rows = [
        {"case": case.name, "structure": node, **found}
        for case in shared
        for node, found in _case(case, made.labels, truth[case.name], reference.labels, chosen)
    ]
    columns = ["case", "structure", "dice", "voxels", "reference_voxels", "decided"]
    return pd.DataFrame(rows, columns=columns)


def _backgrounds(spec: LabelSpec) -> list[str]:
    """Return the nodes inside the background of the target, but for the background and the rest."""
    background = spec.target.groups[spec.target.background]
    inside = (n for n in spec.tree.nodes if spec.tree.leaves_under(n) < background)
    return [n for n in inside if n not in (spec.tree.remainder, *spec.tree.virtual)]


def _case(
    own: Case, own_spec: LabelSpec, true: Case, true_spec: LabelSpec, nodes: Sequence[str]
) -> list[tuple[str, dict[str, float]]]:
    """Compare the labels of one case, on the grid of the reference."""
    assert own.label is not None
    assert true.label is not None
    arrays = (
        read_label_on(own.label, true.label, own.name, "the support labels", "the reference"),
        read_label(true.label).array[0],
    )
    found = []
    for node in nodes:
        masks, decided = [], np.ones(arrays[0].shape, bool)
        for array, case, spec in zip(arrays, (own, true), (own_spec, true_spec), strict=True):
            at = spec.tree.coarsen(node)
            coded = encode(array, spec.scheme(case.scheme).label_values, at, case.name)
            group = next(i for i, g in enumerate(at.groups) if g == spec.tree.leaves_under(node))
            masks.append(coded.mask(group))
            if (undecided := coded.undecided(group)) is not None:
                decided &= ~undecided
        if not decided.any():
            continue
        support, reference = (mask & decided for mask in masks)
        empty = not support.any() and not reference.any()
        found.append(
            (node, {"dice": float("nan") if empty else dice(support, reference),
                    "voxels": int(support.sum()), "reference_voxels": int(reference.sum()),
                    "decided": float(decided.mean())})
        )  # fmt: skip
    return found
