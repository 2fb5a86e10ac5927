"""The one description of a training run: what is learnt, from which data, how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hinterland.data.planning.plan_dataset import PlanOptions, resolve_plan
from hinterland.labels import Coarsening
from hinterland.methods import Method, make_method
from hinterland.training.config import TrainConfig
from hinterland.training.optimisation.recipes import with_recipe
from hinterland.training.runs.fine_tuning import inherit_config, inherit_plan
from hinterland.training.runs.record import RunRecord
from hinterland.training.runs.run import Run
from hinterland.types import Dataset, HinterlandError, Plan

Fold = int | Literal["fixed", "all"]


@dataclass(frozen=True)
class RunRequest:
    """The description of one training run, which `run_or_resume` carries out.

    Attributes:
        dataset: What is trained on, read with its labels.
        method: A name of `hinterland.methods.method_names()`.
        on: The coarsenings that its losses see, as questions by text (see `LabelSpec.question`) or
            as they are. Empty: the method's default.
        options: Fields of the method, such as `ce_weight`.
        labels: The labels.yaml that the data set was read with, for the record.
        fold: See `data.dataset.splits.fold`. With "fixed" the best checkpoint on the validation
            cases (of the last phase, where a method has several) is reported on the test cases.
            With a fold number the last checkpoint is reported on the held-out fold, so that nothing
            is selected on the cases that are reported: methods of two phases then begin the second
            with the last weights of the first, else with its best.
        labelled: Which training cases keep their labels; see `split_cases`.
        fine: Which training cases keep their fine labels; see `split_cases`.
        naive: With `fine`, take the others' background for the remainder class; see `split_cases`.
        noise: Dice of noisy support labels in the training cases; see `data.derived.label_noise`.
        virtual: How many empty classes without any label are added to the tree.
        init_from: A run whose trained network this one begins with, grown to more classes if need
            be; network, plan and a tenth of the learning rate follow from it.
        teachers: Finished runs that a method with `needs_teachers` learns from.
        plan: A plan, or how to make one.
        config: All other settings.
    """

    dataset: Dataset
    method: str = "supervised"
    on: tuple[str | Coarsening, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: str = ""
    fold: Fold = 0
    labelled: str | None = None
    fine: str | None = None
    naive: bool = False
    noise: float | None = None
    virtual: int = 0
    init_from: Path | None = None
    teachers: tuple[Path, ...] = ()
    plan: Plan | PlanOptions = field(default_factory=PlanOptions)
    config: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def of(cls, dataset: Dataset, method: Method[Any], **asked: Any) -> RunRequest:
        """Ask for a method that exists already.

        Args:
            dataset: the cases.
            method: its name, coarsenings and options are taken.
            asked: the other fields.

        Returns:
            The request.
        """
        return cls(dataset, method.name, tuple(method.on), method.options, **asked)

    @property
    def source(self) -> Run | None:
        """The run that this one begins with."""
        return None if self.init_from is None else Run(self.init_from)

    def with_virtual_classes(self) -> RunRequest:
        """Put the empty classes into the tree, and beside the groups of every coarsening.

        A method whose losses tell all leaves apart has them already.
        """
        if not self.virtual:
            return self
        dataset = self.dataset.replace(labels=self.dataset.labels.with_virtual(self.virtual))
        empty = [f"virtual{i}" for i in range(1, self.virtual + 1)]
        made = make_method(self.method, dataset.labels, self.on, self.options)
        on = self.on
        if not all(set(empty) <= set(at.names) for at in made.on):
            on = tuple("/".join([str(question), *empty]) for question in on or ("target",))
        return replace(self, dataset=dataset, on=on, virtual=0)

    def make_method(self) -> Method[Any]:
        """Make the method; HinterlandError for an unknown name, question or option."""
        return make_method(self.method, self.dataset.labels, self.on, self.options)

    def make_config(self) -> TrainConfig:
        """Return the settings, with what follows from the recipe and from `init_from`."""
        source = self.source
        return with_recipe(inherit_config(source, self.config) if source else self.config)

    def make_plan(self, progress: Callable[[int, int], None] | None = None) -> Plan:
        """Return the plan, measured and made if there is none, with what follows from `init_from`.

        Args:
            progress: called with (cases measured, cases).
        """
        plan = resolve_plan(self.dataset, self.plan, progress)
        source = self.source
        return inherit_plan(source, plan) if source else plan

    def differences(self, record: RunRecord) -> list[str]:
        """Name the settings in which a recorded run differs from this request; empty if in none.

        The plan is not compared: it follows from the data, whose fingerprint `resume` compares.
        """
        request = self.with_virtual_classes()
        method = request.make_method()
        config = request.make_config().model_dump(mode="json")
        known = record.train.model_dump(mode="json")
        pairs = {
            "data set": (str(request.dataset.root.resolve()), record.dataset["path"]),
            "method": (method.name, record.method),
            "on": ([c.to_dict() for c in method.on], list(record.on)),
            "method options": (plain(method.options), plain(record.method_options)),
            "fold": (str(request.fold), record.fold),
            "labelled": (request.labelled or "", record.labelled),
            "fine": (request.fine or "", record.fine),
            "naive": (request.naive, record.naive),
            "noise": (request.noise, record.noise),
            "init_from": (request.init_from_text, record.init_from),
            "teachers": (
                [str(path.resolve()) for path in request.teachers],
                [teacher["run"] for teacher in record.teachers],
            ),
            **{name: (config[name], known[name]) for name in config},
        }
        return [name for name, (asked, found) in pairs.items() if asked != found]

    @property
    def init_from_text(self) -> str:
        """The run that this one begins with, for the record."""
        return str(self.init_from.resolve()) if self.init_from else ""


def parse_fold(text: str) -> Fold:
    """Read a fold number, `fixed` or `all`.

    Raises:
        HinterlandError: The text is none of these.

    Examples:
        >>> parse_fold("3"), parse_fold("fixed")
        (3, 'fixed')
    """
    if text in ("fixed", "all"):
        return "fixed" if text == "fixed" else "all"
    if not text.isdecimal():
        raise HinterlandError(f"--fold {text}: expected a number from 0, `fixed` or `all`.")
    return int(text)


def plain(value: Any) -> Any:
    """Return the same content in lists and dictionaries, as YAML gives it back."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value
