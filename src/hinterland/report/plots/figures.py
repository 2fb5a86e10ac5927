"""The plots of the report, each from a plain table to one inline SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hinterland.report.plots.svg import INK, MUTED, RULE, SERIES, colour, marker, panel


def plot_paired(
    wide: pd.DataFrame, baseline: str, other: str, series: int, title: str, unit: str, key: str
) -> str:
    """Plot every case once: the baseline's value across, the other method's upwards.

    Points above the diagonal gained.

    Args:
        wide: one row a case, one column a method.
        baseline: its column.
        other: the other method's column.
        series: number of the other method, for its colour.
        title: of the figure.
        unit: of the metric.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    both = wide[[baseline, other]].dropna()
    x, y = both[baseline].to_numpy(float), both[other].to_numpy(float)
    with panel() as p:
        low, high = _range(np.concatenate([x, y]))
        p.axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=1)
        titles = [f"{c}: {a:.3f} → {b:.3f}" for c, a, b in zip(both.index, x, y, strict=True)]
        p.points(x, y, titles, series)
        p.axes.set(xlim=(low, high), ylim=(low, high), title=title)
        p.axes.set_aspect("equal", anchor="W")
        p.axes.set_xlabel(_wrap(_with_unit(baseline, unit), 32))
        p.axes.set_ylabel(_wrap(_with_unit(other, unit), 32))
        better, worse = int((y > x).sum()), int((y < x).sum())
        label = (
            f"{title}: {other} against {baseline}, {len(both)} cases; "
            f"{better} higher, {worse} lower, {len(both) - better - worse} equal."
        )
        return p.svg(key, label)


def plot_differences(
    difference: pd.Series, series: int, title: str, axis: str, key: str, lower: bool = False
) -> str:
    """Plot paired differences, one bar a case, sorted.

    Args:
        difference: other - baseline, by case.
        series: number of the other method, for its colour.
        title: of the figure.
        axis: title of the axis.
        key: name of the figure in the page.
        lower: whether smaller values are better.

    Returns:
        SVG.
    """
    values = difference.dropna().sort_values(ascending=lower)[::-1]
    y = values.to_numpy(float)
    with panel() as p:
        good = y < 0 if lower else y > 0
        for chosen, face in ((good, colour(series)), (~good, colour(0))):
            p.axes.bar(np.flatnonzero(chosen), y[chosen], width=0.85, color=face, linewidth=0)
        p.axes.axhline(0, color=INK, linewidth=0.7)
        p.axes.set(title=title, ylabel=_wrap(axis, 32), xlabel=f"{len(y)} cases, sorted")
        p.axes.set_xticks([])
        p.axes.grid(axis="x", visible=False)
        label = f"{title}: {int(good.sum())} of {len(y)} cases gained; {axis}."
        return p.svg(key, label)


