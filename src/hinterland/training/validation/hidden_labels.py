"""How good a teacher's labels are, on training cases whose own are hidden from the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from hinterland.data.preprocessing.cache import Prepared
from hinterland.inference.volumes import Predictor
from hinterland.labels import LabelSpec
from hinterland.training.runs.record import RunRecord
from hinterland.training.validation.validate import mean_score, validate
from hinterland.types import Case, Dataset


def hidden_cases(record: RunRecord, dataset: Dataset, most: int) -> list[Case]:
    """Return up to `most` training cases that have labels which the run may not know.

    Args:
        record: the run.
        dataset: its data set, with all labels.
        most: how many cases are returned at most.

    Returns:
        The cases.
    """
    known = {case.name for case in record.cases(dataset, "train") if case.labelled}
    own = (dataset[name] for name in record.split["train"] if name not in known)
    return [case for case in own if case.labelled][:most]


def teacher_dice(
    teacher: Callable[[Tensor], Tensor],
    predictor: Predictor,
    cases: Sequence[Case],
    prepared: Prepared,
    spec: LabelSpec,
) -> float:
    """Return the mean Dice of a teacher's predictions at the target question.

    It is logged and chooses nothing: the run may not know these labels.

    Args:
        teacher: an image batch -> probabilities; see `Method.teacher_of`.
        predictor: of the student; the teacher predicts volumes as it does.
        cases: with labels.
        prepared: their preprocessed images and labels.
        spec: the labels of the run.

    Returns:
        The mean Dice, from 0 to 1; nan without a case.
    """
    taught = replace(predictor, model=teacher)
    scores, _ = validate(taught, cases, prepared, spec, spec.label_sets, spec.target)
    return mean_score(scores)[0]
