"""Evaluate folders of predictions against references: anybody's, no training run needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.data.dataset.decoded import decoded_at
from hinterland.evaluation.masks import ValueMap, decidable, encode, groups_of
from hinterland.evaluation.metrics.case import (
    Questions,
    available_threads,
    evaluate_case,
    named_questions,
    thread_map,
)
from hinterland.evaluation.metrics.pair import MetricSettings
from hinterland.evaluation.metrics.registry import LESIONS, asked_metrics
from hinterland.evaluation.pairing import (
    Pair,
    annotated,
    case_pairs,
    file_pairs,
    predicted_in,
    prediction_values,
    read_pair,
)
from hinterland.evaluation.sources import find_spec
from hinterland.labels import Coarsening, LabelSpec, Scheme
from hinterland.types import Case

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Origin:
    """What the rows of one evaluation have in common."""

    method: str = ""
    fold: str = ""
    seed: int | None = None


def evaluate_folders(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    spec: LabelSpec | Path | str | None = None,
    at: Questions | str | None = None,
    settings: MetricSettings | None = None,
    lesions: bool = False,
    metrics: Iterable[str] = (),
    origin: Origin | None = None,
    cases: Iterable[str] | None = None,
    extra: bool = False,
    trust_reference: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure a folder of predictions against references.

    Args:
        predictions: folder of label files (NIfTI, PNG, TIFF, ...), one a case, named like the
            references. What their integers mean is read from `labels.json` or `dataset.json` beside
            them; without either they mean what the references' do. A question that the folder was
            decoded at (`at/QUESTION` in it) is judged on what lies there.
        references: folder of label files, or the cases of a data set (with labels).
        spec: what the references' integers mean: a LabelSpec or a labels.yaml. Default:
            labels.yaml, else dataset.json, in the references' folder, its parent, or the
            predictions' folder; else every integer found is a class of its own.
        at: question(s); text as `LabelSpec.question` reads it, several separated by commas.
            Default: all questions of `spec`.
        settings: the definitions in force.
        lesions: lesion-wise metrics, too; the same as the family "lesions" among `metrics`.
        metrics: further metrics than those of every table, by name or family.
        origin: what the rows have in common.
        cases: names, to evaluate only these. Default: every reference.
        extra: permit predictions that have no reference (they are left out).
        trust_reference: take the references' geometry where a prediction's differs.
        threads: over cases, or over classes where there are fewer cases than threads.
        progress: called with (done, total) after each case.

    Returns:
        The tidy table, one row per case, question and class: case, class, coarsening, fold,
        method, seed, group, domain, the metrics, voxel counts and volumes, decided, empty, unit,
        definition. 2D images without a spacing and data sets with `spacing: unknown` are measured
        in voxels; column `unit` says so.

    Raises:
        HinterlandError: once, listing what is wrong: missing or extra predictions, empty folders,
            other shapes or geometries, unknown labels, questions that cannot be answered.
    """
    folder = Path(predictions)
    if isinstance(references, str | Path):
        pairs = file_pairs(folder, Path(references), cases, extra=extra)
    else:
        pairs = case_pairs(folder, references, cases, extra=extra)
    spec = find_spec(spec, pairs, folder)
    questions = read_questions(spec, at)
    settings = settings or MetricSettings()
    if not spec.spacing_known:
        settings = replace(settings, unit="voxel")
    chosen = asked_metrics((*metrics, *((LESIONS,) if lesions else ())))
    pairs = annotated([p.with_spec(spec) for p in pairs])
    parts = _parts(folder, spec, questions, pairs)
    threads = threads or available_threads()
    inner = 1 if len(pairs) >= threads else threads

    def work(place: int) -> list[dict[str, Any]]:
        rows = [
            row
            for p in parts
            for row in _rows(p.pairs[place], spec, p.questions, settings, p.meaning, chosen,
                             trust_reference, inner)
        ]  # fmt: skip
        return sorted(rows, key=lambda row: list(questions).index(row["coarsening"]))

    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(min(threads, len(pairs))) as pool:
        for done, result in enumerate(pool.map(work, range(len(pairs))), start=1):
            rows.extend(result)
            if progress:
                progress(done, len(pairs))
    return tidy(rows, origin or Origin())


def tidy(rows: Sequence[Mapping[str, Any]], origin: Origin) -> pd.DataFrame:
    """Return rows of `evaluate_case` as a table, key columns first."""
    seed = pd.Series([origin.seed] * len(rows), dtype="Int64")
    table = pd.DataFrame(rows).assign(fold=origin.fold, method=origin.method, seed=seed)
    first = ["case", "class", "coarsening", "fold", "method", "seed", "group", "domain"]
    first = [c for c in first if c in table.columns]
    return table[first + [c for c in table.columns if c not in first]]


