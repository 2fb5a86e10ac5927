"""What a training would see: cases, plan, settings and prepared arrays of a run or a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import plan_dataset
from hinterland.data.preprocessing.cache import Prepared, prepare
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.label_sets import foreground_values
from hinterland.data.sampling.patches import PatchDataset, PreparedByName
from hinterland.data.sampling.sampler import Stream
from hinterland.report.viewing.overlay import COLOURS
from hinterland.training.config import TrainConfig, make_config
from hinterland.training.loop.segmentation import streams_of_run
from hinterland.training.runs.record import RunRecord
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_folder import is_run
from hinterland.types import Case, Dataset, HinterlandError, Plan, Tick


@dataclass(frozen=True)
class TrainingView:
    """The side of a training that its data come from; `record` where there is a run."""

    dataset: Dataset
    cases: tuple[Case, ...]
    plan: Plan
    config: TrainConfig
    record: RunRecord | None = None

    @property
    def about(self) -> str:
        """A sentence on whose settings these are."""
        if self.record is not None:
            return f"As the run trained: method {self.record.method}, fold {self.record.fold}."
        return "By the plan and the settings that training takes by itself."

    def prepared(self, cases: Sequence[Case], tick: Tick | None = None) -> Prepared:
        """Preprocess some cases, or find them in the cache."""
        return prepare(self.dataset, self.plan, cases=cases, workers=0, progress=tick)

    def streams(self, count: int, tick: Tick | None = None) -> tuple[Stream, ...]:
        """Return the quotas of a batch: the run's, or `count` items of any case.

        Those of a run need its cases prepared, which they are unless its cache was removed.
        """
        if self.record is not None:
            prepared = self.prepared(self.cases, tick)
            return streams_of_run(self.record, self.dataset, prepared)[0]
        return (Stream("all cases", tuple(case.name for case in self.cases), count),)

    def patches(self, prepared: PreparedByName, streams: Sequence[Stream]) -> PatchDataset:
        """Return the items that batches are made of."""
        spec, data = self.dataset.labels, self.config.data
        on = [spec.target]
        if self.record is not None and data.foreground_on == "on":
            on = list(self.record.make_method().on)
        return PatchDataset(
            self.cases, prepared, spec.label_sets, dict(spec.schemes), streams,
            augment(self.plan, data.augmentation), seed=self.config.seed,
            foreground={name: foreground_values(s, *on) for name, s in spec.schemes.items()},
        )  # fmt: skip


def open_training(path: Path, labels: Path | None = None, tick: Tick | None = None) -> TrainingView:
    """Read what the training of a run saw, or that of a data set would see.

    Args:
        path: a run, or a data set.
        labels: of a data set whose labels are described elsewhere.
        tick: called with (cases measured, cases) where a plan must be made.

    Returns:
        The view.

    Raises:
        HinterlandError: it is neither, or nothing in it can be trained on.
    """
    if is_run(path):
        run = Run(path)
        record, dataset = run.record, run.dataset
        return TrainingView(
            dataset, record.cases(dataset, "train"), record.plan, record.train, record
        )
    dataset = read_dataset(path, labels)
    cases = dataset.train or dataset.cases
    if not any(case.labelled for case in cases):
        raise HinterlandError(
            f"{path} has no training case with a label, so there is nothing that training would "
            "see. Without --augmented and --preprocessed, its images are shown as they are."
        )
    return TrainingView(dataset, cases, plan_dataset(dataset, progress=tick), make_config({}))


def row_colours(dataset: Dataset) -> dict[int, tuple[str, str]]:
    """Return what is drawn of annotations: label set -> (colour, name).

    Sets that lie in the background of the target are drawn too, but for what a scheme writes as 0
    and for voxels that may be anything.
    """
    spec, table = dataset.labels, dataset.labels.label_sets
    hidden = {s.label_values[0] for s in spec.schemes.values() if 0 in s.label_values}
    names: dict[frozenset[int], str] = {}
    found = {}
    for row, leaves in enumerate(table.sets):
        if leaves in hidden or leaves == table.tree.all_leaves:
            continue
        parts = [table.tree.leaf_names[leaf] for leaf in sorted(leaves)]
        names.setdefault(leaves, table.tree.node_for(leaves) or " or ".join(parts))
        place = list(names).index(leaves)
        found[row] = (COLOURS[place % len(COLOURS)], names[leaves])
    return found
