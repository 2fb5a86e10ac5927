"""Is the background more heterogeneous in volumes than in slices? Paper 1, appendix A.7.

Every leaf is trained on in 2D and in 3D, and what a binary label would lose is measured on the same
test cases (`studies.gradients`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hinterland.data.io.csv_text import with_original_text
from hinterland.data.io.files import remove
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.studies.claim import claim
from hinterland.studies.gradients.analysis import analyse_gradients
from hinterland.studies.gradients.measure import VOXELS
from hinterland.studies.runner import (
    Report,
    difference_over,
    record_of_study,
    train_all,
    write_summary,
)
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.types import Dataset, HinterlandError

DIMS: tuple[Literal[2], Literal[3]] = (2, 3)


@dataclass(frozen=True)
class Heterogeneity:
    """Settings of the study: runs in 2D and in 3D that differ in nothing else.

    Attributes:
        fold: "fixed", or the number of a fold.
        settings: of `TrainConfig`, nested; a patch size is left out, for it fits one of the two.
        voxels: of each test case that are looked at.
    """

    seeds: int = 1
    steps: int = 10_000
    fold: int | Literal["fixed"] = "fixed"
    settings: Mapping[str, Any] = field(default_factory=dict)
    memory: float = 8.0
    voxels: int = VOXELS
    labels: str = ""


def run_heterogeneity(
    dataset: Dataset,
    asked: Heterogeneity,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
    queue: Path | None = None,
) -> dict[str, Any]:
    """Train in 2D and 3D, measure gradients and information of each, and hold them together.

    Writes gradients/ (see `analyse_gradients`) and summary.json into `out`. Called again after an
    interruption it goes on where it was.

    Args:
        dataset: volumes, with labels of structures beside the target.
        asked: seeds, steps and voxels.
        out: the folder to write into.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        overwrite: replace another study that is there.
        queue: the folder of a queue whose workers train the runs; None trains here.

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: the labels name no structures, a patch size was set, the data are pictures,
            or `out` holds another study.
    """
    out, say = Path(out), stage or (lambda _: None)
    _check(dataset, asked)
    plans = {dims: plan_dataset(dataset, PlanOptions(dims, asked.memory)) for dims in DIMS}
    record = record_of_study(asked, dataset)
    claim(out, "heterogeneity", record, overwrite)
    requests = {
        f"{dims}d-seed{seed}": RunRequest(
            dataset, "backsplit", labels=asked.labels, fold=asked.fold, plan=plans[dims],
            config=make_config({**asked.settings, "steps": asked.steps, "seed": seed}),
        )
        for seed in range(asked.seeds)
        for dims in DIMS
    }  # fmt: skip
    runs = list(train_all(out / "runs", requests, report, stage, queue))
    say("measuring gradients")
    remove(out / "gradients")
    found = analyse_gradients(runs, out / "gradients", voxels=asked.voxels)
    cases = with_original_text(
        pd.read_csv(out / "gradients" / "cases.csv", dtype={"case": str, "group": str, "run": str})
    )
    summary = {
        **record, "runs": found["runs"],
        **difference(cases), "figure": str(out / "gradients" / "gradients.png"),
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def _check(dataset: Dataset, asked: Heterogeneity) -> None:
    spec = dataset.labels
    if len(spec.target.groups[spec.target.background]) < 2:
        raise HinterlandError(
            f"{dataset.root} has no structures beside the target ({spec.target}), so that there is "
            "nothing to be heterogeneous. Add some: hinterland supports."
        )
    if "patch_size" in asked.settings:
        raise HinterlandError(
            f"patch_size={asked.settings['patch_size']}: one patch does not fit 2D and 3D. Leave "
            "it to the plans (--memory)."
        )
    if not dataset.spacing_known and all(c.images[0].suffix == ".png" for c in dataset.cases):
        raise HinterlandError(
            f"{dataset.root} holds pictures, which have no third axis. Give a data set of volumes."
        )


def difference(cases: pd.DataFrame) -> dict[str, Any]:
    """Compare what is lost in 3D with what is lost in 2D, paired by case, seeds averaged.

    Args:
        cases: one row a run and case: run ("2d-seed0"), case, group, lost.

    Returns:
        difference (3D minus 2D), low, high (95 %, over patients) and p; None where not known.
    """
    dims = cases["run"].str.split("-").str[0]
    means = cases.assign(dims=dims).groupby(["dims", "group", "case"])["lost"].mean()
    apart: pd.Series = means.loc["3d"] - means.loc["2d"]
    groups: Sequence[str] = apart.index.get_level_values("group").astype(str).tolist()
    return difference_over(apart, groups)
