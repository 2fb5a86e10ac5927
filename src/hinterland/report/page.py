"""The report: one self-contained HTML page from arms, results, exhibits and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import METRICS, better, metrics_shown
from hinterland.report.breakdown import Breakdown
from hinterland.report.format import (
    effect,
    interval,
    number,
    p_value,
    signed,
)
from hinterland.report.gallery.gallery import REFERENCE, Exhibit
from hinterland.report.image_level import ImageAnswers, image_level
from hinterland.report.plots.figures import plot_bars
from hinterland.report.plots.plots import (
    curve_plots,
    distribution_plots,
    forest_plot,
    layer_plots,
    paired_plots,
    volume_plots,
)
from hinterland.report.protocol.box import protocol_box
from hinterland.report.protocol.checks import Finding
from hinterland.report.ranking import Ranking
from hinterland.report.results import Result
from hinterland.report.runs import Arm
from hinterland.report.supports import StructurePictures
from hinterland.report.viewer.page import render_page, viewer_context
from hinterland.report.viewer.scene import Scene

SIGNIFICANT = 0.05
_SECTIONS = (
    ("gallery", "Wins and losses"),
    ("volumes", "In 3D"),
    ("supports", "Structures"),
    ("results", "Results"),
    ("ranking", "Who wins"),
    ("cases", "Case by case"),
    ("distributions", "Distributions"),
    ("volume", "Dice against volume"),
    ("groups", "Groups of cases"),
    ("lesions", "Lesions by size"),
    ("false-positives", "False positives"),
    ("subclasses", "Subclasses"),
    ("images", "Image by image"),
    ("training", "Training"),
    ("protocol", "Protocol"),
)


@dataclass(frozen=True)
class Content:
    """All that a report is made of; what is missing leaves its section out with a sentence.

    `structures`: class -> table of false-positive volume, a row a structure, a column a method.
    `groups`, `lesions`, `cases_without`: results by subgroup, by lesion size, and on cases without
    the class. `confusion`: superclass -> shares, a row a (method, subclass), a column what it was
    taken for.
    `images`: what masks and classifiers say of whole images.
    `scenes`: cases for the 3D viewer, whose volumes may take `viewer_budget` bytes.
    `supports`: Dice of the structures beside the target; `labelled`: slices with all labels.
    `ranking`: the `rankings` as tables. `absent`: section -> why it has nothing to show.
    """

    title: str
    arms: tuple[Arm, ...]
    question: str
    metrics: tuple[str, ...]
    results: tuple[Result, ...]
    findings: tuple[Finding, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    scenes: tuple[Scene, ...] = ()
    viewer_budget: int = 0
    supports: tuple[Breakdown, ...] = ()
    labelled: tuple[StructurePictures, ...] = ()
    structures: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    confusion: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    groups: tuple[Breakdown, ...] = ()
    groups_text: str = ""
    lesions: tuple[Breakdown, ...] = ()
    ranking: tuple[Breakdown, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    cases_without: tuple[Breakdown, ...] = ()
    images: tuple[ImageAnswers, ...] = ()
    seeds: pd.DataFrame | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    unit: str = "mm"
    structures_unit: str = "mL"

    @property
    def methods(self) -> list[str]:
        """Names of the arms, baseline first."""
        return [arm.name for arm in self.arms]

    @property
    def table(self) -> pd.DataFrame:
        """All rows of all arms."""
        return pd.concat([arm.table for arm in self.arms], ignore_index=True)


def render(content: Content) -> str:
    """Write the page as text; it refers to nothing outside of itself."""
    return render_page("report.html", **_context(content))


def _context(content: Content) -> dict[str, Any]:
    from markupsafe import Markup

    def inline(figures: Sequence[str]) -> list[Markup]:
        return [Markup(svg) for svg in figures]

    table, methods, unit = content.table, content.methods, content.unit
    headline = [m for m in metrics_shown(Shown.HEADLINE) if m in content.metrics] or list(
        content.metrics[:3]
    )
    others = [m for m in content.metrics if m not in headline]
    first = [m for m in headline if m == "dice"] or headline[:1]
    bars = [
        plot_bars(frame, name, f"false positives ({content.structures_unit} per case)", f"fp-{i}")
        for i, (name, frame) in enumerate(content.structures.items())
    ]
    optional = {
        "subclasses": content.confusion, "groups": content.groups, "lesions": content.lesions,
        "ranking": content.ranking, "volumes": content.scenes, "images": content.images,
        "supports": content.supports,
    }  # fmt: skip
    return {
        "title": content.title,
        "lede": _lede(content),
        "baseline": methods[0],
        "methods": [{"name": m} for m in methods],
        "sections": [
            {"id": i, "title": t} for i, t in _SECTIONS if i not in optional or optional[i]
        ],
        "cards": _cards(content, headline),
        "findings": content.findings,
        "headline": _groups(content, headline),
        "other_results": _groups(content, others),
        "results_caption": f"Mean over cases, and paired differences to {methods[0]}.",
        "results_notes": _notes(),
        "forest": inline(forest_plot(content.results, methods, first[0])),
        "seeds": _seeds(content.seeds),
        "paired": inline(paired_plots(table, methods, first, unit)),
        "paired_more": inline(paired_plots(table, methods, headline[1:], unit)),
        "distributions": inline(distribution_plots(table, methods, headline, unit)),
        "volumes": inline(volume_plots(table, methods)),
        "exhibits": _exhibits(content),
        "viewer": viewer_context(content.scenes, content.viewer_budget) if content.scenes else None,
        "structures": inline(bars),
        **{k: [_breakdown(b, methods) for b in getattr(content, k)]
           for k in ("ranking", "groups", "lesions", "cases_without", "supports")},
        "labelled": content.labelled,
        "groups_text": content.groups_text,
        "confusion": _confusion(content),
        "images": [{**shown, "figures": inline(shown["figures"])}
                   for shown in image_level(content.images, methods)],
        "curves": inline(curve_plots(content.arms)),
        "layers": inline(layer_plots(content.arms)),
        "protocol": protocol_box([p for arm in content.arms for p in arm.protocols]),
        "absent": {"volume": "The tables hold no reference volumes.",
                   "curves": "The runs hold no log.csv with curves."} | dict(content.absent),
    }  # fmt: skip


def _lede(content: Content) -> str:
    protocols = [p for arm in content.arms for p in arm.protocols]
    cases = {c for p in protocols for c in p.evaluated}
    patients = {p.group(c) for p in protocols for c in p.evaluated}
    seeds = {p.seed for p in protocols if p.seed is not None}
    parts = [f"{len(cases)} cases"]
    if len(patients) != len(cases):
        parts[0] += f" of {len(patients)} patients"
    if seeds:
        parts.append(f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}")
    if content.question:
        named = ", ".join(dict.fromkeys(content.table["class"].astype(str)))
        asked = content.question
        parts.append(f"question: {asked}" + ("" if named in asked else f" ({named})"))
    policies = sorted({p.empty for p in protocols if p.empty})
    if policies:
        parts.append(f"empty masks: {', '.join(policies)}")
    return "; ".join(parts) + "."


def _notes() -> list[str]:
    return [
        "Intervals: 95 % bootstrap over patients, 10,000 resamples. p: two-sided paired Wilcoxon "
        "signed-rank test over patients, Holm-corrected over the metrics and classes of each "
        "comparison (means over classes among themselves). Effect: matched-pairs rank-biserial "
        "correlation, −1 to +1. n: pairs of cases (patients in brackets where they are fewer).",
    ]


def _cards(content: Content, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Show the differences in the first metric, the mean over classes first; six at most.

    Where these are few, the other metrics follow.
    """
    methods = content.methods
    rows = [r for r in content.results if not r.baseline]
    chosen = [r for r in rows if r.metric == metrics[0]]
    if len(chosen) < 3:
        chosen += [r for m in metrics[1:] for r in rows if r.metric == m]
    cards = []
    for r in chosen[:6]:
        span = interval(r.difference_low, r.difference_high, r.metric, sign=True)
        unit = METRICS.get(r.metric).shown_unit(content.unit)
        cards.append(
            {
                "series": methods.index(r.method),
                "what": f"{METRICS.get(r.metric).label}, {r.group}: {r.method} − {methods[0]}",
                "big": f"{signed(r.difference, r.metric)} {unit}".strip(),
                "direction": _direction(r.difference, r.metric) if _significant(r) else "",
                "rest": f"{span}, p {_equals(p_value(r.p_holm))}, n = {_count(r)}",
            }
        )
    return cards


