"""Many runs that differ in a few settings: train what is missing, go on with what was stopped."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hinterland.data.io.files import write_text
from hinterland.types import Dataset, HinterlandError, Plan

if TYPE_CHECKING:
    import pandas as pd

    from hinterland.training.run import Run

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]
Stage = Callable[[str], None]
RECORD = "study.json"
LOSSES: dict[str, dict[str, Any]] = {
    "none": {},
    "fd": {"discrepancy": {}},
    "fd+exch": {"discrepancy": {"exchange": "batch"}},
    "con": {"contrastive": {}},
    "deeps": {"deep-supervision": {}},
}
"""Name -> regularisers: L_fd, L_fd + L_exch, L_con, L_deeps."""


@dataclass(frozen=True)
class Job:
    """One supervised run. settings: of `TrainConfig`, nested, over those all runs share."""

    name: str
    dataset: Dataset
    plan: Plan
    settings: Mapping[str, Any] = field(default_factory=dict)
    labelled: str | None = None
    method: str = "supervised"


def regularisers(losses: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The settings of losses by name. HinterlandError for an unknown one."""
    unknown = [name for name in losses if name not in LOSSES]
    if unknown or not losses or len(set(losses)) < len(losses):
        raise HinterlandError(
            f"losses {', '.join(losses) or 'none given'}: expected some of {', '.join(LOSSES)}, "
            "each once."
        )
    return {name: LOSSES[name] for name in losses}


def with_loss(settings: Mapping[str, Any], loss: str) -> dict[str, Any]:
    """Settings with the regularisers of one loss, and the options that are given for those."""
    given = settings.get("regularisers", {})
    chosen = regularisers([loss])[loss]
    return {
        **settings,
        "regularisers": {name: {**own, **given.get(name, {})} for name, own in chosen.items()},
    }


def train_all(
    out: Path, jobs: Sequence[Job], report: Report | None = None, stage: Stage | None = None
) -> Iterator[Run]:
    """The run of each job, in order, trained as it is asked for; each in out/NAME."""
    total = sum(int(job.settings["steps"]) for job in jobs)
    done = 0
    for job in jobs:

        def count(now: int, _: int, message: str, before: int = done, job: Job = job) -> None:
            if report:
                report(before + now, total, f"{job.name}: {message}" if message else job.name)

        (stage or log.info)(job.name)
        yield train_one(out / job.name, job, count)
        done += int(job.settings["steps"])


def train_one(path: Path, job: Job, report: Report | None = None) -> Run:
    """Train, go on with, or only open a run."""
    from hinterland.methods import make_method
    from hinterland.training.config import make_config
    from hinterland.training.run import Run
    from hinterland.training.run_training import resume, train

    if Run(path).finished:
        return Run(path)
    if (path / "config.yaml").is_file():
        return resume(path, report=report)
    shutil.rmtree(path, ignore_errors=True)  # stopped before there was anything to go on with
    return train(
        job.dataset, job.plan, make_method(job.method, job.dataset.labels), out=path, fold="fixed",
        config=make_config(job.settings), labelled=job.labelled, report=report, stage=log.info,
    )  # fmt: skip


def plan_of(dataset: Dataset, dims: int | None = None, memory: float = 8.0) -> Plan:
    """The plan of a data set."""
    from hinterland.data.planning.fingerprint import fingerprint
    from hinterland.data.planning.plan import make_plan
    from hinterland.data.preprocessing.cache import cache_root

    found = fingerprint(dataset, cache=cache_root() / "fingerprints")
    wanted: Any = dims
    return make_plan(found, wanted, memory, classes=len(dataset.labels.tree))


def target_scores(file: Path, question: str = "target") -> pd.DataFrame:
    """Per case (index: group, case) Dice and Jaccard at a question, the mean over its classes."""
    import pandas as pd

    table = pd.read_csv(file, dtype={"case": str, "group": str}).fillna({"group": ""})
    table = table[table["coarsening"] == question]
    return table.groupby(["group", "case"])[["dice", "jaccard"]].mean()


def claim(out: Path, what: str, asked: Mapping[str, Any], overwrite: bool) -> None:
    """Make `out` the folder of this study, or find that it is.

    Raises HinterlandError if it holds a study with other settings (and not `overwrite`), or
    something that is no study.
    """
    record = out / RECORD
    content = json.loads(json.dumps({"study": what, **asked}))
    if record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known == content and not overwrite:
            return
        if not overwrite:
            keys = [k for k in content if known.get(k) != content[k]]
            raise HinterlandError(
                f"{out} holds a study with other settings ({', '.join(keys) or 'other kind'}). "
                "Choose another --out, or give --overwrite."
            )
        for part in ("runs", "data"):
            shutil.rmtree(out / part, ignore_errors=True)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HinterlandError(
            f"{out} is there already and holds no study; nothing in it is touched. Choose another "
            "--out."
        )
    write_text(record, json.dumps(content, indent=1))


def write_table(table: pd.DataFrame, file: Path) -> None:
    """A CSV table, whole or not at all."""
    write_text(file, table.to_csv(index=False, float_format="%.6g"))


def save_figure(figure: Any, file: Path) -> None:
    """A PNG figure, whole or not at all."""
    temporary = file.with_name(f".{file.name}")
    figure.savefig(temporary, dpi=150, format="png")
    temporary.replace(file)
