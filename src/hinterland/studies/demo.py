"""The demo: phantoms -> binary against BackSplit -> report.html and summary.json."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hinterland.data.io.files import write_text
from hinterland.types import HinterlandError

if TYPE_CHECKING:
    from hinterland.phantoms.dataset import Kind
    from hinterland.report.compare import Comparison
    from hinterland.report.results import Result
    from hinterland.training.run import Run
    from hinterland.types import Dataset, Plan

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]

STEPS = 1000
"""Steps of each arm: one seed with three arms stays below six minutes on two cores."""

QUESTION = "target"
ARMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "binary": ("supervised", ("target",)),
    "backsplit": ("backsplit", ()),
    "both": ("supervised", ("leaves", "target")),
}
"""Arm -> method and the coarsenings its losses see."""

# A short budget on two cores: a narrow U-Net on small patches, most of them on a lesion, and Adam
# instead of nnU-Net's slow SGD. Chosen by validation Dice on a phantom of another seed (7).
SETTINGS: dict[str, Any] = {
    "network_options": {"features": [8, 64]},
    "batch_size": 2,
    "batch_dice": True,
    "patch_size": [32, 32, 32],
    "data": {"foreground": 0.67},
    "optimiser": {"optimiser": "adamw", "lr": 3e-3, "weight_decay": 1e-2},
}
_METRICS = ("dice", "hd95", "nsd")


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

    kind: "null" makes phantoms whose support labels say nothing of the image. arms: names of
        `ARMS`, the first being the baseline. report: called with (done, of how many, message)
        within a stage; stage: with what begins. settings: a run's settings in place of `SETTINGS`.
        phantoms: arguments of `make_phantoms`, for tests.

    Writes into `out`: phantoms/, runs/ARM/, report.html, tables/, summary.json. Returns what
    summary.json holds. Called again after an interruption it goes on where it was; a finished arm
    is not trained again. Raises HinterlandError if `out` holds a demo with other settings (and not
    `overwrite`), or something that is no demo.
    """
    from hinterland.training.run import Run

    out, arms = Path(out), tuple(arms)
    tell, say = report or (lambda *_: None), stage or log.info
    _check_arms(arms)
    asked = {
        "seed": seed, "kind": kind, "steps": steps, "settings": settings or SETTINGS,
        "phantoms": phantoms or {},
    }  # fmt: skip
    _claim(out, asked, overwrite)
    started = time.monotonic()
    dataset, plan = _phantoms(out / "phantoms", seed, kind, phantoms or {}, say)
    for index, arm in enumerate(arms, start=1):

        def begin(what: str, arm: str = f"{arm} ({index} of {len(arms)})") -> None:
            say(f"{arm}: {what}")

        run = out / "runs" / arm
        if Run(run).finished:
            begin("trained already")
        else:
            _train(dataset, plan, arm, run, asked, tell, begin)
    say("comparing")
    return _conclude(out, arms, asked, time.monotonic() - started)


def _check_arms(arms: Sequence[str]) -> None:
    unknown = [a for a in arms if a not in ARMS]
    if unknown or len(arms) < 2 or len(set(arms)) < len(arms):
        raise HinterlandError(
            f"arms {', '.join(arms) or 'none'}: expected two or more of {', '.join(ARMS)}, the "
            "baseline first, each once."
        )


def _claim(out: Path, asked: dict[str, Any], overwrite: bool) -> None:
    """Make `out` the folder of this demo, or find that it is."""
    record = out / "demo.json"
    content = json.dumps(asked, indent=1)
    if record.is_file():
        known = record.read_text(encoding="utf-8")
        if known == content:
            if not overwrite:
                return
        elif not overwrite:
            raise HinterlandError(
                f"{out} holds a demo with other settings ({_short(json.loads(known))}; asked for "
                f"{_short(asked)}). Choose another --out, or give --overwrite."
            )
        for name in ("phantoms", "runs", "tables"):
            shutil.rmtree(out / name, ignore_errors=True)
        for name in ("report.html", "summary.json"):
            (out / name).unlink(missing_ok=True)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HinterlandError(
            f"{out} is there already and holds no demo; nothing in it is touched. Choose another "
            "--out."
        )
    write_text(record, content)


def _short(asked: dict[str, Any]) -> str:
    return f"seed {asked['seed']}, {asked['kind']}, {asked['steps']} steps"


def _phantoms(
    folder: Path, seed: int, kind: Kind, options: dict[str, Any], say: Callable[[str], None]
) -> tuple[Dataset, Plan]:
    """The data set, made unless it is there, and its plan."""
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.planning.fingerprint import fingerprint
    from hinterland.data.planning.plan import make_plan
    from hinterland.phantoms.dataset import make_phantoms

    if not folder.is_dir():
        say("making phantoms")
        make_phantoms(folder, seed=seed, kind=kind, **options)
    dataset = read_dataset(folder)
    return dataset, make_plan(fingerprint(dataset), classes=len(dataset.labels.tree))


def _train(
    dataset: Dataset,
    plan: Plan,
    arm: str,
    run: Path,
    asked: dict[str, Any],
    report: Report,
    stage: Callable[[str], None],
) -> None:
    from hinterland.methods import make_method
    from hinterland.training.config import make_config
    from hinterland.training.run_training import resume, train

    if (run / "config.yaml").is_file():
        resume(run, report=report, stage=stage)
        return
    shutil.rmtree(run, ignore_errors=True)  # stopped before there was anything to go on with
    method, on = ARMS[arm]
    config = {**asked["settings"], "steps": asked["steps"]}
    train(
        dataset,
        plan,
        make_method(method, dataset.labels, on),
        out=run,
        fold="fixed",
        config=make_config({**config, "seed": asked["seed"]}),
        report=report,
        stage=stage,
    )


def _conclude(
    out: Path, arms: Sequence[str], asked: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Compare the arms; write and return the summary."""
    from hinterland.report.compare import compare
    from hinterland.training.run import Run

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
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _arm(run: Run) -> dict[str, Any]:
    """What one arm reached at the question."""
    summary = run.summary
    figures = {k: v for k, v in summary["metrics"].items() if k.startswith(f"{QUESTION}/")}
    return {
        "run": run.path.name,
        "cases": summary["cases"],
        "seconds_training": summary["seconds_training"],
        "metrics": figures,
    }


def findings(made: Comparison, arms: Sequence[str], kind: Kind) -> list[str]:
    """One sentence for each arm and metric: the difference, and whether it is shown."""
    lines = []
    if kind == "null":
        lines.append("Null phantoms: the support labels say nothing of the image; expect no gain.")
    base = {r.metric: r for r in made.results if r.baseline}
    others = [r for r in made.results if not r.baseline and r.metric in _METRICS]
    for result in others:
        arm = arms[made.methods.index(result.method)]
        lines.append(_sentence(arm, arms[0], result, base[result.metric].mean, made.unit))
    return lines


def _sentence(arm: str, baseline: str, result: Result, base: float, unit: str) -> str:
    low, high = result.difference_low, result.difference_high
    if result.p_holm < 0.05 and (low > 0 or high < 0):
        better = (result.difference > 0) != (result.metric == "hd95")
        verdict = f"{arm} is {'better' if better else 'worse'} on these phantoms"
    else:
        verdict = "no difference is shown"
    distance = result.metric == "hd95"
    digits, tail = (1, f" {unit}") if distance else (3, "")
    name = {"dice": "Dice", "hd95": "HD95", "nsd": "NSD"}[result.metric]
    return (
        f"{result.group} {name}: {arm} {result.mean:.{digits}f}, {baseline} {base:.{digits}f}, "
        f"difference {result.difference:+.{digits}f}{tail} "
        f"(95 % interval {low:+.{digits}f} to {high:+.{digits}f}, Holm-corrected p = "
        f"{result.p_holm:.2g}, {result.n} cases): {verdict}."
    )
