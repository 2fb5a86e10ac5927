"""Which plots the report shows, and from which columns."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hinterland.evaluation.metrics.registry import METRICS
from hinterland.report.plots.figures import (
    plot_curves,
    plot_differences,
    plot_distribution,
    plot_forest,
    plot_layers,
    plot_paired,
    plot_volume,
)
from hinterland.report.results import Result, wide
from hinterland.report.runs import Arm

_MOST = 12  # panels of one kind before they are no longer looked at


def paired_plots(
    table: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], unit: str
) -> list[str]:
    """Plot, by metric, class and method, the scatter against the baseline and the differences.

    Args:
        table: metric tables of all methods.
        methods: the baseline first.
        metrics: their names.
        unit: of distances.

    Returns:
        SVGs.
    """
    figures: list[str] = []
    for metric in metrics:
        s = METRICS.get(metric)
        for group in _groups(table):
            values = wide(table, group, metric)
            for i, other in enumerate(methods[1:], start=1):
                key = f"paired-{metric}-{len(figures)}"
                title = f"{group} · {s.label}"
                figures.append(
                    plot_paired(values, methods[0], other, i, title, s.shown_unit(unit), key)
                )
                difference = values[other] - values[methods[0]]
                axis = f"{other} − {methods[0]}" + _bracket(s.shown_unit(unit))
                figures.append(
                    plot_differences(
                        difference, i, title, axis, f"{key}-d", lower=s.direction == "lower"
                    )
                )
    return figures[: 2 * _MOST]


def distribution_plots(
    table: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], unit: str
) -> list[str]:
    """Plot one panel a class and metric, with a row a method.

    Args:
        table: metric tables of all methods.
        methods: their names.
        metrics: their names.
        unit: of distances.

    Returns:
        SVGs.
    """
    figures: list[str] = []
    for group in _groups(table):
        for metric in metrics:
            values = wide(table, group, metric)
            if values.notna().any(axis=None):
                title = f"{group} · {METRICS.get(metric).label}"
                series = {m: values[m] for m in methods if m in values}
                key = f"distribution-{len(figures)}"
                figures.append(
                    plot_distribution(series, title, METRICS.get(metric).axis(unit), key)
                )
    return figures[: 2 * _MOST]


def volume_plots(table: pd.DataFrame, methods: Sequence[str], metric: str = "dice") -> list[str]:
    """Plot, by class, the metric against the reference's volume; [] without volumes.

    Args:
        table: metric tables of all methods.
        methods: their names.
        metric: its name.

    Returns:
        SVGs.
    """
    column, unit = "reference_ml", "mL"
    if column not in table or table[column].isna().all():
        column, unit = "reference_voxels", "voxels"
    if column not in table or metric not in table:
        return []
    figures: list[str] = []
    for group in _groups(table):
        values, volumes = wide(table, group, metric), wide(table, group, column)
        frames = {
            m: pd.DataFrame({"value": values[m], "volume": volumes[m]})
            for m in methods
            if m in values
        }
        if any((f["volume"] > 0).any() for f in frames.values()):
            key = f"volume-{len(figures)}"
            label = METRICS.get(metric).label
            figures.append(plot_volume(frames, group, label, unit, key))
    return figures[:_MOST]


def forest_plot(results: Sequence[Result], methods: Sequence[str], metric: str) -> list[str]:
    """Plot differences in one metric, class by class; [] for a single one.

    Args:
        results: those of all classes and metrics.
        methods: the baseline first.
        metric: its name.

    Returns:
        One SVG, or none.
    """
    rows = [
        {
            "label": r.group,
            "method": r.method,
            "difference": r.difference,
            "low": r.difference_low,
            "high": r.difference_high,
            "series": methods.index(r.method),
        }
        for r in results
        if r.metric == metric and not r.baseline and pd.notna(r.difference_low)
    ]
    if len(rows) < 2:
        return []
    label = METRICS.get(metric).label
    axis = f"mean paired difference to {methods[0]}, 95 % interval"
    return [plot_forest(rows, label, axis, "forest")]


def curve_plots(arms: Sequence[Arm]) -> list[str]:
    """Plot loss terms and validation metrics against the step, from the runs' logs.

    log.csv is tidy: phase, step, key, value. Terms that only one method logs get panels too, the
    total first. Steps of later phases go on where the phase before ended. Terms of layers have
    panels of their own; see `layer_plots`.
    """
    logs = _logs(arms)
    keys = dict.fromkeys(
        k for runs in logs.values() for f in runs for k in f["key"].unique() if not _of_layer(k)
    )
    by_class = [k for k in keys if k.startswith("val/dice/")]
    if len(by_class) == 1 and "val/dice" in keys:
        keys.pop(by_class[0])  # one class: the mean says the same
    figures: list[str] = []
    for key in sorted(keys, key=_rank)[:_MOST]:
        curves = {}
        for name, runs in logs.items():
            found = [f[f["key"] == key].groupby("step")["value"].mean() for f in runs]
            # an empty entry keeps the method's colour
            curves[name] = [c.dropna() for c in found if c.notna().any()]
        if any(len(c) > 1 for runs in curves.values() for c in runs):
            figures.append(plot_curves(curves, _key_title(key), f"curve-{len(figures)}"))
    return figures


def layer_plots(arms: Sequence[Arm]) -> list[str]:
    """Plot terms that are logged for each layer (L_fd, its learned weights): a line a layer.

    One panel a term and method, the first run's: "train/fd.encoder.0" is the term "fd" of the layer
    "encoder.0".
    """
    figures: list[str] = []
    for name, runs in _logs(arms).items():
        if not runs:
            continue
        log = runs[0]
        terms: dict[str, dict[str, pd.Series]] = {}
        for key in log["key"].unique():
            if _of_layer(key):
                term, layer = key.removeprefix("train/").split(".", 1)
                values = log[log["key"] == key].groupby("step")["value"].mean().dropna()
                if len(values) > 1:
                    terms.setdefault(term, {})[layer] = values
        for term, layers in terms.items():
            title = f"{_TERMS.get(term, term)} by layer: {name}"
            figures.append(plot_layers(layers, title, f"layers-{len(figures)}"))
    return figures[:_MOST]


def _logs(arms: Sequence[Arm]) -> dict[str, list[pd.DataFrame]]:
    """Return the logs of each method's runs, those that hold anything."""
    found = {a.name: [_continuous(r.log) for r in a.runs if r.log is not None] for a in arms}
    return {name: [frame for frame in runs if not frame.empty] for name, runs in found.items()}


