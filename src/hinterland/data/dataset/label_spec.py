"""Where the meaning of label values comes from: labels.yaml, dataset.json, or the masks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from hinterland.data.dataset.files import Layout
from hinterland.data.io.volume import VolumeError, read_label
from hinterland.labels import LabelError, LabelSpec, spec_from_dataset_json

_MOST_CLASSES = 64  # more values than this are grey levels, not classes


def find_spec(layout: Layout, labels: Path | str | LabelSpec | None) -> LabelSpec:
    """The label specification of a data set, from the first of these that is there:

    1. `labels`: a specification, or the path of a labels.yaml;
    2. labels.yaml in the data set's folder;
    3. dataset.json, every label a leaf;
    4. the integers in the masks: {0, v} is background and foreground (v is often 1 or 255);
       0..n is background, class1, ..., classn.

    Raises LabelError where it cannot be meant, or is not to be guessed.
    """
    if isinstance(labels, LabelSpec):
        return labels
    if labels is not None or (layout.root / "labels.yaml").exists():
        path = Path(labels) if labels is not None else layout.root / "labels.yaml"
        try:
            return LabelSpec.load(path)
        except OSError as error:
            raise LabelError(f"{path} cannot be read as labels.yaml: {error.strerror}.") from None
    if layout.dataset_json is not None:
        try:
            return spec_from_dataset_json(layout.dataset_json)
        except LabelError as error:
            raise LabelError(f"{layout.root / 'dataset.json'}: {error}") from None
    return _spec_of_values(layout.root, _values(layout))


def labels_file(layout: Layout, labels: Path | str | LabelSpec | None) -> Path | None:
    """The labels.yaml that `find_spec` reads, if it reads one."""
    if isinstance(labels, LabelSpec):
        return None
    path = Path(labels) if labels is not None else layout.root / "labels.yaml"
    return path if path.exists() else None


def _values(layout: Layout) -> Counter[int]:
    """Integers in the masks, with the number of masks that hold them. Unreadable masks are left
    to the integrity check."""
    found: Counter[int] = Counter()
    for case in layout.cases:
        if case.label is not None:
            try:
                found.update(np.unique(read_label(case.label).array).tolist())
            except VolumeError:
                continue
    return found


def _spec_of_values(root: Path, counts: Counter[int]) -> LabelSpec:
    values = sorted(counts)
    advice = (
        f"Write {root / 'labels.yaml'} (or pass one with --labels):\n"
        "tree: {background: {}, foreground: {}}\n"
        "schemes: {full: {0: background, 1: foreground}}"
    )
    if not values or values == [0]:
        raise LabelError(
            f"{root} has no labels.yaml and no dataset.json, and its masks hold "
            f"{'nothing but 0' if values else 'no value that can be read'}, so that the classes "
            f"cannot be known. {advice}"
        )
    if len(values) > _MOST_CLASSES:
        raise LabelError(
            f"the masks of {root} hold {len(values)} different values ({values[0]} to "
            f"{values[-1]}): these are grey levels, not classes. Threshold the masks (JPEG and "
            f"smooth edges make such values). {advice}"
        )
    if values[0] != 0 or (len(values) > 2 and values[-1] == 255):
        shown = ", ".join(map(str, values[:10]))
        raise LabelError(
            f"the masks of {root} hold the values {shown}; without labels.yaml expected 0 for the "
            f"background and 1, 2, ... for classes (or only 0 and 255). {advice}"
        )
    if len(values) == 2:
        names = {0: "background", values[1]: "foreground"}
    else:
        names = {v: f"class{v}" if v else "background" for v in values}
    return LabelSpec.from_dict(
        {
            "tree": {name: {} for name in names.values()},
            "target": [n for v, n in names.items() if v],
            "schemes": {"full": names},
        }
    )
