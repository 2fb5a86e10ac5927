"""All metrics of one case, from label arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any, TypeVar

import numpy as np

from hinterland.evaluation.masks import GroupMap, ValueMap, decidable, encode, groups_of
from hinterland.evaluation.metrics.metrics import measure
from hinterland.evaluation.metrics.pair import MetricSettings
from hinterland.evaluation.metrics.registry import asked_metrics
from hinterland.labels import Coarsening, Scheme
from hinterland.types import HinterlandError
from hinterland.types.box import bounding_box, joint_box

Questions = Coarsening | Sequence[Coarsening] | Mapping[str, Coarsening]


def named_questions(at: Questions) -> dict[str, Coarsening]:
    """Return one coarsening, several, or named ones as name -> coarsening."""
    if isinstance(at, Coarsening):
        return {str(at): at}
    if isinstance(at, Mapping):
        return {str(name): question for name, question in at.items()}
    return {str(question): question for question in at}


def evaluate_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    at: Questions,
    scheme: Scheme,
    *,
    meaning: ValueMap | None = None,
    settings: MetricSettings | None = None,
    metrics: Iterable[str] = (),
    name: str = "case",
    threads: int = 1,
) -> list[dict[str, Any]]:
    """Measure every foreground group of every question.

    Voxels on which the reference leaves a group undecided (an inner node of the tree, "ignore") are
    taken out of both masks for that group; `decided` is the share left. A group that the scheme
    never names has NaN metrics and `decided` 0.

    Args:
        prediction: integers (z, y, x) or (y, x).
        reference: integers of the same shape.
        spacing: one length per axis, in mm.
        at: the questions, by name.
        scheme: what the reference's integers mean.
        meaning: what the prediction's integers mean; default, the same.
        settings: the definitions of the metrics; default, the project's own.
        metrics: further metrics than those of every table, by name or family ("lesions").
        name: the case, for messages and the column `case`.
        threads: threads that compute at the same time.

    Returns:
        One row per question and foreground group.

    Raises:
        HinterlandError: different shapes, unknown labels, an unknown metric, a prediction that is
            coarser than a question.
    """
    if prediction.shape != reference.shape:
        raise HinterlandError(
            f"{name}: the prediction has the shape {prediction.shape}, the reference "
            f"{reference.shape}. Both must lie on one grid: export the prediction in the geometry "
            "of the original image."
        )
    settings = settings or MetricSettings()
    said = meaning if meaning is not None else scheme.label_values
    chosen = asked_metrics(metrics)
    rows: list[dict[str, Any]] = []
    for question, coarsening in named_questions(at).items():
        ref = encode(reference, scheme.label_values, coarsening, f"{name}: the reference")
        what = f"{name}: the prediction"
        pred = decidable(encode(prediction, said, coarsening, what), said, what)

        pred, ref = _cropped(pred, ref)

        def row(
            item: tuple[int, str],
            ref: GroupMap = ref,
            pred: GroupMap = pred,
            question: str = question,
        ) -> dict[str, Any]:
            group, group_name = item
            known = scheme.decides(pred.at.groups[group])
            values = _values(
                pred, ref, group, spacing, settings, chosen, group_name, known, reference.shape
            )
            key = {"case": name, "class": group_name, "coarsening": question}
            protocol = {"empty": settings.empty, "unit": settings.unit}
            return key | values | protocol | {"definition": settings.definition(group_name)}

        rows += thread_map(row, groups_of(coarsening), threads)
    return rows


def _cropped(pred: GroupMap, ref: GroupMap) -> tuple[GroupMap, GroupMap]:
    """Crop both to the box that holds everything but common background."""
    background = pred.at.background
    boxes = [bounding_box(c.codes != background) for c in (pred, ref)]
    found = [b for b in boxes if b is not None]
    if not found:
        return pred, ref
    box = joint_box(found[0], found[-1])
    return pred.crop(box), ref.crop(box)


def _values(
    pred: GroupMap,
    ref: GroupMap,
    group: int,
    spacing: Sequence[float],
    settings: MetricSettings,
    metrics: Sequence[str],
    name: str,
    known: bool,
    shape: tuple[int, ...],
) -> dict[str, float]:
    """Measure one group; NaN where the scheme can never say "inside this group"."""
    if not known:
        return {**dict.fromkeys(metrics, float("nan")), "decided": 0.0}
    inside, truth = pred.mask(group), ref.mask(group)
    undecided, decided = ref.undecided(group), 1.0
    if undecided is not None:
        inside[undecided] = False
        decided -= np.count_nonzero(undecided) / prod(shape)
    values = measure(
        inside, truth, spacing, settings, name=name, image_shape=shape, metrics=metrics
    )
    return {**values, "decided": decided}


A = TypeVar("A")
B = TypeVar("B")


def available_threads() -> int:
    """Count the processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_map(function: Callable[[A], B], items: Iterable[A], threads: int) -> list[B]:
    """Return `[function(i) for i in items]`, over threads where more than one is asked for.

    Args:
        function: what is done.
        items: its arguments.
        threads: how many at a time.

    Returns:
        The results, in the order of the items.
    """
    if threads <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))
