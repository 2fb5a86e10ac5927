"""Reading a case for the 3D viewer: its image, its reference by leaf, predictions by group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hinterland.data.dataset.decoded import decoded_at
from hinterland.data.io.volume import read_volume
from hinterland.evaluation.grid import read_label_on
from hinterland.evaluation.masks import encode
from hinterland.evaluation.pairing import label_files, prediction_values
from hinterland.labels import Coarsening
from hinterland.report.viewer.scene import CaseVolumes
from hinterland.types import Case, Dataset, HinterlandError


def case_volumes(
    dataset: Dataset, case: Case, at: Coarsening, predictions: Mapping[str, Path]
) -> CaseVolumes:
    """Read a case at full size.

    Args:
        dataset: what the case belongs to.
        case: the case; without a label file it has no reference.
        at: the question that predictions are shown at.
        predictions: method -> folder of label files, or of its run's `predictions`.

    Returns:
        The volumes.

    Raises:
        HinterlandError: a file is missing or unreadable, or lies on another grid.
    """
    spec, image = dataset.labels, case.images[0]
    reference, hidden = None, frozenset[int]()
    if case.label is not None:
        values = spec.scheme(case.scheme).label_values
        labels = read_label_on(case.label, image, case.name, "the reference", "the image")
        reference = encode(labels, values, spec.tree.leaves, str(case.label))
        hidden = values.get(0, hidden)
    found = {}
    for method, top in predictions.items():
        folder = decoded_at(top, at)
        path = label_files(folder, "predictions").get(case.name)
        if path is None:
            raise HinterlandError(f"{folder} has no prediction for {case.name}. Predict it again.")
        labels = read_label_on(path, image, case.name, "the prediction", "the image")
        found[method] = encode(labels, prediction_values(folder, spec), at, str(path)).codes
    return CaseVolumes(
        case.name, read_volume(case.images), at, reference, found, hidden,
        physical=dataset.spacing_known,
    )  # fmt: skip