def plot_distribution(values: Mapping[str, pd.Series], title: str, axis: str, key: str) -> str:
    """Plot a box and every case as a point, a row a method.

    Args:
        values: method -> series by case.
        title: of the figure.
        axis: title of the axis.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    rng = np.random.default_rng(0)
    names = list(values)
    thin = {"color": MUTED, "linewidth": 0.8}
    with panel(height=0.9 + 0.45 * len(names)) as p:
        for i, column in enumerate(values.values()):
            clean = column.dropna()
            if clean.empty:
                continue
            y = len(names) - 1 - i
            p.axes.boxplot(
                clean.to_numpy(float),
                positions=[y],
                orientation="horizontal",
                widths=0.5,
                showfliers=False,
                medianprops={"color": INK, "linewidth": 1.3},
                boxprops=thin,
                whiskerprops=thin,
                capprops=thin,
            )  # fmt: skip
            titles = [f"{c}: {v:.3f}" for c, v in clean.items()]
            p.points(clean, y + rng.uniform(-0.17, 0.17, len(clean)), titles, i, s=9, alpha=0.55)
            mean = float(clean.mean())
            p.axes.plot(mean, y, marker="D", color=INK, markersize=3.2, zorder=5)
        p.axes.set_yticks(range(len(names)), [_wrap(n) for n in names[::-1]])
        p.axes.set_ylim(-0.6, len(names) - 0.4)
        p.axes.grid(axis="y", visible=False)
        p.axes.set(title=title, xlabel=axis)
        medians = ", ".join(f"{n} {c.median():.3g}" for n, c in values.items())
        return p.svg(key, f"{title}, distribution over cases. Medians: {medians}.")


def plot_volume(
    values: Mapping[str, pd.DataFrame], title: str, axis: str, unit: str, key: str
) -> str:
    """Plot a metric against the reference volume (logarithmic), with a running median a method.

    Args:
        values: method -> table with the columns `volume` and `value`, indexed by case.
        title: of the figure.
        axis: title of the axis.
        unit: of the volume.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    with panel() as p:
        for i, (name, frame) in enumerate(values.items()):
            shown = frame[(frame["volume"] > 0) & frame["value"].notna()].sort_values("volume")
            titles = [
                f"{c}, {name}: {v:.3f} at {s:.3g} {unit}"
                for c, v, s in zip(shown.index, shown["value"], shown["volume"], strict=True)
            ]
            p.points(shown["volume"], shown["value"], titles, i, alpha=0.55)
            window = max(5, len(shown) // 5)
            if len(shown) >= 2 * window:
                smooth = shown["value"].rolling(window, center=True, min_periods=window // 2)
                p.axes.plot(shown["volume"], smooth.median(), color=colour(i), zorder=4)
        p.axes.set_xscale("log")
        p.axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
        p.axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        p.axes.xaxis.set_minor_formatter(NullFormatter())
        p.axes.set(title=title, xlabel=f"reference volume ({unit})", ylabel=axis)
        return p.svg(key, f"{title}: {axis} against reference volume, for {', '.join(values)}.")


def plot_forest(rows: Sequence[Mapping[str, Any]], title: str, axis: str, key: str) -> str:
    """Plot mean paired differences with their intervals against zero, a line per label.

    Methods of one label lie close together.

    Args:
        rows: mappings with `label`, `difference`, `low`, `high`, `series`.
        title: of the figure.
        axis: title of the axis.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    labels = list(dict.fromkeys(r["label"] for r in rows))
    series = sorted({r["series"] for r in rows})
    step = 0.24
    with panel(height=0.8 + len(labels) * (0.16 + 0.14 * len(series))) as p:
        for row in rows:
            place = series.index(row["series"]) - (len(series) - 1) / 2
            y = len(labels) - 1 - labels.index(row["label"]) - step * place
            face = colour(row["series"])
            p.axes.plot([row["low"], row["high"]], [y, y], color=face, linewidth=1.6)
            p.axes.plot(row["difference"], y, marker(row["series"]), color=face, markersize=4.5)
        p.axes.axvline(0, color=INK, linewidth=0.8, zorder=2)
        p.axes.set_yticks(range(len(labels)), [_wrap(n) for n in labels[::-1]])
        p.axes.set_ylim(-0.7, len(labels) - 0.3)
        p.axes.locator_params(axis="x", nbins=5)
        p.axes.grid(axis="y", visible=False)
        p.axes.set(title=title, xlabel=axis)
        texts = "; ".join(
            f"{r['label']}, {r['method']}: {r['difference']:+.3f} "
            f"[{r['low']:+.3f}, {r['high']:+.3f}]"
            for r in rows
        )
        return p.svg(key, f"{title}: {texts}.")


def plot_curves(curves: Mapping[str, Sequence[pd.Series]], title: str, key: str) -> str:
    """Plot one quantity against the training step.

    Dense curves are shown faint, with their running mean on top.

    Args:
        curves: method -> one series a run, by step.
        title: of the figure.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    with panel() as p:
        for i, runs in enumerate(curves.values()):
            for run in runs:
                x, y = _thin(run)
                window = max(1, len(y) // 25)
                dense = len(y) > 60
                if dense:
                    p.axes.plot(x, y, color=colour(i), alpha=0.22, linewidth=0.6)
                    y = pd.Series(y).rolling(window, min_periods=1, center=True).mean().to_numpy()
                point = None if dense else marker(i)
                p.axes.plot(x, y, color=colour(i), marker=point, markersize=2.8)
        p.axes.set(title=title, xlabel="training step")
        ends = ", ".join(f"{n} ends at {r[0].iloc[-1]:.3g}" for n, r in curves.items() if len(r))
        return p.svg(key, f"{title} against the training step; {ends}.")


def plot_layers(layers: Mapping[str, pd.Series], title: str, key: str) -> str:
    """Plot one quantity of several layers against the training step.

    Args:
        layers: layer -> its values, by step.
        title: of the figure.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    with panel(width=5.2, height=3.2) as p:
        for i, (name, values) in enumerate(layers.items()):
            x, y = _thin(values)
            window = max(1, len(y) // 25)
            y = pd.Series(y).rolling(window, min_periods=1, center=True).mean().to_numpy()
            style = "-" if i < len(SERIES) else "--"
            p.axes.plot(x, y, color=colour(i), linestyle=style, label=name)
        p.axes.set(title=title, xlabel="training step")
        p.axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        ends = ", ".join(f"{n} ends at {v.iloc[-1]:.3g}" for n, v in layers.items())
        return p.svg(key, f"{title}, against the training step; {ends}.")


def plot_roc(
    curves: Mapping[str, tuple[int, np.ndarray, np.ndarray, np.ndarray]], title: str, key: str
) -> str:
    """Plot ROC curves, with a point where each method decided.

    Args:
        curves: method -> its number (for its colour), truth and score of each image, and whether
            the method called it positive.
        title: of the figure.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    from sklearn.metrics import roc_curve

    told = []
    with panel() as p:
        p.axes.plot([0, 1], [0, 1], color=RULE, linewidth=0.8)
        for name, (i, truth, score, said) in curves.items():
            x, y, _ = roc_curve(truth, score)
            at = ((said & ~truth).sum() / (~truth).sum(), (said & truth).sum() / truth.sum())
            p.axes.plot(x, y, color=colour(i))
            p.axes.plot(*at, color=colour(i), marker=marker(i), markersize=5, linestyle="")
            told.append(f"{name} decides at recall {at[1]:.2f}, false positive rate {at[0]:.2f}")
        p.axes.set(title=title, xlabel="false positive rate", ylabel="recall",
                   xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))  # fmt: skip
        return p.svg(key, f"{title}; {', '.join(told)}.")


def plot_reliability(curves: Mapping[str, tuple[int, pd.DataFrame]], title: str, key: str) -> str:
    """Plot how often images were positive against how probable that was said to be.

    Args:
        curves: method -> its number (for its colour), and a table of bins with the columns `said`,
            `true` and `count`.
        title: of the figure.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    with panel() as p:
        p.axes.plot([0, 1], [0, 1], color=RULE, linewidth=0.8)
        for i, bins in (found for found in curves.values()):
            sizes = 8 + 60 * bins["count"] / bins["count"].sum()
            p.axes.plot(bins["said"], bins["true"], color=colour(i), linewidth=0.8)
            titles = [f"{count} images" for count in bins["count"]]
            p.points(bins["said"], bins["true"], titles, series=i, s=sizes)
        p.axes.set(title=title, xlabel="probability given", ylabel="share that was positive",
                   xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))  # fmt: skip
        return p.svg(key, f"{title}: {', '.join(curves)}.")


def plot_bars(table: pd.DataFrame, title: str, axis: str, key: str) -> str:
    """Plot grouped horizontal bars.

    Args:
        table: one row a structure, one column a method.
        title: of the figure.
        axis: title of the axis.
        key: name of the figure in the page.

    Returns:
        SVG.
    """
    rows, methods = list(table.index), list(table.columns)
    thick = 0.8 / max(len(methods), 1)
    with panel(height=0.9 + 0.2 * len(rows) * max(len(methods), 1.5)) as p:
        for i, name in enumerate(methods):
            y = [len(rows) - 1 - r + 0.4 - thick * (i + 0.5) for r in range(len(rows))]
            p.axes.barh(y, table[name], height=thick * 0.9, color=colour(i), linewidth=0)
        p.axes.set_yticks(range(len(rows)), [_wrap(str(r)) for r in rows[::-1]])
        p.axes.grid(axis="y", visible=False)
        p.axes.set(title=title, xlabel=axis)
        largest = ", ".join(f"{m}: {table[m].idxmax()} {table[m].max():.3g}" for m in methods)
        return p.svg(key, f"{title}. Largest for {largest}.")


def _range(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or 0.05
    return low - pad, high + pad


def _wrap(text: str, width: int = 20) -> str:
    """Break long names into several lines, at most three."""
    return "\n".join(textwrap.wrap(text, width, max_lines=3, placeholder=" …"))


def _with_unit(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _thin(run: pd.Series, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a long curve to at most `most` points, each the mean of its neighbours."""
    x, y = run.index.to_numpy(float), run.to_numpy(float)
    if len(x) <= most:
        return x, y
    parts = np.array_split(np.arange(len(x)), most)
    return np.array([x[i].mean() for i in parts]), np.array([np.nanmean(y[i]) for i in parts])
