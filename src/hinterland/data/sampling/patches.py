"""Training items: a patch of one case, cut, translated into rows and augmented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from hinterland.data.sampling.cropping import cut
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.data.sampling.places import Outline, Place, choose_place, drawn_corner
from hinterland.data.sampling.sampler import SampleKey, Stream, sample_generator
from hinterland.types import Batch, Case

if TYPE_CHECKING:
    from hinterland.data.sampling.augmentation import Augmentation
    from hinterland.labels import LabelSetTable, Scheme


class PreparedArrays(Protocol):
    """What a patch needs of a preprocessed case.

    image (C, z, y, x) float32; label (z, y, x) integers of the label file, -1 where unlabelled, or
    None; locations: label value -> (n, 3) voxels (z, y, x) that carry it.
    """

    @property
    def image(self) -> NDArray[np.float32]: ...
    @property
    def label(self) -> NDArray[np.int16] | None: ...
    @property
    def locations(self) -> Mapping[int, NDArray]: ...


class PreparedByName(Protocol):
    """Preprocessed cases by name: `Prepared`, or a dict of arrays."""

    def __getitem__(self, name: str, /) -> PreparedArrays: ...


@dataclass(frozen=True)
class Item:
    """One item of a batch; `hinterland.types.Batch` says what the fields mean.

    image (C, *spatial) float32, annotation (*spatial) int16, image_labels (nodes,) int8.
    """

    image: Tensor
    annotation: Tensor
    labelled: bool
    image_labels: Tensor
    covers: bool
    case: str
    group: str
    domain: str
    stream: str


class PatchDataset(TorchDataset[Item]):
    """Items by `SampleKey`; the same key gives the same item in any process.

    Args:
        cases: the cases that the streams name. A case whose `label` is None or whose scheme is
            `none`
            is unlabelled, whatever lies prepared for it; so is any case of a hidden stream.
        prepared: name -> preprocessed arrays, asked anew for each item so that memory maps are
            opened
            in the worker that reads them.
        table: the data set's table of leaf sets.
        schemes: the data set's schemes by name.
        streams: as given to the `StepSampler`.
        augmentation: what `augment(plan, level)` returned; it holds the patch size. With two axes,
            a
            slice is drawn from the volume (through foreground where the key says so).
        seed: the first of the four numbers that an item's randomness comes from.
        phase: the second of these numbers.
        foreground: scheme name -> label values to centre on (see `foreground_values`).
    """

    def __init__(
        self,
        cases: Iterable[Case],
        prepared: PreparedByName,
        table: LabelSetTable,
        schemes: Mapping[str, Scheme],
        streams: Sequence[Stream],
        augmentation: Augmentation,
        *,
        seed: int,
        phase: int = 0,
        foreground: Mapping[str, frozenset[int]],
    ) -> None:
        self.cases = {case.name: case for case in cases}
        self.prepared = prepared
        self.streams = tuple(streams)
        self.augmentation = augmentation
        self.seed, self.phase = seed, phase
        self.foreground = dict(foreground)
        self.nodes = table.tree.nodes
        self.says = torch.tensor([leaves != table.tree.all_leaves for leaves in table.sets])
        self.lookups = {name: LabelSetLookup(table, scheme) for name, scheme in schemes.items()}

    def __getitem__(self, key: SampleKey) -> Item:
        rng = sample_generator(self.seed, self.phase, key.step, key.slot)
        stream = self.streams[key.stream]
        case = self.draw_case(rng, stream)
        stored = self.prepared[case.name]
        place = self.place(rng, case, key, outline_of(stored))
        image, rows = self._cut(place, stored)
        pixels, annotation = self.augmentation(image, rows, rng)
        return Item(
            image=pixels,
            annotation=annotation,
            labelled=bool(self.says[self._rows_in(annotation)].any()),
            image_labels=image_label_row(case, self.nodes),
            covers=place.covers,
            case=case.name,
            group=case.group,
            domain=case.domain,
            stream=stream.name,
        )

    def draw_case(self, rng: np.random.Generator, stream: Stream) -> Case:
        """Draw a case of a stream."""
        return self.cases[stream.cases[int(rng.integers(len(stream.cases)))]]

    def place(
        self, rng: np.random.Generator, case: Case, key: SampleKey, outline: Outline
    ) -> Place:
        """Choose where in a case the item of a key lies.

        Args:
            rng: draws the place.
            case: where it lies.
            key: the item.
            outline: shape and foreground of the case.

        Returns:
            The place.
        """
        values = self.foreground.get(case.scheme, frozenset())
        return choose_place(
            rng,
            case,
            outline,
            self.augmentation.patch_size,
            hidden=self.streams[key.stream].hidden,
            foreground=values if key.foreground else None,
        )

    def blank(self, case: Case) -> int:
        """Return the row of the voxels of a case whose annotation is not seen."""
        lookup = self.lookups.get(case.scheme)
        return 0 if lookup is None else lookup.blank

    def _rows_in(self, annotation: Tensor) -> Tensor:
        return torch.bincount(annotation.flatten(), minlength=len(self.says)) > 0

    def _cut(
        self, place: Place, stored: PreparedArrays
    ) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Cut image and annotation, in the size that augmentation asks for."""
        image, label, case = stored.image, stored.label if place.shown else None, place.case
        if place.plane is not None:
            image = image[:, place.plane]
            label = None if label is None else label[place.plane]
        drawn = self.augmentation.draw_size
        corner = drawn_corner(place.corner, self.augmentation.patch_size, drawn)
        pixels = cut(image, corner, drawn, 0.0)
        lookup = self.lookups.get(case.scheme)
        if label is not None and lookup is not None:
            return pixels, lookup(cut(label, corner, drawn, -1), case.name)
        blank = np.int16(self.blank(case))
        return pixels, cut(np.broadcast_to(blank, image.shape[1:]), corner, drawn, 0)


def outline_of(stored: PreparedArrays) -> Outline:
    """Return the outline of a preprocessed case."""
    return Outline(stored.image.shape[1:], stored.label is not None, stored.locations)


def image_label_row(case: Case, nodes: Sequence[str]) -> Tensor:
    """Return (nodes,) int8: 1 present, 0 absent, -1 unknown, by the case's image labels.

    Free columns (names that are no node of the tree) are left to those who ask for them.
    """
    known = [case.image_labels.get(node, -1) for node in nodes]
    return torch.tensor([int(v) if str(v) in ("0", "1") else -1 for v in known], dtype=torch.int8)


def collate(items: Sequence[Item]) -> Batch:
    """Stack items in their order; the `collate_fn` of a DataLoader."""
    return Batch(
        image=torch.stack([i.image for i in items]),
        annotation=torch.stack([i.annotation for i in items]),
        labelled=torch.tensor([i.labelled for i in items]),
        image_labels=torch.stack([i.image_labels for i in items]),
        covers=torch.tensor([i.covers for i in items]),
        case=tuple(i.case for i in items),
        group=tuple(i.group for i in items),
        domain=tuple(i.domain for i in items),
        streams=tuple(i.stream for i in items),
    )
