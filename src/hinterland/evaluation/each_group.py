"""Go through the masks of every case, question and class of two folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hinterland.evaluation.case import Questions
from hinterland.evaluation.folders import read_questions
from hinterland.evaluation.meaning import decidable, encode, groups_of
from hinterland.evaluation.pairing import (
    Pair,
    annotated,
    case_pairs,
    file_pairs,
    prediction_meaning,
    read_pair,
)
from hinterland.evaluation.sources import find_spec
from hinterland.evaluation.threads import available_threads, thread_map
from hinterland.labels import LabelSpec, Scheme
from hinterland.types import Case

Row = dict[str, Any]


@dataclass(frozen=True)
class GroupMasks:
    """One class of one case: boolean masks (z, y, x), undecided voxels taken out of both.

    `spacing` (z, y, x) is in mm if `physical`, else ones; `labels` are the reference's integers.
    """

    case: str
    question: str
    name: str
    prediction: np.ndarray
    reference: np.ndarray
    spacing: tuple[float, float, float]
    physical: bool
    labels: np.ndarray
    scheme: Scheme


def each_group(
    function: Callable[[GroupMasks, LabelSpec], list[Row]],
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    spec: LabelSpec | Path | str | None = None,
    at: Questions | str | None = None,
    cases: Iterable[str] | None = None,
    threads: int | None = None,
) -> list[Row]:
    """The rows that `function` makes of every case, question and class, keys in front.

    Arguments and errors are those of `evaluate_folders`; classes that a reference's scheme never
    names are left out.
    """
    folder = Path(predictions)
    if isinstance(references, str | Path):
        pairs = file_pairs(folder, Path(references), cases)
    else:
        pairs = case_pairs(folder, references, cases)
    known = find_spec(spec, pairs, folder)
    pairs = annotated([p.with_spec(known) for p in pairs])
    meaning = prediction_meaning(folder, known)
    questions = read_questions(known, at)

    def work(pair: Pair) -> list[Row]:
        scheme = known.scheme(pair.scheme)
        prediction, labels, spacing, physical = read_pair(pair)
        physical &= known.spacing_known
        rows: list[Row] = []
        for question, coarsening in questions.items():
            what = f"{pair.name}: the prediction"
            pred = decidable(encode(prediction, meaning, coarsening, what), meaning, what)
            ref = encode(labels, scheme.meaning, coarsening, f"{pair.name}: the reference")
            for group, name in groups_of(coarsening):
                if not scheme.decides(coarsening.groups[group]):
                    continue
                inside, undecided = pred.mask(group), ref.undecided(group)
                if undecided is not None:
                    inside &= ~undecided
                masks = GroupMasks(
                    pair.name, question, name, inside, ref.mask(group),
                    spacing if physical else (1.0, 1.0, 1.0), physical, labels, scheme,
                )  # fmt: skip
                key = {"case": pair.name, "class": name, "coarsening": question}
                rows += [key | row for row in function(masks, known)]
        return rows

    found = thread_map(work, pairs, threads or available_threads())
    return [row for rows in found for row in rows]
