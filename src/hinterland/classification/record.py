"""What a classifier's directory says of itself: config.yaml, plan.json, labels.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, InstanceOf, TypeAdapter

from hinterland.classification.dataset.answers import Target
from hinterland.classification.dataset.task import Task
from hinterland.data.io.files import write_text
from hinterland.data.io.limits import read_text
from hinterland.labels import LabelSpec
from hinterland.labels.parsing import within
from hinterland.labels.strict_yaml import parse_yaml
from hinterland.training.runs.record import to_yaml, whole_record
from hinterland.types import HinterlandError, Plan

KIND = "classifier"
RENAMED = {"tap": "layer"}
"""Keys that earlier versions wrote under another name: old -> new."""


@dataclass(frozen=True)
class ClassifierRecord:
    """A resolved classifier. Written once, before training.

    Attributes:
        by: the network, the summarising function, `y-net` or `rule`.
        source: what it reads: images, or the masks or embeddings of the segmentation run `run` (of
            its feature map `layer`).
        canvas: the size everything is brought to.
        split: case names.
        targets: case -> answer (see `Target`).
        schemes: the annotation scheme each case is read in.
        plan: of the preprocessing.
        rule: t and tau where they are given, else they are fitted.
        settings: of `TrainConfig`.
        unit: what is judged, cases, patients, or auto (see `cases.unit_of`).
        aggregate: how the scores of a patient's cases become one, mean or max.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    task: Task
    by: str
    source: str
    run: str
    layer: str
    canvas: tuple[int, ...]
    dataset: dict[str, str]
    fold: str
    split: dict[str, list[str]]
    targets: dict[str, Target]
    schemes: dict[str, str]
    settings: dict[str, Any]
    plan: InstanceOf[Plan]
    spec: InstanceOf[LabelSpec]
    balanced: bool = False
    rule: dict[str, int | float] = field(default_factory=dict)
    labelled: str = ""
    unit: str = "auto"
    aggregate: str = "mean"
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)

    @property
    def split_of(self) -> dict[str, str]:
        """Case -> train, val or test."""
        return {name: part for part, names in self.split.items() for name in names}

    def differences(self, other: ClassifierRecord) -> list[str]:
        """Name the settings in which two classifiers differ; empty if in none."""
        later = ("command", "versions", "hardware", "spec", "plan")
        mine, theirs = vars(self), vars(other)
        return [k for k in mine if k not in later and mine[k] != theirs[k]]

    def write(self, path: Path) -> None:
        """Write plan.json and labels.yaml, config.yaml last: it stands for the whole."""
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / "plan.json", self.plan.to_json())
        write_text(path / "labels.yaml", to_yaml(self.spec.to_dict()))
        content = _RECORD.dump_python(self, mode="json", exclude={"plan", "spec"})
        write_text(path / "config.yaml", to_yaml({"kind": KIND, **content}))

    @classmethod
    def read(cls, path: Path) -> ClassifierRecord:
        """Read what `write` wrote.

        Raises:
            HinterlandError: `path` is no classifier's directory, or its record is damaged.
        """
        if not is_classifier(path):
            raise HinterlandError(
                f"{path} is no classifier: expected a folder that `hinterland classify train "
                "--out` has made."
            )
        with whole_record(path):
            with within(f"{path / 'config.yaml'} is damaged"):
                data = parse_yaml(read_text(path / "config.yaml"))
            if not isinstance(data, dict):
                raise TypeError(f"config.yaml holds a {type(data).__name__}, not settings")
            data.pop("kind")
            data |= {new: data.pop(old) for old, new in RENAMED.items() if old in data}
            plan = Plan.from_json(read_text(path / "plan.json"))
            spec = LabelSpec.load(path / "labels.yaml")
            return _RECORD.validate_python({**data, "plan": plan, "spec": spec})


_RECORD = TypeAdapter(ClassifierRecord)


def is_classifier(path: Path) -> bool:
    """Tell whether a folder is a classifier's (and no segmentation run)."""
    file = path / "config.yaml"
    return file.is_file() and file.read_text(encoding="utf-8").startswith(f"kind: {KIND}")


@dataclass(frozen=True)
class ClassifierRun:
    """A classifier's directory. Everything is read from it; nothing is kept."""

    path: Path

    @cached_property
    def record(self) -> ClassifierRecord:
        """The settings of the classifier, resolved."""
        return ClassifierRecord.read(self.path)
