"""What a classifier says of images: probabilities, decisions, and the mask that explains each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.classification.model import ClassifierModel, ClassifierOutput
from hinterland.classification.operating_point import OperatingPoint
from hinterland.classification.record import ClassifierRun
from hinterland.data.io.volume import file_ending, label_ending, read_volume, write_label
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.types import Case, HinterlandError


def load_model(run: ClassifierRun) -> tuple[ClassifierModel, OperatingPoint]:
    """Load a finished classifier and its operating point."""
    point = OperatingPoint.read(run.path)
    return ClassifierModel(run.path, run.record, point.rules), point


def predict_images(
    run: ClassifierRun,
    cases: Sequence[Case],
    masks: Path | None = None,
    *,
    overwrite: bool = False,
    inspect: Callable[[Case, dict[int, np.ndarray]], None] | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Classify cases, one row per case.

    Columns: `case`, `group`, `image`, for each class `score: CLASS` (each against the rest, as the
    model gives it) and `probability: CLASS` (calibrated, summing to one), `class` (see `decide`),
    and `mask`.

    masks: folder for the masks of the classes that are decided for: 1 where the class's probability
    is at least t (0.5 unless the rule was fitted), in the geometry of the image. `mask` is its
    path, or empty: the image is negative, or the model has no mask that shows the class.
    inspect: called with each case and the masks of all classes that have one: class index -> bool
    (z, y, x) of the file.
    """
    model, point = load_model(run)
    classes = run.record.task.classes
    rows: list[dict[str, object]] = []
    for done, case in enumerate(cases, start=1):
        try:
            volume = read_volume(case.images)
            image, _, geometry = preprocess(volume, run.record.plan)
        except HinterlandError as error:
            raise HinterlandError(f"case {case.name}: {error}") from None
        output = model.predict(image)
        probabilities = point.probabilities(output.scores[None])[0]
        index = decide(output.scores, probabilities, point)
        file = ""
        wanted = list(output.masks) if inspect else [i for i in output.masks if i == index]
        cuts = {i: _mask(output, i, model, geometry) for i in wanted}
        if inspect:
            inspect(case, cuts)
        if masks is not None and index in cuts:
            path = masks / f"{case.name}{label_ending(file_ending(case.images[0]))}"
            masks.mkdir(parents=True, exist_ok=True)
            write_label(path, cuts[index].astype(np.uint8), like=volume, overwrite=overwrite)
            file = str(path)
        row: dict[str, object] = {"case": case.name, "group": case.group}
        rows.append(
            row
            | {"image": str(case.images[0])}
            | {f"score: {c}": float(s) for c, s in zip(classes, output.scores, strict=True)}
            | {f"probability: {c}": float(p) for c, p in zip(classes, probabilities, strict=True)}
            | {"class": classes[index], "mask": file}
        )
        if tick:
            tick(done, len(cases))
    return pd.DataFrame(rows)


def _mask(
    output: ClassifierOutput, index: int, model: ClassifierModel, geometry: Geometry
) -> np.ndarray:
    """Where a class's probability reaches its threshold, bool (z, y, x) of the file."""
    map_ = output.masks[index].astype(np.float32)
    return geometry.undo(np.stack([1 - map_, map_]))[1] >= model.threshold(index)


def decide(scores: np.ndarray, probabilities: np.ndarray, point: OperatingPoint) -> int:
    """Decide for a class.

    Of two, the second where its score reaches the Youden threshold; of several, the most probable.
    """
    if len(scores) == 2:
        return int(scores[1] >= point.thresholds[1].value)
    return int(np.argmax(probabilities))
