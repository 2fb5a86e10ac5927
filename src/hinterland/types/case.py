"""A case is one scan and what is known about it; a data set is its cases and their label tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hinterland.labels import LabelSpec


@dataclass(frozen=True)
class Case:
    """One scan.

    `images` holds one file per channel, or a single file with all channels (RGB PNG, 4D TIFF).
    `scheme` is the annotation scheme its label file is written in; `"none"` means unlabelled, and
    then `label` is None, as it is in a scheme `"none@..."`, which says one thing of every voxel
    (what an image label rules out). `group` is the patient: groups are never divided by a split.
    `image_labels` maps a node name to 0/1, or a free class column to its value.
    `split` is the split the data set's author gave it: train, val, test, or None.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    scheme: str = "full"
    group: str = ""
    domain: str = ""
    image_labels: Mapping[str, int | str] = field(default_factory=dict)
    split: str | None = None

    @property
    def labelled(self) -> bool:
        """Whether any voxel of this case carries an annotation."""
        if self.label is None:
            return self.scheme.startswith("none@")
        return self.scheme != "none"

    def with_scheme(self, scheme: str) -> Case:
        """Read the scan under another scheme (`"none"` and `"none@..."` hide its label file)."""
        return replace(self, scheme=scheme, label=None if unmasked(scheme) else self.label)


def unmasked(scheme: str) -> bool:
    """Tell whether cases of this scheme have no label file."""
    return scheme.partition("@")[0] == "none"


@dataclass(frozen=True)
class Dataset:
    """Cases in the order of the data set's splits (training order first), and what labels mean.

    `channels` are the channel names in order. `spacing_known` is False when labels.yaml says
    `spacing: unknown`; distances are then in voxels.
    """

    root: Path
    cases: tuple[Case, ...]
    labels: LabelSpec
    channels: tuple[str, ...]
    name: str = ""
    spacing_known: bool = True

    def of(self, split: str) -> tuple[Case, ...]:
        """List the cases the author put into `split` ("train", "val" or "test")."""
        return tuple(c for c in self.cases if c.split == split)

    @property
    def train(self) -> tuple[Case, ...]:
        """Cases of the training split."""
        return self.of("train")

    @property
    def val(self) -> tuple[Case, ...]:
        """Cases of the validation split."""
        return self.of("val")

    @property
    def test(self) -> tuple[Case, ...]:
        """Cases of the test split."""
        return self.of("test")

    def __getitem__(self, name: str) -> Case:
        for case in self.cases:
            if case.name == name:
                return case
        raise KeyError(name)

    def __len__(self) -> int:
        return len(self.cases)

    def replace(self, **changes: object) -> Dataset:
        """Copy the data set with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
