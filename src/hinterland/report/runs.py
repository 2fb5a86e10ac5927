"""Runs as `compare` sees them: a run directory as training wrote it, or a bare metric table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hinterland.data.dataset.files import read_object
from hinterland.evaluation.table import read_table
from hinterland.labels import Coarsening, common_refinement
from hinterland.report.protocol.protocol import Protocol, coarsenings_text, label_counts
from hinterland.training.runs.record import RunRecord
from hinterland.types import HinterlandError

_TABLES = ("metrics.csv", "metrics.parquet")


@dataclass(frozen=True)
class Run:
    """One run: its metric table and what else is known.

    `path` is the directory or the table, `record` what the directory says of itself (None for a
    bare table), `label` a name that the user gives to its method.
    """

    path: Path
    table: pd.DataFrame
    record: RunRecord | None = None
    log: pd.DataFrame | None = None
    label: str = ""

    @property
    def method(self) -> str:
        """What the record calls the method, else the table, else the file's name."""
        if self.record is not None:
            return self.record.method
        named = [str(m) for m in self.table["method"].dropna().unique() if str(m)]
        return named[0] if named else _stem(self.path)

    @property
    def key(self) -> tuple[str, ...]:
        """Runs with the same key are one method: they differ in seed and fold only."""
        if self.label:
            return (self.label,)
        return (self.method, *self.settings.values())

    @property
    def settings(self) -> dict[str, str]:
        """What makes two runs of one method different methods, in the order of its weight."""
        record = self.record
        if record is None:
            return {}
        train, known, fine = label_counts(record)
        config = record.train.model_dump(mode="json")
        rest = {k: v for k, v in config.items() if k not in ("seed", "network", "steps", "logger")}
        return {
            "on": coarsenings_text(record) or "",
            "with": _plain(record.method_options),
            "labelled": str(known) if known < train else "",
            "fine": str(fine) if fine < known else "",
            "noise": "" if record.noise is None else f"{record.noise:g}",
            "from": record.init_from,
            "teachers": str(len(record.teachers) or ""),
            "network": record.train.network,
            "dims": str(record.dims),
            "steps": str(record.train.steps),
            "settings": _plain(rest),
        }

    @property
    def place(self) -> tuple[str, str]:
        """Seed and fold."""
        if self.record is not None:
            return str(self.record.train.seed), self.record.fold
        first = self.table.iloc[0]
        return str(first["seed"]), str(first["fold"])


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: the runs of one method, over folds and seeds."""

    name: str
    runs: tuple[Run, ...]

    @property
    def table(self) -> pd.DataFrame:
        """The tables of all runs, one below the other, with `method` set to the arm's name."""
        return pd.concat([r.table for r in self.runs], ignore_index=True).assign(method=self.name)

    @property
    def seeds(self) -> int:
        """How many seeds the runs have."""
        return len({run.place[0] for run in self.runs})

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """One protocol record a run."""
        several = len(self.runs) > 1
        return tuple(
            _protocol(r, f"{self.name} / {_stem(r.path)}" if several else self.name)
            for r in self.runs
        )


def read_runs(path: Path) -> list[Run]:
    """Read the runs at a path.

    A table gives one run per `method` it names. A directory gives one run if it holds a metric
    table, or all of its subdirectories that do (folds).

    Raises:
        HinterlandError: there is no finished run.
    """
    if path.is_file():
        table = _read_table(path)
        parts = [t for _, t in table.groupby("method", sort=False, dropna=False)]
        return [Run(path, part.reset_index(drop=True)) for part in parts]
    if not path.is_dir():
        raise HinterlandError(
            f"there is no run at {path}. Give run directories, or metric tables (.csv, .parquet)."
        )
    folders = [path] if _table_of(path) else sorted(d for d in path.iterdir() if d.is_dir())
    runs = [_read_run(d, found) for d in folders if (found := _table_of(d))]
    if not runs and (path / "config.yaml").is_file():
        raise HinterlandError(
            f"{path} is a run that is not finished. Finish it: hinterland resume {path}"
        )
    if not runs:
        raise HinterlandError(
            f"{path} has no {_TABLES[0]}, nor has a folder below it. Evaluate the run first: "
            f"hinterland evaluate {path}/predictions REFERENCES --out {path}/{_TABLES[0]}"
        )
    return runs


