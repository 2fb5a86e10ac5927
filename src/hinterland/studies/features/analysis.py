"""Do cases that segment badly have foreground and background close together in feature space?

Paper 2, figures 1, 2, 4 and 8, and Lemma 2: Dice against L_fd for each case and layer, learned
layer weights, what the loss has moved, worst-off and best-off cases, activation maps and spectral
norms without and with the loss.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hinterland.methods.regularisers.discrepancy import FeatureDiscrepancy
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.studies.features.figures import draw_activations, draw_scatter
from hinterland.studies.features.probe import FeatureProbe, tiles_of
from hinterland.studies.features.shifts import draw_layers, draw_shifts, shifts
from hinterland.studies.features.weights import draw_norms, norm_ratio, norm_table
from hinterland.studies.runner import target_scores, write_summary, write_table
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.runs.context import build_context
from hinterland.training.runs.outcome import evaluated_cases
from hinterland.training.runs.run import Run
from hinterland.types import Case, HinterlandError

log = logging.getLogger(__name__)
WORST = 0.25
SHOWN = ("bottleneck", "decoder.0")


def case_discrepancies(
    run: Run, cases: Sequence[Case], tick: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Tabulate L_fd of each case and layer, the mean over its tiles: columns case, layer, fd.

    Args:
        run: a finished run.
        cases: labelled cases.
        tick: called with (done, of how many).

    Returns:
        The table.
    """
    probe = FeatureProbe.at(run)
    rows = []
    for done, case in enumerate(cases, start=1):
        found: dict[str, list[float]] = {}
        for image, known in tiles_of(run, case):
            for layer, value in probe.discrepancies(image, known).items():
                found.setdefault(layer, []).append(value)
        rows += [(case.name, layer, float(np.mean(values))) for layer, values in found.items()]
        if tick:
            tick(done, len(cases))
    return pd.DataFrame(rows, columns=["case", "layer", "fd"])


def layer_weights(run: Run) -> dict[str, float]:
    """Read the learned w_l of L_fd in the reported checkpoint; {} without that loss."""
    asked = run.record.train.regularisers
    if "discrepancy" not in asked:
        return {}
    built = build_regularisers(asked, build_context(run.record), run.method)
    content = load_checkpoint(run.path / "checkpoints" / f"{run.reported}.ckpt")
    built.load_state_dict(content["regularisers"])
    loss = built["discrepancy"]
    assert isinstance(loss, FeatureDiscrepancy)
    return dict(zip(loss.layers, loss.layer_weights().tolist(), strict=True))


