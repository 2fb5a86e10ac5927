"""How a run was made: everything a reader must know before believing its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hinterland.training.runs.record import RunRecord


@dataclass(frozen=True)
class Protocol:
    """The protocol of one run; None or empty where nothing is known.

    `evaluated` are the cases of the run's metric table, `train`, `val` and `test` the split that it
    was trained with, `groups` maps a case to its patient. `empty` is the policy for empty masks,
    `question` the coarsening that was asked, `selection` the split that chose the checkpoint,
    `labels` how many of the training cases had which, `taught` the validation cases whose patients
    a teacher of a distilled run was trained on.
    """

    run: str
    method: str | None = None
    on: str | None = None
    network: str | None = None
    recipe: str | None = None
    dims: int | None = None
    steps: int | None = None
    parameters: int | None = None
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
    taught: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = True

    def group(self, case: str) -> str:
        """Return the patient of a case; a case without one is a patient of its own."""
        return self.groups.get(case) or case

    def patients(self, cases: Sequence[str]) -> frozenset[str]:
        """Return the patients behind some cases."""
        return frozenset(self.group(c) for c in cases)

    @classmethod
    def of(
        cls,
        run: str,
        record: RunRecord | None,
        told: Mapping[str, Any],
        evaluated: Sequence[str],
        groups: Mapping[str, str] | None = None,
    ) -> Protocol:
        """Put together what a run's record and its metric table say.

        Args:
            run: its name.
            record: what the run directory says; None for a bare table, whose protocol says of
                itself that nothing was recorded.
            told: `empty`, `convention`, `question`, `unit`, `seed`, `fold` of the table, and of
                summary.json `steps` (done), `parameters`, `took_off`, `take_off`.
            evaluated: the cases of the table.
            groups: case -> patient, as the table has it.

        Returns:
            The protocol.
        """
        cases = tuple(dict.fromkeys(str(c) for c in evaluated))
        bare = cls(
            run=run,
            empty=told.get("empty") or None,
            convention=told.get("convention") or None,
            question=told.get("question") or None,
            unit=told.get("unit") or None,
            fold=told.get("fold") or None,
            seed=_integer(told.get("seed")),
            evaluated=cases,
            groups=dict(groups or {}),
            recorded=False,
        )
        if record is None:
            return bare
        return replace(
            bare,
            method=record.method,
            on=coarsenings_text(record),
            network=record.train.network,
            recipe=record.train.recipe,
            dims=record.dims,
            steps=_integer(told.get("steps")) or record.train.steps,
            parameters=_integer(told.get("parameters")),
            took_off=told.get("took_off"),
            take_off=_integer(told.get("take_off")),
            seed=record.train.seed,
            fold=record.fold,
            selection=record.selection,
            dataset=record.dataset.get("path") or record.dataset.get("name"),
            fingerprint=record.dataset.get("fingerprint"),
            command=record.command or None,
            git=record.git or None,
            labels=_labels_text(*label_counts(record)),
            train=tuple(record.split.get("train", ())),
            val=tuple(record.split.get("val", ())),
            test=tuple(record.split.get("test", ())),
            taught=tuple({c: None for seen in record.seen_by_teachers.values() for c in seen}),
            groups={**record.groups, **bare.groups},
            versions=record.versions,
            recorded=True,
        )


def label_counts(record: RunRecord) -> tuple[int, int, int]:
    """Count the training cases of a run, those with a label, and those with a fine label.

    A fine label is one whose scheme does not end with `@coarse`.
    """
    train = [record.schemes.get(c, "") for c in record.split.get("train", ())]
    known = [s for s in train if s != "none"]
    return len(train), len(known), sum(not s.endswith("@coarse") for s in known)


def coarsenings_text(record: RunRecord) -> str | None:
    """Name the coarsenings that a run was trained on by the names of their groups."""
    return " + ".join("/".join(groups) for groups in record.on) or None


def _labels_text(train: int, labelled: int, fine: int) -> str | None:
    if not train:
        return None
    some = "all labelled" if labelled == train else f"{labelled} of {train} labelled"
    return some if fine == labelled else f"{some}, {fine} of them fine"


def _integer(value: str | int | None) -> int | None:
    text = "" if value is None else str(value)
    return int(text) if text.lstrip("-").isdigit() else None
