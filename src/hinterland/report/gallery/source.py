"""Where the gallery's images, references and predictions come from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.data.dataset.decoded import decoded_at
from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.formats import is_flat
from hinterland.data.io.volume import Volume, read_volume
from hinterland.evaluation.grid import read_label_on
from hinterland.evaluation.masks import ValueMap, encode
from hinterland.evaluation.pairing import label_files, prediction_values
from hinterland.labels import Coarsening, LabelError, LabelTree
from hinterland.report.confusion import (
    confusion_matrices,
    subclass_confusion,
    superclasses,
)
from hinterland.report.false_positives import false_positives_by_structure
from hinterland.report.gallery.gallery import REFERENCE
from hinterland.report.lesion_sizes import lesion_table
from hinterland.report.runs import Arm, Run, cells_of
from hinterland.report.viewer.reading import case_volumes
from hinterland.report.viewer.scene import CaseVolumes
from hinterland.training.runs.record import RunRecord
from hinterland.types import Case, Dataset, HinterlandError


class GallerySource:
    """Reads cases of a comparison for display.

    `trouble` is a sentence on why there are no pictures, or empty. Needs, of every arm, runs with a
    config.yaml whose data set is still where it was, and their predictions.
    """

    def __init__(self, arms: Sequence[Arm], question: str) -> None:
        self._arms = arms
        self._question = question
        try:
            self.trouble = self._missing()
            if not self.trouble:
                _ = self._dataset, self._at
        except HinterlandError as error:
            self.trouble = f"No pictures: {error}"

    def _missing(self) -> str:
        for arm in self._arms:
            for run in arm.runs:
                if not run.path.is_dir():
                    return f"No pictures: {arm.name} came as a bare metric table."
                if run.record is None:
                    return f"No pictures: {run.path} has no config.yaml that names its data set."
                if not (run.path / "predictions").is_dir():
                    return f"No pictures: {run.path} has no folder `predictions`."
        return ""

    @cached_property
    def _run(self) -> Run:
        return self._arms[0].runs[0]

    @cached_property
    def _dataset(self) -> Dataset:
        record = _record(self._run)
        return read_dataset(Path(record.dataset["path"]), record.spec)

    @cached_property
    def _at(self) -> Coarsening:
        spec = self._dataset.labels
        if self._question in spec.questions or not self._question:
            return spec.questions.get(self._question, spec.target)
        try:
            return spec.question(self._question)
        except LabelError:
            return spec.tree.coarsen(*[n.strip() for n in self._question.split("|")][1:])

    def view(
        self, case: str, group: str
    ) -> tuple[np.ndarray, dict[str, np.ndarray], tuple[float, float, float]]:
        """Read image (z, y, x[, 3]), masks of one class by layer, spacing (z, y, x), for display.

        Volumes are turned as radiologists look at them (see `_Display`), their first channel is
        shown; 2D images stay as they are.

        Raises:
            HinterlandError: the case has no reference, or a method has no prediction of it.
        """
        known = self._case(case)
        volume = read_volume(known.images)
        spec = self._dataset.labels
        if known.label is None:
            raise HinterlandError(f"{case} has no reference label to show. Add its label file.")
        scheme = spec.scheme(known.scheme)
        image = known.images[0]

        def mask(path: Path, meaning: ValueMap, what: str) -> np.ndarray:
            array = read_label_on(path, image, case, what, "the image")
            return self._mask(array, meaning, group, str(path))

        masks = {REFERENCE: mask(known.label, scheme.label_values, "the reference")}
        for arm in self._arms:
            folder = decoded_at(self._predictions(arm, case), self._at)
            path = label_files(folder, "predictions").get(case)
            if path is None:
                raise HinterlandError(f"{folder} has no prediction for {case}. Predict it again.")
            masks[arm.name] = mask(path, prediction_values(folder, spec), "the prediction")
        if is_flat(image):
            return channels_last(volume.array), masks, (1.0, 1.0, 1.0)
        turn = _Display(volume)
        return turn(volume.array[0]), {n: turn(m) for n, m in masks.items()}, turn.spacing

    def labels(
        self, name: str, place: int
    ) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, ValueMap]], tuple[float, float]]:
        """Read one slice of a case with all the labels of the reference and of each method.

        Args:
            name: of the case.
            place: which slice, from 0, in the order of `view`.

        Returns:
            The image (y, x[, 3]); layer -> integers (y, x) and the leaves that each may be, of what
            a method tells apart and not of the question; height and width of a pixel.

        Raises:
            HinterlandError: as `view`.
        """
        case, spec = self._case(name), self._dataset.labels
        if case.label is None:
            raise HinterlandError(f"{name} has no reference label to show. Add its label file.")
        files = {REFERENCE: (case.label, spec.scheme(case.scheme).label_values)}
        for arm in self._arms:
            folder = self._predictions(arm, name)
            path = label_files(folder, "predictions").get(name)
            if path is None:
                raise HinterlandError(f"{folder} has no prediction for {name}. Predict it again.")
            files[arm.name] = path, prediction_values(folder, spec)
        image, volume = case.images[0], read_volume(case.images)
        read = {
            layer: (read_label_on(path, image, name, "the labels", "the image"), meaning)
            for layer, (path, meaning) in files.items()
        }
        if is_flat(image):
            flat = {layer: (array[place], meaning) for layer, (array, meaning) in read.items()}
            return channels_last(volume.array)[place], flat, (1.0, 1.0)
        turn = _Display(volume)
        turned = {layer: (turn(array)[place], meaning) for layer, (array, meaning) in read.items()}
        return turn(volume.array[0])[place], turned, turn.spacing[1:]

    def volumes(self, name: str) -> CaseVolumes | None:
        """Read a whole case for the 3D viewer, all predictions with it; None for a 2D picture.

        Raises:
            HinterlandError: as `view`.
        """
        case = self._case(name)
        if is_flat(case.images[0]):
            return None
        folders = {arm.name: self._predictions(arm, name) for arm in self._arms}
        return case_volumes(self._dataset, case, self._at, folders)

    def _predictions(self, arm: Arm, case: str) -> Path:
        run = next(r for r in arm.runs if case in set(r.table["case"]))
        return run.path / "predictions"

    def false_positives(self) -> dict[str, pd.DataFrame]:
        """Tabulate by class mean false-positive volumes: a row a structure, a column a method.

        In mL, or in voxels where the spacing is unknown. Classes whose references tell fewer than
        two structures apart, and classes without a false positive, are left out.
        """
        column = "ml" if self._dataset.spacing_known else "voxels"
        parts = []
        for arm in self._arms:
            for run in arm.runs:
                cases = [self._case(c) for c in dict.fromkeys(run.table["case"])]
                spec, folder = self._dataset.labels, run.path / "predictions"
                rows = false_positives_by_structure(
                    folder, cases, spec=spec, at=self._at, cases=[c.name for c in cases]
                )
                parts.append(rows.assign(method=arm.name))
        table = pd.concat(parts, ignore_index=True)
        table = table[table["class"] != table["structure"]]
        found = {}
        for group, part in table.groupby("class", sort=False):
            # a case that several seeds predicted enters with its mean
            means = part.groupby(["structure", "case", "method"], sort=False)[column].mean()
            wide = means.reset_index().pivot_table(
                index="structure", columns="method", values=column, aggfunc="mean", fill_value=0.0
            )
            wide = wide.reindex(columns=[arm.name for arm in self._arms], fill_value=0.0)
            total = wide.sum(axis=1).sort_values(ascending=False)
            if len(total) > 1 and total.iloc[0] > 0:
                found[str(group)] = wide.loc[total.index[total > 0]]
        return found

    def confusion(self) -> dict[str, pd.DataFrame]:
        """Tabulate the shares of confused subclasses, one table a superclass.

        A row is a method and a reference subclass, a column the class that it was taken for.
        Methods that
        do not tell the leaves apart are left out.
        """
        spec = self._dataset.labels
        leaves = spec.tree.leaves
        arms = [a for a in self._arms if all(cells_of(_record(r)).refines(leaves) for r in a.runs)]
        parts: dict[str, dict[str, pd.DataFrame]] = {}
        for arm in arms if superclasses(leaves) else ():
            tables = [
                subclass_confusion(
                    run.path / "predictions",
                    [self._case(c) for c in dict.fromkeys(run.table["case"])],
                    spec=spec,
                )
                for run in arm.runs
            ]
            keys = ["case", "superclass", "reference", "predicted"]
            means = pd.concat(tables).groupby(keys, sort=False)["voxels"].mean()
            parts[arm.name] = confusion_matrices(means.reset_index())
        nodes = dict.fromkeys(node for matrices in parts.values() for node in matrices)
        return {
            node: pd.concat({name: m[node] for name, m in parts.items()}, names=["method"])
            for node in nodes
        }

    def lesions(self) -> dict[str, pd.DataFrame]:
        """List method -> the reference lesions of all its runs and which are found."""
        return {
            arm.name: pd.concat(
                [
                    lesion_table(
                        run.path / "predictions",
                        [self._case(c) for c in dict.fromkeys(run.table["case"])],
                        spec=self._dataset.labels,
                        at={self._question or "target": self._at},
                        cases=list(dict.fromkeys(run.table["case"])),
                    )
                    for run in arm.runs
                ],
                ignore_index=True,
            )
            for arm in self._arms
        }

    @property
    def tree(self) -> LabelTree:
        """The label tree of the data set."""
        return self._dataset.labels.tree

    @property
    def unit(self) -> str:
        """Unit of `false_positives`."""
        return "mL" if self._dataset.spacing_known else "voxels"

    def _case(self, name: str) -> Case:
        try:
            return self._dataset[name]
        except KeyError:
            raise HinterlandError(
                f"the data set {self._dataset.root} has no case {name!r} any more."
            ) from None

    def _mask(self, labels: np.ndarray, meaning: ValueMap, group: str, what: str) -> np.ndarray:
        coded = encode(labels, meaning, self._at, what)
        if group not in self._at.names:
            raise HinterlandError(
                f"the question ({self._at}) has no class {group!r}. Ask for one of its classes."
            )
        return coded.mask(self._at.names.index(group))


class _Display:
    """Turns (z, y, x) of a volume into slices of its sharpest plane, as radiologists hang them.

    Axial unless another axis has the thick slices; patient's right (or front) on the left, front
    (or head) on top.
    """

    def __init__(self, volume: Volume) -> None:
        from nibabel.orientations import io_orientation

        orientation = io_orientation(volume.affine)  # for voxel axes x, y, z: world axis, sign
        world = [int(axis) for axis in orientation[:, 0]]
        voxel = [world.index(axis) for axis in range(3)]  # the voxel axis along right, front, up
        by_world = [2 - v for v in voxel]  # the same in arrays, whose axes run z, y, x
        spacing = [float(volume.spacing[axis]) for axis in by_world]
        thick = max(range(3), key=spacing.__getitem__)
        others = sorted(spacing[:thick] + spacing[thick + 1 :])
        through = thick if spacing[thick] > 1.5 * others[-1] else 2
        rows, columns = [axis for axis in (2, 1, 0) if axis != through]
        self._order = tuple(by_world[axis] for axis in (through, rows, columns))
        signs = [orientation[v, 1] for v in voxel]
        # slices count upwards, backwards or leftwards; rows run down or back, columns leftwards
        # or back: everything but "up" runs against the world's axes
        self._flips = tuple(
            place
            for place, axis in enumerate((through, rows, columns))
            if (signs[axis] > 0) != (place == 0 and axis == 2)
        )
        self.spacing = (spacing[through], spacing[rows], spacing[columns])

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return np.flip(array.transpose(self._order), self._flips)


def channels_last(array: np.ndarray) -> np.ndarray:
    """Return (z, y, x, 3) for a colour picture, else the first channel (z, y, x)."""
    if len(array) == 3 and array.dtype == np.uint8:
        return np.moveaxis(array, 0, -1)
    return array[0]


def _record(run: Run) -> RunRecord:
    """Return the record of a run; those without one never come here (see `trouble`)."""
    if run.record is None:
        raise HinterlandError(f"{run.path} has no config.yaml that names its data set.")
    return run.record