def groups_by(dice: pd.Series, threshold: float | None = None) -> dict[str, list[str]]:
    """Group cases by Dice into worst-off and best-off.

    Worst-off: the cases below `threshold`, or the lowest quarter; best-off: equally many with the
    highest. The two never share a case.
    """
    order = dice.sort_values(kind="stable")
    count = int((order < threshold).sum()) if threshold is not None else round(WORST * len(order))
    count = min(count, len(order) // 2)
    names = [str(name) for name in order.index]
    return {"worst-off": names[:count], "best-off": names[len(names) - count :]}


def correlations(table: pd.DataFrame, weights: dict[str, float]) -> pd.DataFrame:
    """Correlate L_fd and Dice, a row for each layer.

    Args:
        table: one row a case and layer: layer, fd, dice, and fd_without where that is known.
        weights: layer -> learned weight.

    Returns:
        The columns layer, n, mean_fd, mean_fd_without (if known), Pearson's and Spearman's r and p,
        weight.
    """
    rows = []
    for layer, part in table.groupby("layer", sort=False):
        row: dict[str, Any] = {"layer": layer, "n": len(part), "mean_fd": part["fd"].mean()}
        if "fd_without" in part:
            row["mean_fd_without"] = part["fd_without"].mean()
        varied = len(part) > 2 and part["fd"].std() > 0 and part["dice"].std() > 0
        for name, test in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
            result = test(part["fd"], part["dice"]) if varied else (np.nan, np.nan)
            row[name], row[f"{name}_p"] = float(result[0]), float(result[1])
        rows.append({**row, "weight": weights.get(str(layer), np.nan)})
    return pd.DataFrame(rows)


def analyse_features(
    run: Run,
    out: Path,
    *,
    without: Run | None = None,
    threshold: float | None = None,
    maps: int = 4,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Look into a finished run, and beside it into one that was trained `without` the loss.

    Groups are formed by the Dice of `without`, or of the run itself. Writes features.csv (case,
    layer, fd, dice, group, and fd and dice without the loss), layers.csv, norms.csv, features.png,
    layers.png, norms.png, activations.png of `maps` worst-off cases, summary.json; with `without`
    shifts.csv and shifts.png, too.

    Args:
        run: a finished run.
        out: the folder to write into.
        without: a run that was trained without the loss.
        threshold: Dice below which a case is worst-off.
        maps: worst-off cases that are drawn.
        overwrite: write into a folder that is not empty.
        tick: called with (done, of how many).

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: no labelled test cases, a network without feature maps, `out` not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise HinterlandError(f"{out} is not empty. Give --overwrite, or another --out.")
    cases, split = evaluated_cases(run, run.dataset)
    if not cases:
        raise HinterlandError(f"{run.path} has no labelled cases to look at ({split}).")
    question = next(iter(run.record.spec.questions))
    dice = _dice(run, question)
    reference = dice if without is None else _dice(without, question)
    groups = groups_by(reference, threshold)
    table = case_discrepancies(run, cases, tick)
    table["dice"] = table["case"].map(dice)
    group_of = {name: group for group, names in groups.items() for name in names}
    table["group"] = table["case"].map(group_of).fillna("")
    if without is not None:
        other = case_discrepancies(without, cases, tick).rename(columns={"fd": "fd_without"})
        table = table.merge(other, on=["case", "layer"], how="left")
        table["dice_without"] = table["case"].map(reference)
    weights = layer_weights(run)
    layers = correlations(table.dropna(subset=["dice"]), weights)
    out.mkdir(parents=True, exist_ok=True)
    write_table(table, out / "features.csv")
    write_table(layers, out / "layers.csv")
    draw_scatter(table, out / "features.png")
    draw_layers(layers, out / "layers.png")
    moved = None
    if without is not None:
        moved = shifts(table)
        write_table(moved, out / "shifts.csv")
        draw_shifts(table, SHOWN, out / "shifts.png")
    other_network = None if without is None else FeatureProbe.at(without).network
    norms = norm_table(FeatureProbe.at(run).network, other_network)
    write_table(norms, out / "norms.csv")
    draw_norms(norms, out / "norms.png")
    chosen = [c for name in groups["worst-off"][:maps] for c in cases if c.name == name]
    if chosen:
        draw_activations(run, without, chosen, SHOWN, out / "activations.png")
    summary = {
        "run": str(run.path), "without": str(without.path) if without else None, "split": split,
        "cases": len(cases), "layers": json.loads(layers.to_json(orient="records")),
        "groups": {g: _group(names, dice, reference) for g, names in groups.items()},
        "all": _group([c.name for c in cases], dice, reference), "out": str(out),
        "shifts": [] if moved is None else json.loads(moved.to_json(orient="records")),
        "norm_ratio": norm_ratio(norms),
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def _dice(run: Run, question: str) -> pd.Series:
    if not (run.path / "metrics.csv").is_file():
        raise HinterlandError(f"{run.path} is not finished. Go on with: hinterland resume")
    scores = target_scores(run.path / "metrics.csv", question)["dice"]
    return scores.reset_index("group", drop=True)


def _group(names: Sequence[str], dice: pd.Series, reference: pd.Series) -> dict[str, Any]:
    known = [n for n in names if n in dice.index and n in reference.index]
    mean, before = (float(s[known].mean()) if known else None for s in (dice, reference))
    return {"cases": len(known), "dice": mean, "dice_reference": before}
