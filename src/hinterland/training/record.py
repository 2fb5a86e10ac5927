"""What a run directory says of itself: config.yaml, plan.json, labels.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from hinterland.data.derived.label_noise import with_noisy_supports
from hinterland.data.io.files import write_text
from hinterland.data.planning.topology import topology
from hinterland.labels import Coarsening, LabelSpec
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
    """

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
    plan: Plan
    spec: LabelSpec
    image_labels: dict[str, dict[str, int]] = field(default_factory=dict)
    labelled: str = ""
    fine: str = ""
    naive: bool = False
    noise: float | None = None
    init_from: str = ""
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    git: str = ""

    def make_method(self) -> Method:
        """The method, as it was asked for."""
        on = [Coarsening.from_dict(self.spec.tree, groups) for groups in self.on]
        return make_method(self.method, self.spec, on, self.method_options)

    def present(self, dataset: Dataset) -> Dataset:
        """The data set as this run is given it: with noisy supports where it asked for them."""
        if self.noise is None:
            return dataset

        return with_noisy_supports(dataset, self.split["train"], self.noise, self.train.seed)

    def cases(self, dataset: Dataset, split: str) -> tuple[Case, ...]:
        """The cases of a split, read in the schemes of this run."""
        cases = [dataset[name].with_scheme(self.schemes[name]) for name in self.split[split]]
        if split == "train":  # only what the run was allowed to know
            cases = [replace(c, image_labels=self.image_labels.get(c.name, {})) for c in cases]
        return tuple(cases)

    def write(self, run: Path) -> None:
        """plan.json and labels.yaml first, config.yaml last: its presence says the run is whole."""
        run.mkdir(parents=True, exist_ok=True)
        write_text(run / "plan.json", self.plan.to_json())
        write_text(run / "labels.yaml", _yaml(self.spec.to_dict()))
        train = self.train.model_dump(mode="json")
        flat = {k: v for k, v in asdict(self).items() if k not in ("train", "plan", "spec")}
        flat["on"] = list(flat["on"])
        flat |= {"network": train["network"], "seed": train["seed"], "steps": train["steps"]}
        write_text(run / "config.yaml", _yaml({**flat, "train": train}))

    @classmethod
    def read(cls, run: Path) -> RunRecord:
        """Read what `write` wrote. HinterlandError if `run` is no run directory."""
        if not (run / "config.yaml").is_file():
            raise HinterlandError(
                f"{run} is no run directory: it has no config.yaml. Expected a folder that "
                "`hinterland train --out` has made."
            )
        try:
            data = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
            for key in ("network", "seed", "steps"):
                data.pop(key)
            data["method_options"] = upgrade_options(data["method"], data["method_options"])
            return cls(
                **{**data, "on": tuple(data["on"])}
                | {
                    "train": make_config(data["train"]),
                    "plan": Plan.from_json((run / "plan.json").read_text(encoding="utf-8")),
                    "spec": LabelSpec.load(run / "labels.yaml"),
                }
            )
        except (yaml.YAMLError, KeyError, TypeError, ValueError, OSError) as error:
            raise HinterlandError(
                f"{run}: config.yaml, plan.json or labels.yaml is damaged or of another version "
                f"({type(error).__name__}: {error}). Train again into a new folder."
            ) from None


def record_of(
    dataset: Dataset,
    plan: Plan,
    method: Method,
    config: TrainConfig,
    splits: Mapping[str, Sequence[Case]],
    fold: str,
    labels: str = "",
) -> RunRecord:
    """The record of a run that is about to start. Overrides of batch and patch enter the plan."""
    plan = replace(
        with_patch(plan, config.patch_size) if config.patch_size else plan,
        batch_size=config.batch_size or plan.batch_size,
        batch_dice=plan.batch_dice if config.batch_dice is None else config.batch_dice,
    )
    cases = [c for part in splits.values() for c in part]
    nodes = dataset.labels.tree.nodes
    known = {c.name: {n: int(c.image_labels[n]) for n in nodes if n in c.image_labels}
             for c in splits["train"]}  # fmt: skip
    return RunRecord(
        method=method.name,
        on=tuple(c.to_dict() for c in method.on),
        method_options=method.options,
        dataset={
            "path": str(dataset.root.resolve()),
            "name": dataset.name or dataset.root.name,
            "labels": labels,
            "fingerprint": plan.fingerprint,
        },
        dims=plan.dims,
        fold=fold,
        split={name: [c.name for c in part] for name, part in splits.items()},
        schemes={c.name: c.scheme if c.labelled else "none" for c in cases},
        groups={c.name: c.group for c in cases},
        selection="val" if fold == "fixed" and splits["val"] else "none",
        train=config,
        plan=plan,
        spec=dataset.labels,
        image_labels={name: labels for name, labels in known.items() if labels},
    )


def with_patch(plan: Plan, patch: tuple[int, ...]) -> Plan:
    """The plan with another patch and the network that nnU-Net's rules give for it.

    Edges are rounded up to what the network's pooling needs. HinterlandError for another number of
    edges than the plan has axes.
    """
    if len(patch) != plan.dims:
        raise HinterlandError(
            f"patch_size {list(patch)} has {len(patch)} edges, the plan is {plan.dims}D. "
            f"The plan's own patch is {list(plan.patch_size)}."
        )
    spacing = [s for s in plan.spacing[3 - plan.dims :] if s is not None]
    fitted = topology(spacing, patch)
    return replace(plan, patch_size=fitted.patch, network=fitted.network())


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
