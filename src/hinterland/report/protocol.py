"""How a run was made: everything a reader must know before believing its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """The protocol of one run; None or empty where nothing is known.

    `evaluated` are the cases of the run's metric table, `train`, `val` and `test` the split that it
    was trained with, `groups` maps a case to its patient. `empty` is the policy for empty masks,
    `question` the coarsening that was asked, `selection` the split that chose the checkpoint,
    `labels` how many of the training cases had which.
    """

    run: str
    method: str | None = None
    on: str | None = None
    network: str | None = None
    recipe: str | None = None
    dims: int | None = None
    steps: int | None = None
    seed: int | None = None
    took_off: bool | None = None
    take_off: int | None = None
    fold: str | None = None
    selection: str | None = None
    empty: str | None = None
    convention: str | None = None
    question: str | None = None
    unit: str | None = None
    dataset: str | None = None
    fingerprint: str | None = None
    command: str | None = None
    git: str | None = None
    labels: str | None = None
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    evaluated: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = True

    def group(self, case: str) -> str:
        """The patient of a case; a case without one is a patient of its own."""
        return self.groups.get(case) or case

    def patients(self, cases: Sequence[str]) -> frozenset[str]:
        """The patients behind some cases."""
        return frozenset(self.group(c) for c in cases)

    @classmethod
    def of(
        cls,
        run: str,
        config: Mapping[str, Any],
        summary: Mapping[str, Any],
        evaluated: Sequence[str],
        groups: Mapping[str, str] | None = None,
    ) -> Protocol:
        """Read config.yaml and summary.json as far as they go; unknown keys are left alone.

        A setting is looked up in the configuration first, then in the summary. An empty
        configuration makes a protocol that says of itself that nothing was recorded.
        """

        def find(*keys: str) -> Any:
            for source in (config, summary):
                for key in keys:
                    if source.get(key) is not None:
                        return source[key]
            return None

        split = _mapping(find("split", "splits"))
        dataset = find("dataset")
        data = _mapping(dataset)
        known = {str(k): str(v) for k, v in _mapping(find("groups")).items()} | dict(groups or {})
        return cls(
            run=run,
            method=_text(find("method")),
            on=coarsenings_text(find("on")),
            network=_text(find("network", "architecture")),
            recipe=_text(_mapping(find("train")).get("recipe")),
            dims=_integer(find("dims")),
            steps=_integer(summary.get("steps") or find("steps")),
            took_off=summary.get("took_off"),
            take_off=_integer(summary.get("take_off")),
            seed=_integer(find("seed")),
            fold=_text(find("fold")),
            selection=_text(find("selection")),
            empty=_text(summary.get("empty") or config.get("empty")),
            convention=_text(summary.get("convention") or config.get("convention")),
            question=_text(summary.get("at") or summary.get("coarsening") or config.get("at")),
            unit=_text(find("unit")),
            dataset=_text(data.get("path") or data.get("name")) if data else _text(dataset),
            fingerprint=_text(data.get("fingerprint") or find("fingerprint")),
            command=_text(find("command")),
            git=_text(find("git")),
            labels=_labels_text(*label_counts(config)),
            train=_names(split.get("train")),
            val=_names(split.get("val")),
            test=_names(split.get("test")),
            evaluated=tuple(dict.fromkeys(str(c) for c in evaluated)),
            groups=known,
            versions={str(k): str(v) for k, v in _mapping(find("versions")).items()},
            recorded=bool(config),
        )


def label_counts(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Training cases of a run, those with a label, and those with a fine one (not `@coarse`)."""
    schemes = _mapping(config.get("schemes"))
    train = [str(schemes.get(c, "")) for c in _names(_mapping(config.get("split")).get("train"))]
    known = [s for s in train if s != "none"]
    return len(train), len(known), sum(not s.endswith("@coarse") for s in known)


def _labels_text(train: int, labelled: int, fine: int) -> str | None:
    if not train:
        return None
    some = "all labelled" if labelled == train else f"{labelled} of {train} labelled"
    return some if fine == labelled else f"{some}, {fine} of them fine"


def coarsenings_text(on: Any) -> str | None:
    """Coarsenings as config.yaml has them (group -> leaves), by the names of their groups."""
    parts = on if isinstance(on, list | tuple) else [on] if on else []
    names = ["/".join(str(n) for n in p) if isinstance(p, Mapping) else str(p) for p in parts]
    return " + ".join(names) or None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, list | tuple) else ()


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value) or None
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or None
    return str(value)
