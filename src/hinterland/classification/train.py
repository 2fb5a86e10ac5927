"""Making a classifier: from a data set of images, or from what a segmentation run sees in them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hinterland.classification.canvas import Canvases, canvas_size
from hinterland.classification.dataset.answers import answers
from hinterland.classification.dataset.cases import (
    SPLITS,
    UNITS,
    check_split,
    split_by_class,
    targets_of,
    with_image_labels,
)
from hinterland.classification.dataset.task import parse_task
from hinterland.classification.fitting.operating_point import AGGREGATES, FILE
from hinterland.classification.model import (
    RULE,
    Y_NET,
    build_context,
    make_classifier,
    recipe_of,
    showing,
)
from hinterland.classification.networks import IMAGE_CLASSIFIERS, SUMMARISERS
from hinterland.classification.operate import operate
from hinterland.classification.record import ClassifierRecord, ClassifierRun, is_classifier
from hinterland.classification.source import (
    EMBEDDINGS,
    IMAGES,
    MASKS,
    Frozen,
    mask_canvases,
    stored,
)
from hinterland.classification.trainer import ClassifierData, ClassifierTrainer
from hinterland.data.io.files import write_text
from hinterland.data.io.lock import alone
from hinterland.data.planning.plan_dataset import PlanOptions, resolve_plan
from hinterland.data.planning.topology import topology
from hinterland.data.preprocessing.cache import Prepared, prepare
from hinterland.training.config import make_config
from hinterland.training.device import hardware, refuse_missing_devices, versions
from hinterland.training.runs.request import Fold
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_folder import new_folder, refuse_taken
from hinterland.training.trackers import refuse_missing_logger
from hinterland.types import Case, Dataset, HinterlandError, Normalisation, Plan
from hinterland.types.case import unmasked

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]
BATCH = 16
STEPS, STEPS_FROZEN = 10_000, 2_000


@dataclass(frozen=True)
class ClassifierRequest:
    """The description of one classifier, which `train_classifier` carries out.

    Attributes:
        source: A data set, for a network on its images; or a segmentation run, for what its masks
            or feature maps say.
        task: What is asked; several findings with commas between them. See `parse_task`.
        by: On images one of `IMAGE_CLASSIFIERS`, or `y-net`; of a run `rule`, or a network that
            summarises (`fully-connected`, `pool`, or one of `IMAGE_CLASSIFIERS`).
        embedding: Read a feature map of the run, not its masks: shallow, deep, or a layer's name.
        canvas: The size everything is brought to; see `canvas_size`.
        plan: Of a data set, or how to make one. A run has its own, and its own split.
        fold: As in `RunRequest`; there must be validation cases.
        labelled: Which training cases are learnt from. Of a run, by default those whose masks it
            saw.
        image_labels: A CSV file in place of the data set's own image labels.
        balanced: Whether the classes are drawn equally often (and cases without any finding).
        t: Of the rule; default, fitted.
        tau: Of the rule; default, fitted.
        settings: Those of `TrainConfig`.
        unit: What is judged: case, patient or auto.
        aggregate: How the scores of a patient's cases become one: mean or max.
    """

    source: Dataset | Run
    task: str
    by: str
    embedding: str = ""
    canvas: tuple[int, ...] | None = None
    plan: Plan | PlanOptions = field(default_factory=PlanOptions)
    fold: Fold = "fixed"
    labelled: str | None = None
    image_labels: Path | None = None
    balanced: bool = False
    t: float | None = None
    tau: int | None = None
    settings: Mapping[str, Any] | None = None
    unit: str = "auto"
    aggregate: str = "mean"

    @property
    def run(self) -> Run | None:
        """The segmentation run that is read, if it is one."""
        return self.source if isinstance(self.source, Run) else None

    def read(self) -> Dataset:
        """Return the cases with their image labels."""
        source = self.source
        dataset = source.dataset if isinstance(source, Run) else source
        return with_image_labels(dataset, self.image_labels)

    def make_plan(self, dataset: Dataset) -> Plan:
        """Return the plan of the preprocessing, measured and made if there is none."""
        return self.run.record.plan if self.run else resolve_plan(dataset, self.plan)

    def check_task(self) -> None:
        """Refuse a task that the data set cannot be asked, by its labels; reads no image."""
        known = self.read()
        task = parse_task(self.task, known.cases, known.labels.tree)
        answers(task, known.cases, {}, known.labels.tree)


def train_classifier(
    request: ClassifierRequest,
    out: Path | str,
    *,
    overwrite: bool = False,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
) -> ClassifierRun:
    """Train a classifier, then fit rule, calibration and threshold on validation cases.

    Args:
        request: the classifier to train.
        out: the directory to make. Of the same request, unfinished, it is gone on with; anything
            else is refused, unless `overwrite`.
        overwrite: replace what is in `out`.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.

    Returns:
        The finished classifier.

    Raises:
        HinterlandError: the validation cases do not hold both answers, or the run cannot show the
            class that the rule is asked for.
    """
    out, say = Path(out), stage or log.info
    if request.aggregate not in AGGREGATES or request.unit not in UNITS:
        raise HinterlandError(
            f"unit {request.unit!r}, aggregate {request.aggregate!r}: expected one of "
            f"{', '.join(UNITS)}, and one of {', '.join(AGGREGATES)}."
        )
    say("reading labels")
    dataset = request.read()
    plan = request.make_plan(dataset)
    prepared = prepare(dataset, plan)
    record = _record(request, dataset, plan, prepared)
    config = make_config(record.settings)
    refuse_missing_devices(config)
    refuse_missing_logger(config.logger)
    with _claimed(out, record, overwrite):
        if record.by != RULE:
            _train(out, record, request.run, dataset, prepared, report or (lambda *_: None), say)
        say("fitting on validation cases")
        operate(out, record, dataset, prepared, report)
    return ClassifierRun(out)


def _record(
    request: ClassifierRequest, dataset: Dataset, plan: Plan, prepared: Prepared
) -> ClassifierRecord:
    run = request.run
    source, layer = _source(run, request)
    task, targets = targets_of(dataset, request.task, prepared)
    settings = dict(request.settings or {})
    settings.setdefault("steps", STEPS if source == IMAGES else STEPS_FROZEN)
    if source != IMAGES:
        settings["data"] = {"augmentation": "none", **settings.get("data", {})}
    config = make_config(settings)
    if config.validation.select == "dice":
        raise HinterlandError(
            "validation.select=dice: a classifier has no masks; expected auroc, "
            "balanced-accuracy or last."
        )
    schemes = {c.name: c.scheme if c.labelled else "none" for c in dataset.cases}
    if run:
        schemes |= run.record.schemes
        split = {part: [n for n in run.record.split[part] if n in targets] for part in SPLITS}
        if request.labelled:
            own = split_by_class(dataset, targets, "all", 0, request.labelled)["train"]
            split["train"] = [n for n in split["train"] if n in set(own)]
        else:
            split["train"] = [n for n in split["train"] if not unmasked(schemes[n])]
    else:
        split = split_by_class(dataset, targets, request.fold, config.seed, request.labelled)
    targets = {n: targets[n] for part in split.values() for n in part}
    # the rule learns nothing: masks of lesions alone are training enough
    check_split(split, targets, task, SPLITS[1:2] if request.by == RULE else SPLITS[:2])
    shapes = [prepared[n].image.shape[1:] for n in split["train"]]
    canvas = canvas_size(shapes, request.canvas)
    if request.by == Y_NET:
        canvas = topology((1.0,) * len(canvas), canvas).patch
    record = ClassifierRecord(
        task=task, by=request.by, source=source, run=str(run.path.resolve()) if run else "",
        layer=layer, canvas=canvas,
        dataset={"path": str(dataset.root.resolve()), "name": dataset.name,
                 "image_labels": str(request.image_labels or "")},
        fold=run.record.fold if run else str(request.fold), split=split, targets=targets,
        schemes={n: schemes[n] for n in targets}, settings=settings, plan=plan,
        spec=dataset.labels, balanced=request.balanced,
        rule={k: v for k, v in (("t", request.t), ("tau", request.tau)) if v is not None},
        labelled=request.labelled or "", versions=versions(), hardware=hardware(),
        unit=request.unit, aggregate=request.aggregate,
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )  # fmt: skip
    if record.by == RULE:
        assert run is not None
        shown = showing(record, run.method.cells)
        missing = [task.classes[i] for i in task.scored if i not in shown]
        spare = len(task.classes) > 2 and not task.independent  # one may be "none of them"
        if len(missing) > spare:
            raise HinterlandError(
                f"the rule needs a mask for {', '.join(map(repr, missing))}, but the run tells "
                f"only ({run.method.cells}) apart. Ask for another task, take a trained "
                "summarising function (--by pool), or train a run on these classes."
            )
    return record


def _source(run: Run | None, request: ClassifierRequest) -> tuple[str, str]:
    """Tell where the classifier looks, and the feature map it reads."""
    by = request.by
    if run is None:
        if by not in (*IMAGE_CLASSIFIERS, Y_NET):
            raise HinterlandError(
                f"--by {by}: on images expected one of {', '.join((*IMAGE_CLASSIFIERS, Y_NET))}. "
                f"{RULE} and the summarising functions ({', '.join(SUMMARISERS)}) need a "
                "segmentation run in place of the data set."
            )
        if request.embedding:
            raise HinterlandError("--embedding needs a segmentation run in place of the data set.")
        return IMAGES, ""
    if by not in (RULE, *SUMMARISERS, *IMAGE_CLASSIFIERS):
        raise HinterlandError(
            f"--by {by}: of a segmentation run expected {RULE}, "
            f"{', '.join((*SUMMARISERS, *IMAGE_CLASSIFIERS))}."
        )
    if run.record.fold == "all":
        raise HinterlandError(
            f"{run.path} was trained without validation cases; train with a fold."
        )
    if by == RULE and request.embedding:
        raise HinterlandError("the rule reads masks; leave --embedding away.")
    if request.embedding:
        return EMBEDDINGS, Frozen(run).layer(request.embedding)
    return MASKS, ""


@contextmanager
def _claimed(out: Path, record: ClassifierRecord, overwrite: bool) -> Iterator[None]:
    """Make `out` the directory of this classifier, or find that it is; have it alone."""
    if is_classifier(out) and not overwrite:
        different = record.differences(ClassifierRecord.read(out))
        if not different and not (out / FILE).is_file():
            with alone(out, str(out)):
                yield
            return
        held = (
            f"another classifier ({', '.join(different)})"
            if different
            else "this classifier, finished"
        )
        raise HinterlandError(f"{out} holds {held}. Choose another --out, or give --overwrite.")
    refuse_taken(out, overwrite, ours=is_classifier, kind="classifier")
    with new_folder(out, overwrite, ours=is_classifier, kind="classifier"):
        record.write(out)
        yield


def _train(
    out: Path,
    record: ClassifierRecord,
    run: Run | None,
    dataset: Dataset,
    prepared: Prepared,
    report: Report,
    say: Callable[[str], None],
) -> None:
    config = make_config(record.settings)
    size, names = record.canvas, [n for part in SPLITS[:2] for n in record.split[part]]
    channels: tuple[str, ...] = record.plan.channels
    if run is None:
        reads_masks = record.by == Y_NET
        canvases = Canvases(size, lambda name: _stored_case(prepared, name, reads_masks))
    else:
        say("masks of the run" if record.source == MASKS else "embeddings of the run")
        folder, count, size = mask_canvases(
            Frozen(run), names, prepared, record.canvas, record.layer,
            lambda done, total: report(done, total, ""),
        )  # fmt: skip
        channels = tuple(map(str, range(count)))
        canvases = Canvases(size, stored(folder))
    plan = _canvas_plan(record, size, channels, config.batch_size or BATCH)
    write_text(out / "canvas.json", plan.to_json())
    say("training")
    by_name = {case.name: case for case in dataset.cases}
    cases = {part: _cases(record, by_name, part) for part in SPLITS[:2]}
    data = ClassifierData(cases["train"], cases["val"], canvases, record.balanced)
    context = build_context(record, plan, len(channels))
    ClassifierTrainer(
        out, make_classifier(record), context, data, config, report, recipe_of(record)
    ).fit()


def _stored_case(
    prepared: Prepared, name: str, with_label: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    case = prepared[name]
    label = None if case.label is None or not with_label else np.asarray(case.label)
    return np.asarray(case.image), label


def _cases(record: ClassifierRecord, by_name: Mapping[str, Case], part: str) -> tuple[Case, ...]:
    schemes = record.schemes if record.by == Y_NET else dict.fromkeys(record.schemes, "none")
    return tuple(by_name[n].with_scheme(schemes[n]) for n in record.split[part])


def _canvas_plan(
    record: ClassifierRecord, size: tuple[int, ...], channels: Sequence[str], batch: int
) -> Plan:
    """Make the plan by which canvases are augmented and networks built."""
    plan = record.plan
    dims: Literal[2, 3] = 2 if len(size) == 2 else 3
    network = topology((1.0,) * dims, size).network() if record.by == Y_NET else plan.network
    kept = (
        plan.normalisation if record.source == IMAGES else (Normalisation("none"),) * len(channels)
    )
    return replace(
        plan, dims=dims, channels=tuple(channels), normalisation=kept, patch_size=size,
        batch_size=batch, network=network,
    )  # fmt: skip
