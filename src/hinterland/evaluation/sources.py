"""Where the meaning of reference labels is found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hinterland.data.io.volume import read_label
from hinterland.evaluation.pairing import Pair
from hinterland.labels import LabelSpec, LabelTree, Scheme, spec_from_dataset_json
from hinterland.types import HinterlandError


def find_spec(
    spec: LabelSpec | Path | str | None, pairs: Sequence[Pair], predictions: Path
) -> LabelSpec:
    """Return the specification given, else the nearest on disk, else every integer a class.

    Looked for, in this order: labels.yaml, then dataset.json, in the folder of the references, its
    parent, the folder of the predictions.

    Args:
        spec: the labels, or their file; None looks for it.
        pairs: what is evaluated.
        predictions: their folder.

    Returns:
        The labels.

    Raises:
        HinterlandError: unreadable files.
    """
    if isinstance(spec, LabelSpec):
        return spec
    if spec is not None:
        return LabelSpec.load(spec)
    home = pairs[0].reference.parent
    places = (home, home.parent, predictions)
    for place in places:
        if (place / "labels.yaml").is_file():
            return LabelSpec.load(place / "labels.yaml")
    for place in places:
        if (place / "dataset.json").is_file():
            return _from_dataset_json(place / "dataset.json")
    return spec_from_integers(np.unique(np.concatenate([_integers(p) for p in pairs])).tolist())


def spec_from_integers(values: Sequence[int]) -> LabelSpec:
    """Make every integer a leaf of its own: 0 `background`, n `label n`.

    Raises:
        HinterlandError: there is no integer but 0.
    """
    names = {int(v): f"label {v}" for v in sorted({0, *values}) if v != 0}
    if not names:
        raise HinterlandError(
            "the references hold nothing but 0, and no labels.yaml or dataset.json says which "
            "classes there are. Say so in a labels.yaml."
        )
    names = {0: "background", **names}
    tree = LabelTree({name: {} for name in names.values()}, remainder="background")
    values_of = tuple((v, tree.leaves_under(n)) for v, n in names.items())
    return LabelSpec(tree, {"full": Scheme("full", tree, values_of)}, {"target": tree.leaves})


def _integers(pair: Pair) -> np.ndarray:
    return np.unique(read_label(pair.reference).array).astype(np.int64)


def _from_dataset_json(path: Path) -> LabelSpec:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise HinterlandError(f"{path} is not readable JSON: {error}. Correct it there.") from None
    try:
        return spec_from_dataset_json(content)
    except HinterlandError as error:
        raise HinterlandError(f"{path}: {error}") from None
