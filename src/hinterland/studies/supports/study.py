"""Studies of support structures: train the arms, compare each with the binary one, draw, sum up."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hinterland.data.io.files import write_text
from hinterland.studies.supports.arms import (
    BINARY,
    NAMES,
    STUDIES,
    Arm,
    checked,
    standard_axes,
    variations,
)
from hinterland.types import Dataset, HinterlandError, Plan

if TYPE_CHECKING:
    import pandas as pd

    from hinterland.training.run import Run

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]
Fold = int | Literal["fixed"]
RECORD = "study.json"
METRICS = ("dice", "hd95", "nsd")


@dataclass(frozen=True)
class Study:
    """What is asked: which study, of which supports, with which runs.

    settings: of `TrainConfig`, nested. labels: the labels.yaml the data set was read with.
    """

    name: str
    supports: tuple[str, ...] = ()
    fold: Fold = 0
    seeds: int = 1
    steps: int = 25_000
    settings: Mapping[str, Any] | None = None
    dims: Literal[2, 3] | None = None
    memory: float = 8.0
    labels: str = ""


def run_supports_study(
    dataset: Dataset,
    study: Study,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train every arm with every seed, and write table.csv, figure.png and summary.json into `out`.

    Called again after an interruption it goes on where it was; finished runs (out/runs/) are not
    trained again. Returns what summary.json holds. Raises HinterlandError for an unknown study or
    support, and where `out` holds another study.
    """
    out, say = Path(out), stage or log.info
    supports = checked(dataset.labels, study.supports)
    plans = _Plans(dataset, study)
    arms = _arms(study, supports, plans)
    asked = {**asdict(study), "supports": supports, "dataset": str(dataset.root.resolve())}
    _claim(out, json.loads(json.dumps(asked)), overwrite)
    order = [(arm, seed) for seed in range(study.seeds) for arm in arms]
    total = sum(_steps(study, arm) for arm, _ in order)
    done = 0
    runs: dict[tuple[str, int], Run] = {}
    for arm, seed in order:

        def count(now: int, _: int, message: str, before: int = done, arm: Arm = arm) -> None:
            if report:
                report(before + now, total, f"{arm.name}: {message}" if message else arm.name)

        say(f"{arm.name}, seed {seed}")
        runs[arm.name, seed] = _train(dataset, study, arm, seed, out, plans, count)
        done += _steps(study, arm)
    table = results(arms, runs, study.seeds)
    return _conclude(out, asked, arms, table)


def _arms(study: Study, supports: Sequence[str], plans: _Plans) -> list[Arm]:
    if study.name not in NAMES:
        raise HinterlandError(f"study {study.name!r}: expected one of {', '.join(NAMES)}.")
    if study.name != "variations":
        return STUDIES[study.name](supports)
    plan, settings = plans(None), dict(study.settings or {})
    batch = int(settings.get("batch_size") or plan.batch_size)
    patch = list(settings.get("patch_size") or plan.patch_size)
    return variations(supports, standard_axes(batch, patch, plan.dims))


class _Plans:
    """The plan of the data set in 2D, 3D or as it suits, each made once."""

    def __init__(self, dataset: Dataset, study: Study) -> None:
        self.dataset, self.study = dataset, study
        self._made: dict[int | None, Plan] = {}

    def __call__(self, dims: int | None) -> Plan:
        from hinterland.data.planning.fingerprint import fingerprint
        from hinterland.data.planning.plan import make_plan
        from hinterland.data.preprocessing.cache import cache_root

        dims = dims or self.study.dims
        if dims not in self._made:
            found = fingerprint(self.dataset, cache=cache_root() / "fingerprints")
            classes = len(self.dataset.labels.tree)
            wanted: Literal[2, 3] | None = None if dims is None else 2 if dims == 2 else 3
            self._made[dims] = make_plan(found, wanted, self.study.memory, classes=classes)
        return self._made[dims]


def _steps(study: Study, arm: Arm) -> int:
    return max(1, round(study.steps * arm.steps))


def folder_of(arm: Arm, seed: int) -> str:
    """The name of a run's folder."""
    text = "".join(c if c.isalnum() else "-" for c in arm.name).strip("-")
    return f"{text}-seed{seed}"


def _train(
    dataset: Dataset, study: Study, arm: Arm, seed: int, out: Path, plans: _Plans, report: Report
) -> Run:
    from hinterland.methods import make_method
    from hinterland.training.config import make_config
    from hinterland.training.run import Run
    from hinterland.training.run_training import resume, train

    path = out / "runs" / folder_of(arm, seed)
    if Run(path).finished:
        return Run(path)
    if (path / "config.yaml").is_file():
        return resume(path, report=report)
    shutil.rmtree(path, ignore_errors=True)  # stopped before there was anything to go on with
    if arm.virtual:
        dataset = dataset.replace(labels=dataset.labels.with_virtual(arm.virtual))
    settings = {**(study.settings or {}), **arm.settings}
    if arm.dims and "patch_size" in settings:
        settings["patch_size"] = list(settings["patch_size"])[-arm.dims :]
    config = make_config({**settings, "steps": _steps(study, arm), "seed": seed})
    if arm.init_from:
        config = _tuned(config)
    source = out / "runs" / folder_of(Arm(arm.init_from), seed) if arm.init_from else None
    return train(
        dataset, plans(arm.dims), make_method("supervised", dataset.labels, arm.on), out=path,
        fold=study.fold, config=config, fine=arm.fine, naive=arm.naive, noise=arm.noise,
        init_from=source, labels=study.labels, report=report, stage=log.info,
    )  # fmt: skip