def read_questions(spec: LabelSpec, at: Questions | str | None) -> dict[str, Any]:
    """Return questions by name: as given, by text ("leaves,infection"), or those of `spec`."""
    if at is None:
        return dict(spec.questions)
    if isinstance(at, str):
        return {text.strip(): spec.question(text.strip()) for text in at.split(",")}
    return named_questions(at)


@dataclass(frozen=True)
class _Part:
    """Questions that are judged on the same segmentations, and what the integers of these mean."""

    questions: dict[str, Coarsening]
    pairs: list[Pair]
    meaning: ValueMap


def _parts(
    folder: Path, spec: LabelSpec, questions: Mapping[str, Coarsening], pairs: list[Pair]
) -> list[_Part]:
    """Sort questions by the folder that was decoded at them; see `decoded_at`."""
    places: dict[Path, dict[str, Coarsening]] = {}
    for name, at in questions.items():
        places.setdefault(decoded_at(folder, at), {})[name] = at
    return [
        _Part(
            asked,
            pairs if place == folder else predicted_in(place, pairs),
            prediction_values(place, spec),
        )
        for place, asked in places.items()
    ]


def _rows(
    pair: Pair,
    spec: LabelSpec,
    questions: Mapping[str, Any],
    settings: MetricSettings,
    meaning: ValueMap,
    metrics: Sequence[str],
    trust_reference: bool,
    threads: int,
) -> list[dict[str, Any]]:
    prediction, reference, spacing, physical = read_pair(pair, trust_reference)
    if not physical:
        settings = replace(settings, unit="voxel")
    rows = evaluate_case(
        prediction, reference, np.array(spacing).tolist(), questions, spec.scheme(pair.scheme),
        meaning=meaning, settings=settings, metrics=metrics, name=pair.name, threads=threads,
    )  # fmt: skip
    return [{**row, "group": pair.group, "domain": pair.domain} for row in rows]


Row = dict[str, Any]


@dataclass(frozen=True)
class GroupMasks:
    """One class of one case: boolean masks (z, y, x), undecided voxels taken out of both.

    `spacing` (z, y, x) is in mm if `physical`, else ones; `labels` are the integers of the
    reference, the file `file`.
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
    file: Path


def iterate_masks(
    function: Callable[[GroupMasks, LabelSpec], list[Row]],
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    spec: LabelSpec | Path | str | None = None,
    at: Questions | str | None = None,
    cases: Iterable[str] | None = None,
    threads: int | None = None,
) -> list[Row]:
    """Return the rows that `function` makes of every case, question and class, keys in front.

    Classes that a reference's scheme never names are left out.

    Args:
        function: makes the rows of one case, question and class.
        predictions: folder of label files.
        references: folder of label files, or cases.
        spec: the labels, or their file; default, the nearest on disk.
        at: the question or questions; default, those of the labels.
        cases: only these; default, all.
        threads: cases at a time; default, as `evaluate_folders`.

    Returns:
        The rows, in the order of the cases.

    Raises:
        HinterlandError: as `evaluate_folders`.
    """
    folder = Path(predictions)
    if isinstance(references, str | Path):
        pairs = file_pairs(folder, Path(references), cases)
    else:
        pairs = case_pairs(folder, references, cases)
    known = find_spec(spec, pairs, folder)
    pairs = annotated([p.with_spec(known) for p in pairs])
    parts = _parts(folder, known, read_questions(known, at), pairs)

    def work(place: int) -> list[Row]:
        return [row for part in parts for row in rows_of(part, part.pairs[place])]

    def rows_of(part: _Part, pair: Pair) -> list[Row]:
        meaning = part.meaning
        scheme = known.scheme(pair.scheme)
        prediction, labels, spacing, physical = read_pair(pair)
        physical &= known.spacing_known
        rows: list[Row] = []
        for question, coarsening in part.questions.items():
            what = f"{pair.name}: the prediction"
            pred = decidable(encode(prediction, meaning, coarsening, what), meaning, what)
            ref = encode(labels, scheme.label_values, coarsening, f"{pair.name}: the reference")
            for group, name in groups_of(coarsening):
                if not scheme.decides(coarsening.groups[group]):
                    continue
                inside, undecided = pred.mask(group), ref.undecided(group)
                if undecided is not None:
                    inside &= ~undecided
                masks = GroupMasks(
                    pair.name, question, name, inside, ref.mask(group),
                    spacing if physical else (1.0, 1.0, 1.0), physical, labels, scheme,
                    pair.reference,
                )  # fmt: skip
                key = {"case": pair.name, "class": name, "coarsening": question}
                rows += [key | row for row in function(masks, known)]
        return rows

    found = thread_map(work, range(len(pairs)), threads or available_threads())
    return [row for rows in found for row in rows]
