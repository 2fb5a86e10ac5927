"""What a run directory says of itself: config.yaml, plan.json, labels.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ConfigDict, InstanceOf, TypeAdapter, ValidationError

from hinterland.data.derived.label_noise import with_noisy_supports
from hinterland.data.io.files import write_text
from hinterland.data.io.limits import read_text
from hinterland.labels import Coarsening, LabelSpec
from hinterland.labels.parsing import within
from hinterland.labels.strict_yaml import parse_yaml
from hinterland.methods import Method, make_method
from hinterland.methods.earlier import upgrade_options
from hinterland.training.config import TrainConfig, make_config
from hinterland.types import Case, Dataset, HinterlandError, Plan


@dataclass(frozen=True)
class RunRecord:
    """A resolved run. Written once, before training; `resume` needs nothing else.

    `split` and `schemes` are case names and the scheme each is read in; `selection` says what
    chooses the reported checkpoint: "val", or "none" where the last one is reported. `noise` is the
    Dice of noisy support labels in the training cases; see `present` and `data.label_noise`.
    `image_labels` are what the run may know of its training cases: case -> node -> 0 or 1.
    `teachers` are the runs that a distilled one learns from (path, checkpoint, hash of it), and
    `seen_by_teachers` the validation cases whose patients they were trained on, by path.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    method: str
    on: tuple[dict[str, list[str]], ...]
    method_options: dict[str, Any]
    dataset: dict[str, str]
    dims: int
    fold: str
    split: dict[str, list[str]]
    schemes: dict[str, str]
    groups: dict[str, str]
    selection: str
    train: TrainConfig
    plan: InstanceOf[Plan]
    spec: InstanceOf[LabelSpec]
    image_labels: dict[str, dict[str, int]] = field(default_factory=dict)
    labelled: str = ""
    fine: str = ""
    naive: bool = False
    noise: float | None = None
    init_from: str = ""
    teachers: tuple[dict[str, str], ...] = ()
    seen_by_teachers: dict[str, list[str]] = field(default_factory=dict)
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    git: str = ""

    def make_method(self) -> Method:
        """Make the method as it was asked for."""
        on = [Coarsening.from_dict(self.spec.tree, groups) for groups in self.on]
        return make_method(self.method, self.spec, on, self.method_options)

    def present(self, dataset: Dataset) -> Dataset:
        """Return the data set as this run sees it: with noisy supports where it asked for them."""
        if self.noise is None:
            return dataset

        return with_noisy_supports(dataset, self.split["train"], self.noise, self.train.seed)

    def cases(self, dataset: Dataset, split: str) -> tuple[Case, ...]:
        """Return the cases of a split, read in the schemes of this run."""
        self.refuse_missing(dataset)
        cases = [dataset[name].with_scheme(self.schemes[name]) for name in self.split[split]]
        if split == "train":  # only what the run was allowed to know
            cases = [replace(c, image_labels=self.image_labels.get(c.name, {})) for c in cases]
        return tuple(cases)

    def refuse_missing(self, dataset: Dataset) -> None:
        """Refuse a data set that has no longer all cases of the run.

        Raises:
            HinterlandError: it names the first that are gone.
        """
        known = {c.name for c in dataset.cases}
        gone = [n for names in self.split.values() for n in names if n not in known]
        if gone:
            raise HinterlandError(
                f"the data set {dataset.root} has no case {', '.join(map(repr, gone[:5]))}, which "
                "the run names in config.yaml. Restore the data set, or train a new run."
            )

    def write(self, run: Path) -> None:
        """Write plan.json and labels.yaml, config.yaml last: its presence says the run is whole."""
        run.mkdir(parents=True, exist_ok=True)
        write_text(run / "plan.json", self.plan.to_json())
        write_text(run / "labels.yaml", to_yaml(self.spec.to_dict()))
        content = _RECORD.dump_python(self, mode="json", exclude={"train", "plan", "spec"})
        train = self.train.model_dump(mode="json")
        content |= {name: train[name] for name in _SUMMARY}
        write_text(run / "config.yaml", to_yaml({**content, "train": train}))

    @classmethod
    def read(cls, run: Path) -> RunRecord:
        """Read what `write` wrote.

        Raises:
            HinterlandError: `run` is no run directory, or what it says cannot be understood.
        """
        if not (run / "config.yaml").is_file():
            raise HinterlandError(
                f"{run} is no run directory: it has no config.yaml. Expected a folder that "
                "`hinterland train --out` has made."
            )
        with whole_record(run):
            with within(f"{run / 'config.yaml'} is damaged"):
                data = parse_yaml(read_text(run / "config.yaml"))
            if not isinstance(data, dict):
                raise TypeError(f"config.yaml holds a {type(data).__name__}, not settings")
            for key in _SUMMARY:
                data.pop(key)
            data["method_options"] = upgrade_options(data["method"], data["method_options"])
            plan = Plan.from_json(read_text(run / "plan.json"))
            spec = LabelSpec.load(run / "labels.yaml")
            train = make_config(data["train"])
            return _RECORD.validate_python({**data, "train": train, "plan": plan, "spec": spec})


_RECORD = TypeAdapter(RunRecord)
_SUMMARY = ("network", "seed", "steps")
"""Settings that config.yaml names at its top, too, for those who read it."""


@contextmanager
def whole_record(folder: Path) -> Iterator[None]:
    """Turn what reading a record raises into one message that names the folder.

    Raises:
        HinterlandError: the record is damaged or of another version.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, HinterlandError):
            raise
        what = f"{type(error).__name__}: {error}"
        if isinstance(error, ValidationError):
            parts = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
            what = "; ".join(f"{place}: {message}" for place, message in parts)
        raise HinterlandError(
            f"{folder}: config.yaml, plan.json or labels.yaml is damaged or of another version "
            f"({what}). Train again into a new folder."
        ) from None


def to_yaml(content: Any) -> str:
    """Write as YAML, in the order given."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