def _groups(content: Content, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Group the rows of the table by class and metric."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    methods = content.methods
    for metric in metrics:
        for r in content.results:
            if r.metric == metric:
                groups.setdefault((r.group, metric), []).append(_row(r, methods))
    order = list(dict.fromkeys(r.group for r in content.results))
    keys = sorted(groups, key=lambda k: order.index(k[0]))
    titles = {k: f"{k[0]} · {METRICS.get(k[1]).axis(content.unit)}" for k in keys}
    return [{"title": titles[k], "rows": groups[k]} for k in keys]


def _row(r: Result, methods: Sequence[str]) -> dict[str, Any]:
    return {
        "method": r.name,
        "series": methods.index(r.method),
        "baseline": r.baseline,
        "mean": number(r.mean, r.metric),
        "mean_interval": interval(r.low, r.high, r.metric),
        "difference": signed(r.difference, r.metric),
        "interval": interval(r.difference_low, r.difference_high, r.metric, sign=True),
        "p": p_value(r.p_holm),
        "effect": effect(r.effect),
        "n": _count(r),
        "significant": _significant(r),
        "direction": _direction(r.difference, r.metric) if _significant(r) else "",
    }


def _count(r: Result) -> str:
    return str(r.n) if r.patients == r.n else f"{r.n} ({r.patients})"


def _significant(r: Result) -> bool:
    return r.p_holm < SIGNIFICANT


def _direction(difference: float, metric: str) -> str:
    return {True: "better", False: "worse", None: ""}[better(metric, difference)]


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def _seeds(seeds: pd.DataFrame | None) -> list[dict[str, Any]]:
    if seeds is None:
        return []
    return [
        {
            "label": f"{row['class']} · {METRICS.get(row['metric']).label} · {row['method']}",
            "mean": number(row["mean"], row["metric"]),
            "sd": number(row["std_seeds"], row["metric"]),
            "seeds": row["seeds"],
            **_over_runs(row),
        }
        for row in seeds.to_dict("records")
    ]


def _over_runs(row: Mapping[Any, Any]) -> dict[str, str]:
    """Show the difference to the baseline's runs; empty for the baseline itself."""
    if pd.isna(row.get("difference")):
        return {"difference": "", "p_runs": ""}
    span = interval(row["low"], row["high"], row["metric"], sign=True)
    return {
        "difference": f"{signed(row['difference'], row['metric'])} {span}",
        "p_runs": p_value(row["p"]),
    }


def _breakdown(table: Breakdown, methods: Sequence[str]) -> dict[str, Any]:
    rows = [{"method": m, "series": methods.index(m), "cells": cells} for m, cells in table.rows]
    return {"title": table.title, "columns": table.columns, "rows": rows}


def _confusion(content: Content) -> list[dict[str, Any]]:
    """Make tables of shares in per cent, a row a subclass and method."""
    tables = []
    for node, matrix in content.confusion.items():
        columns = [str(c) for c in matrix.columns]
        rows = []
        for (method, reference), values in zip(matrix.index, matrix.to_numpy(), strict=True):
            shares = [
                {"text": "n/a" if pd.isna(v) else f"{100 * v:.1f}", "own": c == reference}
                for c, v in zip(columns, values, strict=True)
            ]
            series = content.methods.index(method)
            row = {"method": method, "series": series, "reference": reference, "shares": shares}
            rows.append(row)
        rows.sort(key=lambda row: columns.index(str(row["reference"])))
        tables.append({"title": node, "columns": columns, "rows": rows})
    return tables


def _exhibits(content: Content) -> list[dict[str, Any]]:
    titles = {"win": "Wins", "loss": "Losses"}
    shown = []
    for kind, title in titles.items():
        items = [_exhibit(e, content.methods) for e in content.exhibits if e.choice.kind == kind]
        if items:
            shown.append({"title": title, "items": items})
    return shown


def scores_text(e: Exhibit) -> str:
    """Write the Dice of every method on the case of an exhibit."""
    return "Dice: " + ", ".join(f"{m} {number(v, 'dice')}" for m, v in e.scores.items())


def _exhibit(e: Exhibit, methods: Sequence[str]) -> dict[str, Any]:
    c = e.choice
    return {
        "case": c.case,
        "group": c.group,
        "difference": signed(c.difference, "dice"),
        "direction": "better" if c.kind == "win" else "worse",
        "scores": scores_text(e),
        "label": f"{c.case}, {c.group}: {scores_text(e)}",
        "width": e.size[0],
        "height": e.size[1],
        "start": e.start,
        "slices": e.slices,
        "frames": [
            {
                "number": f.number,
                "picture": f.picture,
                "contours": [
                    {
                        "layer": name if name == REFERENCE else f"m{methods.index(name)}",
                        "series": None if name == REFERENCE else methods.index(name),
                        "path": path,
                    }
                    for name, path in f.contours.items()
                    if path
                ],
            }
            for f in e.frames
        ],
    }