def arms_of(runs: Sequence[Run]) -> list[Arm]:
    """Group runs into methods and name them; the first one is the baseline.

    Runs of one method pool over folds and seeds. Two runs with the same settings, seed and fold
    cannot be pooled and stay apart, under the names of their directories. Labels name methods,
    and runs with one label are one method.

    Raises:
        HinterlandError: a run is given twice, or two of one label have the same seed and fold.
    """
    grouped: dict[tuple[str, ...], list[Run]] = {}
    seen: set[tuple[Path, str]] = set()
    for run in runs:
        what = (run.path.resolve(), run.label or run.method)
        if what in seen:
            raise HinterlandError(f"{run.path} is given twice. Leave it out once.")
        seen.add(what)
        key = run.key
        if any(run.place == other.place for other in grouped.get(key, [])):
            if run.label:
                raise HinterlandError(
                    f"two runs are called {run.label!r} and have the same seed ({run.place[0]}) "
                    f"and fold ({run.place[1]}). Name them differently, or leave one out."
                )
            key = (*key, str(run.path))
        grouped.setdefault(key, []).append(run)
    keys = list(grouped)
    names = _told_apart([(_name(k, keys, grouped[k]), grouped[k][0].path) for k in keys])
    return [Arm(name, tuple(grouped[k])) for name, k in zip(names, keys, strict=True)]


def _told_apart(named: Sequence[tuple[str, Path]]) -> list[str]:
    """Return the names; where several are the same, with the folder above or the whole path."""
    names = [name for name, _ in named]
    above = [f"{path.resolve().parent.name}/{name}" for name, path in named]
    longer = [a if above.count(a) == 1 else str(p) for a, (_, p) in zip(above, named, strict=True)]
    return [n if names.count(n) == 1 else a for n, a in zip(names, longer, strict=True)]


def _name(key: tuple[str, ...], keys: Sequence[tuple[str, ...]], runs: Sequence[Run]) -> str:
    """Name a method, and those settings that tell it from others of the same method."""
    if runs[0].label:
        return runs[0].label
    rivals = [k for k in keys if k[0] == key[0] and k != key]
    settings = runs[0].settings
    values = list(settings.values())
    differing = [n for i, n in enumerate(settings) if any(k[i + 1] != values[i] for k in rivals)]
    if any(list(k[1 : 1 + len(values)]) == values for k in rivals) or "settings" in differing:
        return _stem(runs[0].path)
    return " · ".join([key[0], *(f"{n} {settings[n]}" for n in differing if settings[n])])


def with_question(arm: Arm, at: str) -> Arm:
    """Return the same arm with only the rows of one coarsening."""
    runs = tuple(
        replace(r, table=r.table[r.table["coarsening"].astype(str) == at].reset_index(drop=True))
        for r in arm.runs
    )
    return replace(arm, runs=runs)


def cells_of(record: RunRecord) -> Coarsening:
    """Return what a run tells apart: its record says so, else everything."""
    on = [Coarsening.from_dict(record.spec.tree, groups) for groups in record.on]
    return common_refinement(on) if on else record.spec.tree.leaves


def _read_run(folder: Path, table: Path) -> Run:
    record = RunRecord.read(folder) if (folder / "config.yaml").is_file() else None
    log = folder / "log.csv"
    try:
        frame = pd.read_csv(log) if log.is_file() and log.stat().st_size else None
    except ValueError as error:
        raise HinterlandError(
            f"{log} is not a readable table: {error}. Remove it: the report then has no curves."
        ) from None
    return Run(folder, _read_table(table), record, frame)


def _read_table(path: Path) -> pd.DataFrame:
    """Read the tidy table; columns that only pooling needs are filled in where absent."""
    table = read_table(path)
    if table.empty:
        raise HinterlandError(f"{path} has no rows. Evaluate some cases first.")
    for column, default in (("group", ""), ("coarsening", ""), ("fold", ""), ("method", ""),
                            ("seed", "")):  # fmt: skip
        if column not in table:
            table[column] = default
    table["case"] = table["case"].astype(str)
    table["group"] = table["group"].fillna("").astype(str).where(lambda g: g != "", table["case"])
    return table.fillna({"coarsening": "", "fold": "", "method": "", "seed": ""})


def _protocol(run: Run, name: str) -> Protocol:
    groups = dict(zip(run.table["case"], run.table["group"], strict=True))
    told: dict[str, Any] = {
        key: " | ".join(dict.fromkeys(run.table[column].astype(str)))
        for key, column in (("empty", "empty"), ("convention", "definition"), ("unit", "unit"),
                            ("question", "coarsening"), ("seed", "seed"), ("fold", "fold"))
        if column in run.table
    }  # fmt: skip
    summary = run.path / "summary.json"
    if summary.is_file():
        known = read_object(summary)
        told |= {key: known.get(key) for key in ("steps", "parameters", "took_off", "take_off")}
    return Protocol.of(name, run.record, told, list(run.table["case"]), groups)


def _table_of(folder: Path) -> Path | None:
    return next((folder / t for t in _TABLES if (folder / t).is_file()), None)


def _stem(path: Path) -> str:
    return path.stem if path.suffix in (".csv", ".parquet") else path.resolve().name


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={_plain(v)}" for k, v in value.items())
    return str(value)
