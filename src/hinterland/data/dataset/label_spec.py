"""Where the meaning of label values comes from: labels.yaml, dataset.json, or the masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hinterland.data.dataset.files import Layout, is_listed
from hinterland.data.io.formats import format_of
from hinterland.data.io.volume import VolumeError, read_label
from hinterland.labels import LabelError, LabelSpec, spec_from_dataset_json

_MOST_SUGGESTED = 12  # values in a labels.yaml that is proposed
_MOST_CLASSES = 64  # more values than this are grey levels, not classes


def find_spec(layout: Layout, labels: Path | str | LabelSpec | None) -> LabelSpec:
    """Find the label specification of a data set.

    The first of these that is there counts:

    1. `labels`: a specification, or the path of a labels.yaml;
    2. labels.yaml in the data set's folder;
    3. dataset.json, every label a leaf;
    4. the integers in the masks: {0, v} is background and foreground (v is often 1 or 255);
       0..n is background, class1, ..., classn.

    Args:
        layout: the files of the data set.
        labels: the specification or its file, where the user names one.

    Returns:
        The specification.

    Raises:
        LabelError: it cannot be read, or the masks leave open what their integers mean.
    """
    if isinstance(labels, LabelSpec):
        return labels
    if labels is not None or is_listed(layout.root / "labels.yaml"):
        path = Path(labels) if labels is not None else layout.root / "labels.yaml"
        try:
            return LabelSpec.load(path)
        except OSError as error:
            raise LabelError(
                f"{path} cannot be read as labels.yaml: {error.strerror}."
                " Give a file that can be read."
            ) from None
    if layout.dataset_json is not None:
        try:
            return spec_from_dataset_json(layout.dataset_json)
        except LabelError as error:
            raise LabelError(f"{layout.root / 'dataset.json'}: {error}") from None
    if not any(case.label for case in layout.cases):
        raise LabelError(
            f"{layout.root} has no labels.yaml and no dataset.json, and no mask belongs to an "
            "image, so that the classes cannot be known. Name the masks as their images. "
            f"Or, to learn without masks: {_suggestion(layout.root, [0, 1])}"
        )
    return _spec_of_values(layout.root, _read_masks(layout))


def labels_file(layout: Layout, labels: Path | str | LabelSpec | None) -> Path | None:
    """Return the labels.yaml that `find_spec` reads, if it reads one."""
    if isinstance(labels, LabelSpec):
        return None
    path = Path(labels) if labels is not None else layout.root / "labels.yaml"
    return path if is_listed(path) else None


@dataclass
class _Masks:
    """The integers that the masks of a data set hold.

    Counted are the masks with each integer. `inside` has the integers that somewhere fill an area
    of
    their own: a voxel whose neighbours in the plane are equal to it.
    """

    counts: Counter[int] = field(default_factory=Counter)
    voxels: Counter[int] = field(default_factory=Counter)
    inside: set[int] = field(default_factory=set)
    lossy: bool = False
    trouble: str = ""

    def add(self, path: Path) -> None:
        array = read_label(path).array[0]
        values, voxels = np.unique(array, return_counts=True)
        self.counts.update(values.tolist())
        self.voxels.update(dict(zip(values.tolist(), voxels.tolist(), strict=True)))
        middle = array[:, 1:-1, 1:-1]
        around = (
            array[:, :-2, 1:-1], array[:, 2:, 1:-1], array[:, 1:-1, :-2], array[:, 1:-1, 2:]
        )  # fmt: skip
        alike = np.logical_and.reduce([middle == other for other in around])
        self.inside.update(np.unique(middle[alike]).tolist())
        self.lossy |= format_of(path).lossy

    @property
    def values(self) -> list[int]:
        return sorted(self.counts)

    @property
    def grey(self) -> bool:
        """Whether the integers look like grey levels: too many, of a JPEG, or along edges only."""
        edges = len(self.values) - len(self.inside)
        many = len(self.values) > _MOST_CLASSES
        return many or (len(self.values) > 2 and (self.lossy or edges > len(self.values) / 2))

    @property
    def threshold(self) -> int:
        """A value between the two that most voxels have."""
        low, high = sorted(v for v, _ in self.voxels.most_common(2))
        return (low + high + 1) // 2


def _read_masks(layout: Layout) -> _Masks:
    """Look into all masks; unreadable ones are left to the integrity check."""
    found = _Masks()
    for case in layout.cases:
        if case.label is not None:
            try:
                found.add(case.label)
            except VolumeError as error:
                found.trouble = found.trouble or f" (the first: {str(error).rstrip('.')})"
    return found


def find_values(layout: Layout) -> list[int]:
    """List the integers in the masks of a data set, in rising order.

    Args:
        layout: the files of the data set.

    Returns:
        The integers, two at least.

    Raises:
        LabelError: there is no mask, or its integers are grey levels, not classes.
    """
    masks = _read_masks(layout)
    _refuse_grey(layout.root, masks)
    return masks.values


def _spec_of_values(root: Path, masks: _Masks) -> LabelSpec:
    values = masks.values
    _refuse_grey(root, masks)
    if values[0] != 0 or (len(values) > 2 and values[-1] == 255):
        shown = ", ".join(map(str, values[:10]))
        raise LabelError(
            f"the masks of {root} hold the values {shown}; without labels.yaml expected 0 for the "
            "background and 1, 2, ... for classes (or only 0 and 255). " + _suggestion(root, values)
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


def _refuse_grey(root: Path, masks: _Masks) -> None:
    """Refuse masks without classes: empty ones, and grey levels."""
    values = masks.values
    if not values or values == [0]:
        raise LabelError(
            f"{root} has no labels.yaml and no dataset.json, and "
            + (
                "its masks hold nothing but 0"
                if values
                else f"none of its masks can be read{masks.trouble}"
            )
            + f", so that the classes cannot be known. {_suggestion(root, [0, 1])}"
        )
    if masks.grey:
        few = len(values) <= _MOST_SUGGESTED
        raise LabelError(
            f"the masks of {root} hold {len(values)} different values ({values[0]} to "
            f"{values[-1]}): these are grey levels, not classes, as JPEG and smooth edges make "
            f"them. Threshold the masks (here at {masks.threshold}) and write PNG files."
            + (f" Or, if they are classes: {_suggestion(root, values)}" if few else "")
        )


def _suggestion(root: Path, values: Sequence[int]) -> str:
    """Write a labels.yaml that fits the masks, for the user to begin with.

    255 beside other classes is taken for "ignore".
    """
    classes = [v for v in values if v >= 0 and not (v == 255 and len(values) > 2)]
    names = {v: f"class{v}" for v in classes}
    names[min(classes, default=0)] = "background"
    if len(names) == 1:
        names[min(classes, default=0) + 1] = "foreground"
    elif len(names) == 2:
        names[max(names)] = "foreground"
    tree = ", ".join(f"{name}: {{}}" for name in names.values())
    meaning = names | ({255: "any"} if 255 in values and 255 not in names else {})
    scheme = ", ".join(f"{value}: {name}" for value, name in sorted(meaning.items()))
    return (
        f"Write {root / 'labels.yaml'} (or pass one with --labels):\n"
        f"tree: {{{tree}}}\nschemes: {{full: {{{scheme}}}}}"
    )
