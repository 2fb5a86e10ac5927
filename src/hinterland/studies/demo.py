"""The demo: phantoms -> binary against BackSplit -> report.html and summary.json."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import plan_dataset
from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import METRICS, better, metrics_shown
from hinterland.phantoms.dataset import Kind, make_phantoms
from hinterland.report.compare import compare
from hinterland.report.comparison import Comparison
from hinterland.report.results import Result
from hinterland.studies.claim import claim
from hinterland.studies.runner import write_summary
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset, HinterlandError, Plan

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]

STEPS = 400
"""Steps of each arm: BackSplit finds the lesions last of all leaves, by step 300."""

CASES = (24, 6, 30)
"""Phantoms for train, val and test."""

QUESTION = "target"
_PARTS = ("phantoms", "runs", "tables", "report.html", "summary.json")
ARMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "binary": ("supervised", ("target",)),
    "backsplit": ("backsplit", ()),
    "both": ("supervised", ("leaves", "target")),
}
"""Arm -> method and the coarsenings its losses see."""

# A short budget on two cores: a narrow U-Net on small patches, most of them on a lesion, and the
# recipe that learns within hundreds of steps. Chosen on phantoms of another seed (7).
SETTINGS: dict[str, Any] = {
    "network_options": {"features": [8, 64]},
    "batch_size": 2,
    "batch_dice": True,
    "patch_size": [32, 32, 32],
    "data": {"foreground": 0.67},
    "recipe": "fast",
    "deep_supervision": False,
    "validation": {"interval": 80, "mirror": False, "shortcuts": 0},
}


def run_demo(
    out: Path | str,
    seed: int = 0,
    kind: Kind = "informative",
    arms: Sequence[str] = tuple(ARMS),
    steps: int = STEPS,
    report: Report | None = None,
    *,
    stage: Callable[[str], None] | None = None,
    settings: dict[str, Any] | None = None,
    phantoms: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train the arms for the same steps on one phantom data set, evaluate and compare them.

    Writes into `out`: phantoms/, runs/ARM/, report.html, tables/, summary.json. Called again after
    an
    interruption it goes on where it was; a finished arm is not trained again.

    Args:
        out: the folder to write into.
        seed: of the phantoms and the training.
        kind: "null" makes phantoms whose support labels say nothing of the image.
        arms: names of `ARMS`, the first being the baseline.
        steps: of each training.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        settings: a run's settings in place of `SETTINGS`.
        phantoms: arguments of `make_phantoms`, for tests.
        overwrite: replace a demo with other settings.

    Returns:
        The content of summary.json.

    Raises:
        HinterlandError: `out` holds a demo with other settings (and not `overwrite`), or something
            that is no demo.
    """
    out, arms = Path(out), tuple(arms)
    say = stage or log.info
    _check_arms(arms)
    asked = {
        "seed": seed, "kind": kind, "steps": steps, "settings": settings or SETTINGS,
        "phantoms": phantoms or {},
    }  # fmt: skip
    claim(out, "demo", asked, overwrite, kind="demo", record="demo.json", parts=_PARTS)
    started = time.monotonic()
    dataset = _phantoms(out / "phantoms", seed, kind, phantoms or {}, say)
    plan = plan_dataset(dataset)
    for index, arm in enumerate(arms, start=1):

        def begin(what: str, arm: str = f"{arm} ({index} of {len(arms)})") -> None:
            say(f"{arm}: {what}")

        run = out / "runs" / arm
        if Run(run).finished:
            begin("trained already")
        run_or_resume(_request(dataset, plan, arm, asked), run, report=report, stage=begin)
    say("comparing")
    return _conclude(out, arms, asked, time.monotonic() - started)


def _check_arms(arms: Sequence[str]) -> None:
    unknown = [a for a in arms if a not in ARMS]
    if unknown or len(arms) < 2 or len(set(arms)) < len(arms):
        raise HinterlandError(
            f"arms {', '.join(arms) or 'none'}: expected two or more of {', '.join(ARMS)}, the "
            "baseline first, each once."
        )


def _phantoms(
    folder: Path, seed: int, kind: Kind, options: dict[str, Any], say: Callable[[str], None]
) -> Dataset:
    """Read the phantom data set, and make it first unless it is there."""
    if not folder.is_dir():
        say("making phantoms")
        make_phantoms(folder, seed=seed, kind=kind, **{"cases": CASES, **options})
    return read_dataset(folder)


def _request(dataset: Dataset, plan: Plan, arm: str, asked: dict[str, Any]) -> RunRequest:
    method, on = ARMS[arm]
    config = make_config({**asked["settings"], "steps": asked["steps"], "seed": asked["seed"]})
    return RunRequest(dataset, method, on, fold="fixed", plan=plan, config=config)


def _conclude(
    out: Path, arms: Sequence[str], asked: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Compare the arms; write and return the summary."""
    runs = [Run(out / "runs" / arm) for arm in arms]
    made = compare(
        [run.path for run in runs],
        out,
        QUESTION,
        names=list(arms),
        overwrite=True,
        title=f"Demo: {', '.join(arms[1:])} against {arms[0]} on phantoms ({asked['kind']})",
    )
    summary = {
        **asked,
        "arms": {arm: _arm(run) for arm, run in zip(arms, runs, strict=True)},
        "seconds": round(seconds, 1),
        "findings": findings(made, arms, asked["kind"]),
        "table": str(made),
        "comparison": made.to_dict(),
    }
    write_summary(summary, out)
    return summary


def _arm(run: Run) -> dict[str, Any]:
    """Return what one arm reached at the question."""
    summary = run.summary
    figures = {k: v for k, v in summary["metrics"].items() if k.startswith(f"{QUESTION}/")}
    return {
        "run": run.path.name,
        "cases": summary["cases"],
        "seconds_training": summary["seconds_training"],
        "metrics": figures,
    }


def findings(made: Comparison, arms: Sequence[str], kind: Kind) -> list[str]:
    """Write one sentence for each arm and metric: the difference, and whether it is shown.

    Args:
        made: the comparison.
        arms: names, the baseline first.
        kind: of phantoms.

    Returns:
        Sentences.
    """
    lines = []
    if kind == "null":
        lines.append("Null phantoms: the support labels say nothing of the image; expect no gain.")
    base = {r.metric: r for r in made.results if r.baseline}
    others = [
        r for r in made.results if not r.baseline and r.metric in metrics_shown(Shown.HEADLINE)
    ]
    for result in others:
        arm = arms[made.methods.index(result.method)]
        lines.append(_sentence(arm, arms[0], result, base[result.metric].mean, made.unit))
    return lines


def _sentence(arm: str, baseline: str, result: Result, base: float, unit: str) -> str:
    low, high = result.difference_low, result.difference_high
    if result.p_holm < 0.05 and (low > 0 or high < 0):
        gained = better(result.metric, result.difference)
        verdict = f"{arm} is {'better' if gained else 'worse'} on these phantoms"
    else:
        verdict = "no difference is shown"
    metric = METRICS.get(result.metric)
    digits, tail = metric.decimals, f" {metric.shown_unit(unit)}" if metric.unit else ""
    return (
        f"{result.group} {metric.label}: {arm} {result.mean:.{digits}f}, "
        f"{baseline} {base:.{digits}f}, difference {result.difference:+.{digits}f}{tail} "
        f"(95 % interval {low:+.{digits}f} to {high:+.{digits}f}, Holm-corrected p = "
        f"{result.p_holm:.2g}, {result.n} cases): {verdict}."
    )