def _of_layer(key: str) -> bool:
    """Tell a term of one layer, TERM.LAYER, from the others."""
    return key.startswith("train/") and "." in key


def _continuous(log: pd.DataFrame) -> pd.DataFrame:
    """Renumber the log so that steps run on over phases (where they start anew in each)."""
    if not {"step", "key", "value"} <= set(log.columns):
        return pd.DataFrame(columns=["step", "key", "value"])
    log = log.assign(value=pd.to_numeric(log["value"], errors="coerce"))
    if "phase" not in log:
        return log
    parts, offset, last = [], 0, -1
    for _, part in log.groupby("phase", sort=False):
        offset = last + 1 if part["step"].min() <= last else 0
        parts.append(part.assign(step=part["step"] + offset))
        last = int(parts[-1]["step"].max())
    return pd.concat(parts) if parts else log


_TERMS = {"fd": "L_fd", "lambda": "Learned weight of L_fd"}
_TITLES = {
    "train/loss": "Training loss",
    "val/dice": "Validation Dice",
    "val/confidence": "Validation, mean confidence on foreground",
    "val/entropy": "Validation, mean entropy on foreground",
    "train/lr": "Learning rate",
}


def _rank(key: str) -> tuple[int, str]:
    """Sort loss and validation Dice first, then validation by class, loss terms, learning rate."""
    first = ("train/loss", "loss", "val/dice")
    if key in first:
        return first.index(key), key
    if key.startswith("val"):
        return 4, key
    return (6 if key.endswith("lr") else 5), key


def _key_title(key: str) -> str:
    if key in _TITLES:
        return _TITLES[key]
    if key.startswith("val/dice/"):
        return f"Validation Dice, {key.removeprefix('val/dice/')}"
    return f"Loss term {key.removeprefix('train/')}" if key.startswith("train/") else key


def _groups(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table["class"].astype(str)))


def _bracket(unit: str) -> str:
    return f" ({unit})" if unit else ""