def _tuned(config: Any) -> Any:
    """A tenth of the learning rate that the study gives the other arms, where it gives one."""
    from hinterland.training.fine_tuning import FINE_TUNING

    if config.optimiser.lr is None:
        return config  # `train` takes a tenth of the recipe's
    rate = config.optimiser.lr * FINE_TUNING
    return config.model_copy(update={"optimiser": config.optimiser.model_copy(update={"lr": rate})})


def target_scores(run: Run) -> pd.DataFrame:
    """Per case (index: group, case) the metrics at the target question, mean over its classes."""
    import pandas as pd

    table = pd.read_csv(run.path / "metrics.csv", dtype={"case": str, "group": str})
    first = next(iter(run.record.spec.questions))
    table = table[table["coarsening"] == first].fillna({"group": ""})
    columns = [m for m in METRICS if m in table.columns]
    return table.groupby(["group", "case"])[columns].mean()


def results(arms: Sequence[Arm], runs: Mapping[tuple[str, int], Run], seeds: int) -> pd.DataFrame:
    """One row an arm: means over cases and seeds, and the Dice difference to its baseline.

    The baseline is the first arm; of a variation ("batch 4: all supports") the binary arm of the
    same variation. Differences are paired by case (cases averaged over seeds), intervals resample
    patients (95 %), p is Wilcoxon's.
    """
    import pandas as pd

    scores = {arm.name: [target_scores(runs[arm.name, s]) for s in range(seeds)] for arm in arms}
    rows = []
    for arm in arms:
        own = pd.concat(scores[arm.name], keys=range(seeds), names=["seed"])
        means = own.groupby("seed").mean()
        row: dict[str, Any] = {"arm": arm.name, "curve": arm.curve, "x": arm.x}
        row |= {m: float(means[m].mean()) for m in means.columns}
        row["dice_sd_of_seeds"] = float(means["dice"].std(ddof=1)) if seeds > 1 else None
        prefix = arm.name.split(": ")[0] + ": " if ": " in arm.name else ""
        baseline = prefix + BINARY if prefix + BINARY in scores else arms[0].name
        if arm.name != baseline:
            row |= {"baseline": baseline, **_difference(scores[baseline], scores[arm.name])}
        rows.append(row)
    return pd.DataFrame(rows)


def _difference(one: Sequence[pd.DataFrame], two: Sequence[pd.DataFrame]) -> dict[str, Any]:
    import pandas as pd

    from hinterland.evaluation.statistics.bootstrap import bootstrap_means, by_group
    from hinterland.evaluation.statistics.paired_tests import wilcoxon

    per_seed = [b["dice"] - a["dice"] for a, b in zip(one, two, strict=True)]
    means = pd.concat(per_seed).dropna().groupby(["group", "case"]).mean()
    if means.empty:
        return {"difference": None, "low": None, "high": None, "p": None}
    groups = means.index.get_level_values("group").to_numpy().astype(str)
    if len(set(groups)) < 2:
        groups = means.index.get_level_values("case").to_numpy().astype(str)
    values = means.to_numpy()[:, None]
    low, high = np.quantile(bootstrap_means(values, groups, seed=0)[:, 0], [0.025, 0.975])
    sums, counts = by_group(values, groups)
    return {
        "difference": float(values.mean()), "low": float(low), "high": float(high),
        "p": float(wilcoxon((sums / counts)[:, 0])),
    }  # fmt: skip


def _claim(out: Path, asked: dict[str, Any], overwrite: bool) -> None:
    """Make `out` the folder of this study, or find that it is."""
    record = out / RECORD
    if record.is_file():
        if json.loads(record.read_text(encoding="utf-8")) == asked and not overwrite:
            return
        if not overwrite:
            raise HinterlandError(
                f"{out} holds a study with other settings. Choose another --out, or give "
                "--overwrite."
            )
        shutil.rmtree(out / "runs", ignore_errors=True)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HinterlandError(
            f"{out} is there already and holds no study; nothing in it is touched. Choose another "
            "--out."
        )
    write_text(record, json.dumps(asked, indent=1))


def _conclude(
    out: Path, asked: dict[str, Any], arms: Sequence[Arm], table: pd.DataFrame
) -> dict[str, Any]:
    from hinterland.studies.supports.figure import draw

    write_text(out / "table.csv", table.to_csv(index=False, float_format="%.5f"))
    draw(table, f"{asked['name']}: {Path(asked['dataset']).name}", out / "figure.png")
    clean = table.astype(object).where(table.notna(), None)
    summary = {
        **asked, "arms": {a.name: asdict(a) for a in arms}, "results": clean.to_dict("records"),
        "table": str(out / "table.csv"), "figure": str(out / "figure.png"),
    }  # fmt: skip
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary
