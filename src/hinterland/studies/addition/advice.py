"""Will adding a data set help on another one? From grey levels and a few short probe runs.

Nothing of base's test split is looked at: probes are tested on base training cases held out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hinterland.data.dataset.splits import k_fold
from hinterland.data.derived.dataset import pool, write_derived
from hinterland.data.io.files import write_text
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.evaluation.statistics.bootstrap import percentile_interval
from hinterland.studies.addition.grey_levels import Histograms, divergences, grey_levels
from hinterland.studies.claim import claim
from hinterland.studies.runner import Report, steps_of, target_scores, train_all
from hinterland.studies.runner import write_table as save_table
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.types import Case, Dataset, HinterlandError

log = logging.getLogger(__name__)
ARMS = ("base", "base+novel")
SURE = 0.9
"""Above this probability of a gain it likely helps, below 1 - SURE it likely hurts."""
RESAMPLES = 4000
HALVES = 20


@dataclass(frozen=True)
class Probe:
    """Settings of the probes: how many (each holds out other base cases), and how each is trained.

    Attributes:
        added: novel training cases, None for all.
        steps: of a probe on base alone; with novel cases in proportion to all cases.
        settings: of `TrainConfig`, nested.
        fixed_steps: give both probes of a pair the same steps.
    """

    probes: int = 3
    steps: int = 500
    added: int | None = None
    size: tuple[int, int] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    dims: Literal[2, 3] | None = None
    memory: float = 8.0
    fixed_steps: bool = False


def advise_addition(
    base: Dataset,
    novel: Dataset,
    asked: Probe,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Measure, probe, and say whether the novel data is likely to help, and how unsure that is.

    Writes probes.csv (probe, arm, case, dice) and advice.json into `out`. Called again after an
    interruption it goes on where it was.

    Args:
        base: the data set that counts.
        novel: the one that may be added.
        asked: settings of the probe.
        out: the folder to write into.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        overwrite: replace another probe that is there.

    Returns:
        What advice.json holds.

    Raises:
        HinterlandError: base has fewer labelled groups than probes + 1.
    """
    out, say = Path(out), stage or log.info
    where = {"base": str(base.root.resolve()), "novel": str(novel.root.resolve())}
    claim(out, "addition-advice", {**asdict(asked), **where}, overwrite)
    say("pooling the data sets")
    members, spec = pool(base, novel)
    training = [replace(m, split="train") for m in members if m.case.split in ("train", "val")]
    if not any(m.domain == "novel" for m in training):
        raise HinterlandError(f"{novel.root} has no labelled training case to add.")
    data = write_derived(
        out / "data", training, spec, base.channels, size=asked.size,
        progress=(lambda n, of: report(n, of, "")) if report else None,
    )  # fmt: skip
    own = [c for c in data.cases if c.domain == "base"]
    new = [c for c in data.cases if c.domain == "novel"][: asked.added]
    say("measuring grey levels")
    found = grey_levels([*own, *new], data.labels)
    table = _probe(data, own, new, asked, out, report, stage)
    save_table(table, out / "probes.csv")
    gain = estimate(table)
    distances = {
        "base_novel": divergences(found, range(len(own)), range(len(own), len(own) + len(new))),
        "base_halves": halves(found, len(own)),
    }
    advice = {
        **asdict(asked), **where, "base_cases": len(own), "novel_cases": len(new), **gain,
        "verdict": verdict(gain["probability"]), "divergences": distances,
    }  # fmt: skip
    advice["reasons"] = reasons(advice)
    write_text(out / "advice.json", json.dumps(advice, indent=2) + "\n")
    return advice


def _probe(
    data: Dataset, own: Sequence[Case], new: Sequence[Case], asked: Probe, out: Path,
    report: Report | None, stage: Callable[[str], None] | None,
) -> pd.DataFrame:  # fmt: skip
    """Return the Dice of every held-out base case, by probe and arm."""
    import pandas as pd

    plan = plan_dataset(data, PlanOptions(asked.dims, asked.memory))
    requests = {}
    for probe, (kept, held) in enumerate(k_fold(own, max(asked.probes, 2), seed=0)):
        if probe == asked.probes:
            break
        selecting = {c.name for c in kept if c.group == kept[0].group}
        testing = {c.name for c in held}
        split = data.replace(cases=tuple(_placed(c, testing, selecting) for c in data.cases))
        trained = [c.name for c in kept if c.name not in selecting]
        for arm, names in zip(ARMS, (trained, [*trained, *(c.name for c in new)]), strict=True):
            file = out / "probes" / f"{arm}-{probe}.txt"
            write_text(file, "\n".join(names) + "\n")
            added = len(names) - len(trained)
            steps = steps_of(asked.steps, len(trained), added, asked.fixed_steps)
            chosen = {
                "validation": {"mirror": False, "interval": steps},
                **asked.settings, "steps": steps, "seed": probe,
            }  # fmt: skip
            requests[probe, arm] = RunRequest(
                split,
                fold="fixed",
                labelled=str(file.resolve()),
                plan=plan,
                config=make_config(chosen),
            )
    question = next(iter(data.labels.questions))
    named = {f"{arm}-{probe}": request for (probe, arm), request in requests.items()}
    runs = train_all(out / "runs", named, report, stage)
    parts = {
        key: target_scores(run.path / "metrics.csv", question)["dice"]
        for key, run in zip(requests, runs, strict=True)
    }
    table = pd.concat(parts, names=["probe", "arm"]).reset_index()
    return table[["probe", "arm", "group", "case", "dice"]]


def _placed(case: Case, testing: set[str], selecting: set[str]) -> Case:
    part = "test" if case.name in testing else "val" if case.name in selecting else "train"
    return replace(case, split=part)


def estimate(table: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """Return the mean gain of Dice on base, its 95 % interval, and the probability that it is > 0.

    Resamples probes, and in each the held-out groups: both the luck of a training and the choice of
    cases count. With one probe the former is unknown and left out.
    """
    wide = table.pivot_table(index=["probe", "group", "case"], columns="arm", values="dice")
    gain = (wide[ARMS[1]] - wide[ARMS[0]]).dropna().groupby(["probe", "group"]).mean()
    probes = [part.to_numpy() for _, part in gain.groupby("probe")]
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = [probes[j] for j in rng.integers(len(probes), size=len(probes))]
        means[i] = np.mean([rng.choice(part, len(part)).mean() for part in drawn])
    groups = gain.index.get_level_values("group").nunique()
    low, high = (float(side[0]) for side in percentile_interval(means[:, None], groups))
    above = float((means > 0).mean() + (means == 0).mean() / 2)
    by_arm = table.groupby("arm")["dice"].mean()
    return {
        "dice_base": float(by_arm[ARMS[0]]), "dice_added": float(by_arm[ARMS[1]]),
        "gain": float(np.mean([part.mean() for part in probes])),
        "low": low, "high": high, "probability": above,
    }  # fmt: skip


def halves(found: Histograms, cases: int, seed: int = 0) -> dict[str, float]:
    """Return mean divergences between random halves of the first `cases` cases, over some draws.

    What the divergence of one data set from itself is, for so few cases.

    Args:
        found: grey levels of each case.
        cases: how many of them count.
        seed: of the draws.

    Returns:
        Divergence -> mean.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(HALVES):
        order = rng.permutation(cases)
        drawn.append(divergences(found, order[: cases // 2].tolist(),
                                 order[cases // 2 :].tolist()))  # fmt: skip
    return {key: float(np.mean([d[key] for d in drawn])) for key in drawn[0]}


def verdict(probability: float) -> str:
    """Say in words what the estimate means."""
    if probability >= SURE:
        return "likely to help"
    return "likely to hurt" if probability <= 1 - SURE else "undecided"


def reasons(advice: Mapping[str, Any]) -> list[str]:
    """List what the advice rests on, a sentence each."""
    apart, same = advice["divergences"]["base_novel"], advice["divergences"]["base_halves"]
    lines = [
        f"Probes: {advice['gain']:+.3f} Dice on held-out base cases with {advice['novel_cases']} "
        f"novel cases added (95 % interval {advice['low']:+.3f} to {advice['high']:+.3f}; the gain "
        f"is positive with probability {advice['probability']:.2f}).",
        "Grey levels, JS distance of base from novel (in brackets: of random halves of base): "
        + ", ".join(
            f"{region} {apart[f'js_{region}']:.2f} ({same[f'js_{region}']:.2f})"
            for region in ("foreground", "background", "image")
        )
        + ".",
        f"Rests on {advice['probes']} probe(s) of {advice['steps']} steps: longer training can "
        "shift the gain, and grey levels alone decide nothing.",
    ]
    if apart["js_foreground"] < 2 * same["js_foreground"]:
        lines.append("The foreground looks no more different than halves of base do.")
    return lines
