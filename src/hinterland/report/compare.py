"""`hinterland compare`: runs in, tables and one report out."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from hinterland.data.io.files import write_text
from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import metrics_shown
from hinterland.evaluation.statistics.over_runs import run_differences
from hinterland.evaluation.statistics.statistics import over_seeds
from hinterland.evaluation.statistics.subgroups import read_cases, with_subgroup, worst_best
from hinterland.report.breakdown import (
    Breakdown,
    cases_without_breakdowns,
    lesion_size_breakdowns,
    subgroup_breakdowns,
)
from hinterland.report.comparison import Comparison
from hinterland.report.decoding import decoding_findings
from hinterland.report.gallery.gallery import REFERENCE, Exhibit, choose, exhibit
from hinterland.report.gallery.source import GallerySource
from hinterland.report.image_level import answers_of_classifier, answers_of_masks
from hinterland.report.page import Content, render, scores_text
from hinterland.report.protocol.checks import Finding, check_protocol, enforce
from hinterland.report.ranking import ranking_breakdowns, rankings
from hinterland.report.results import (
    differences_of,
    results_of,
    shared_metrics,
    wide,
)
from hinterland.report.runs import Arm, Run, arms_of, read_runs, with_question
from hinterland.report.supports import (
    StructurePictures,
    structure_pictures,
    support_dice,
    support_table,
)
from hinterland.report.tables import csv_table, latex_table, markdown_table
from hinterland.report.take_off import marked, take_off_findings
from hinterland.report.viewer.scene import Scene, make_scenes
from hinterland.types import HinterlandError

VIEWER_BUDGET = 6_000_000
"""Bytes of the report that the volumes of its 3D viewer may take, together."""
MOST_LABELLED = 4
"""Cases whose labels are all shown."""
_LAST = "report.html"
"""The file that is written last: with it, a comparison is whole."""


def compare(
    runs: Sequence[Path | str],
    out: Path | str | None = None,
    at: str | None = None,
    *,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
    title: str | None = None,
    allow: Collection[str] = (),
    images: bool = True,
    subgroups: tuple[Path, str] | None = None,
    classifiers: Sequence[Path] = (),
) -> Comparison:
    """Compare runs pairwise with the first one and write the report.

    Args:
        runs: run directories, directories of folds, or metric tables (.csv, .parquet). Runs with
            the
            same settings are pooled over seeds and folds; the first method is the baseline.
        out: gets report.html, summary.json and tables/{results.md, results.tex, results.csv}; None
            writes nothing.
        at: the question (column `coarsening`) where the tables hold several.
        names: what to call the methods, one name for each entry of `runs`; entries with the same
            name
            are one method. Default: what their configurations say, as short as they can be told
            apart.
        overwrite: replace a report that is there.
        title: of the report.
        allow: codes of protocol refusals to let pass; the report says so.
        images: whether to build the gallery and the false positives from predictions and images.
        subgroups: a CSV of cases and one of its columns, to show the results by; default, worst-off
            and best-off cases of the baseline.
        classifiers: evaluated classifiers (`hinterland classify evaluate`), to be shown beside what
            masks say of whole images.

    Returns:
        Tables, statistics and findings; `print` it for the table.

    Raises:
        HinterlandError: nothing to compare, a refused protocol (see `protocol_checks`), several
            questions and no `at`, an existing report without `overwrite`.
    """
    out = None if out is None else Path(out)
    if out is not None and not overwrite:
        _refuse(out / _LAST)
    arms = arms_of(_named(runs, names))
    if len(arms) < 2:
        raise HinterlandError(
            "a comparison needs two methods, but everything given here is one: "
            f"{arms[0].name!r}. Add the runs of a second method."
        )
    if taken := [arm.name for arm in arms if arm.name == REFERENCE]:
        raise HinterlandError(
            f"a method is called {taken[0]!r}, which in the report is the annotation. Give it "
            "another name."
        )
    supports = support_dice(arms)
    arms, question = _at(arms, at)
    findings = enforce(check_protocol([arm.protocols for arm in arms]), allow)
    findings += take_off_findings(arms) + decoding_findings(arms, question)
    answers = answers_of_masks(arms)
    for folder in classifiers:
        answers += answers_of_classifier(Path(folder))
    content = _content(
        arms, question, findings, title, images and out is not None, support_table(supports)
    )
    if out is not None:
        content = replace(content, **_breakdowns(arms, content, subgroups), images=tuple(answers))
    comparison = Comparison(
        out, tuple(content.methods), question, content.unit, content.results, tuple(findings),
        content.rankings, tuple(arm.protocols[0].parameters for arm in arms),
        tuple(supports.to_dict("records")),
    )  # fmt: skip
    if out is not None:
        files = _files(comparison, content)  # all made before one is written
        if not overwrite:
            for name, text in files.items():
                _refuse(out / name, unless=text)
        for name, text in files.items():
            write_text(out / name, text)
    return comparison


def _refuse(file: Path, unless: str | None = None) -> None:
    """Refuse to replace a file, `unless` that is what it holds: a comparison that was stopped."""
    if not file.exists() or (unless is not None and file.read_bytes() == unless.encode()):
        return
    raise HinterlandError(f"{file} is there already. Choose another --out, or say --overwrite.")


def _named(runs: Sequence[Path | str], names: Sequence[str] | None) -> list[Run]:
    """Read all runs at the paths, with the names that the user gives their methods."""
    if names is not None and len(names) != len(runs):
        raise HinterlandError(f"{len(names)} names were given for {len(runs)} runs; give one each.")
    labels = names or [""] * len(runs)
    pairs = zip(runs, labels, strict=True)
    return [replace(run, label=label) for path, label in pairs for run in read_runs(Path(path))]


def _at(arms: Sequence[Arm], at: str | None) -> tuple[list[Arm], str]:
    """Restrict the arms to one question, and name it: the first of the baseline's that all have."""
    asked = [list(dict.fromkeys(arm.table["coarsening"].astype(str))) for arm in arms]
    if at is None and all(len(known) == 1 for known in asked):
        return list(arms), asked[0][0]  # where they differ, the guard says so
    if at is None:
        # "cells" are whatever a model tells apart: the same name for different questions
        common = [q for q in asked[0] if all(q in known for known in asked) and q != "cells"]
        if not common:
            listed = "; ".join(
                f"{a.name}: {', '.join(k)}" for a, k in zip(arms, asked, strict=True)
            )
            raise HinterlandError(
                f"the tables have no question in common ({listed}). Evaluate all runs at one "
                "question: hinterland evaluate ... --at QUESTION."
            )
        at = common[0]
    for arm, known in zip(arms, asked, strict=True):
        if at not in known:
            raise HinterlandError(
                f"{arm.name} has not been evaluated at {at!r}, only at "
                f"{', '.join(map(repr, known))}. Evaluate it there first."
            )
    return [with_question(arm, at) for arm in arms], at


def _breakdowns(
    arms: Sequence[Arm], content: Content, subgroups: tuple[Path, str] | None
) -> dict[str, Any]:
    """Make the parts of the content that break results down by groups of cases."""
    metric = (*(m for m in metrics_shown(Shown.HEADLINE) if m in content.metrics),
              *content.metrics)[0]  # fmt: skip
    if subgroups is not None:
        file, column = subgroups
        named = with_subgroup(arms[0].table, read_cases(file), column)
        of_case = dict(zip(named["case"], named["subgroup"].astype(str), strict=True))
        text = f"By the column {column} of {file.name}."
    else:
        of_case = worst_best(arms[0].table, metric=metric) if metric == "dice" else {}
        text = (
            f"{arms[0].name} alone decides: worst-off are the cases on which its mean Dice is "
            "below .5, best-off equally many from the other end. Expect worst-off cases to gain "
            "in part because they were chosen for being low (regression to the mean)."
        )
    groups = subgroup_breakdowns(arms, of_case, metric) if of_case else []
    return {
        "groups": tuple(groups),
        "groups_text": text,
        "cases_without": tuple(cases_without_breakdowns(arms)),
    }


def _content(
    arms: Sequence[Arm],
    question: str,
    findings: Sequence[Finding],
    title: str | None,
    images: bool,
    supports: Sequence[Breakdown],
) -> Content:
    metrics = shared_metrics(arms)
    if not metrics:
        raise HinterlandError("the tables have no metric in common. Evaluate them the same way.")
    headline = [m for m in metrics_shown(Shown.HEADLINE) if m in metrics] or metrics[:1]
    others = [m for m in metrics if m not in headline]
    results = results_of(arms, headline) + (results_of(arms, others) if others else [])
    results = marked(results, arms)
    source = GallerySource(arms, question)
    absent: dict[str, str] = {}
    exhibits, structures, confusion, lesions = [], {}, {}, []
    scenes: list[Scene] = []
    labelled: list[StructurePictures] = []
    if not images:
        absent = dict.fromkeys(("gallery", "structures"), "Left out on request.")
    elif source.trouble:
        absent = dict.fromkeys(("gallery", "structures"), source.trouble)
    elif "dice" in metrics:
        exhibits = _exhibits(arms, source)
        scenes = _scenes(exhibits, source)
        labelled = _labelled(exhibits, source) if supports else []
        structures = source.false_positives()
        lesions = lesion_size_breakdowns(source.lesions(), source.unit == "mL")
        absent = {
            "gallery": "No case differs in Dice.",
            "structures": "The reference tells no structures apart beside the target, or no "
            "method predicted outside of it.",
        }
    if "dice" in metrics and not source.trouble:
        confusion = source.confusion()
    units = {str(u) for arm in arms for u in arm.table.get("unit", ["mm"])}
    unit = "voxels" if units == {"voxel"} else "mm"
    ranked = rankings(arms, headline)
    return Content(
        title=title or f"{', '.join(a.name for a in arms[1:])} against {arms[0].name}",
        arms=tuple(arms),
        question=question,
        metrics=tuple(metrics),
        results=tuple(results),
        findings=tuple(findings),
        exhibits=tuple(exhibits),
        scenes=tuple(scenes),
        viewer_budget=VIEWER_BUDGET,
        supports=tuple(supports),
        labelled=tuple(labelled),
        structures=structures,
        confusion=confusion,
        lesions=tuple(lesions),
        seeds=_seeds(arms, headline),
        absent=absent,
        unit=unit,
        rankings=tuple(ranked),
        ranking=tuple(ranking_breakdowns(ranked, results, unit)),
        structures_unit=source.unit if structures else "mL",
    )


def _seeds(arms: Sequence[Arm], metrics: Sequence[str]) -> pd.DataFrame | None:
    """Compute the spread over seeds, where there are several."""
    several = [arm for arm in arms if arm.seeds > 1]
    if not several:
        return None
    spread = pd.concat([over_seeds(arm.table, metrics) for arm in several], ignore_index=True)
    tested = [
        run_differences(arms[0].table, arm.table, metrics).assign(method=arm.name)
        for arm in several
        if arm is not arms[0]
    ]
    if not tested:
        return spread
    return spread.merge(pd.concat(tested), "left", on=["method", "class", "metric"])


def _exhibits(arms: Sequence[Arm], source: GallerySource) -> list[Any]:
    table = pd.concat([arm.table for arm in arms], ignore_index=True)
    shown = []
    for choice in choose(differences_of(arms)):
        scores = wide(table, choice.group, "dice").loc[choice.case].to_dict()
        image, masks, spacing = source.view(choice.case, choice.group)
        named = {arm.name: float(scores[arm.name]) for arm in arms}
        shown.append(exhibit(choice, named, image, masks, spacing))
    return shown


def _labelled(exhibits: Sequence[Exhibit], source: GallerySource) -> list[StructurePictures]:
    """Draw all labels of the gallery's first cases, on the slice that it begins with."""
    shown: dict[str, StructurePictures] = {}
    for one in exhibits:
        case, number = one.choice.case, one.frames[one.start].number
        if case not in shown and len(shown) < MOST_LABELLED:
            place = f"slice {number} / {one.slices}" if one.slices > 1 else ""
            image, layers, sides = source.labels(case, number - 1)
            shown[case] = structure_pictures(case, place, image, layers, sides, source.tree)
    return list(shown.values())


def _scenes(exhibits: Sequence[Exhibit], source: GallerySource) -> list[Scene]:
    """Pack the volumes of the cases in the gallery for the 3D viewer; pictures have none."""
    remarks: dict[str, str] = {}
    for shown in exhibits:
        remarks.setdefault(shown.choice.case, scores_text(shown))
    read = [(source.volumes(case), remark) for case, remark in remarks.items()]
    cases = [replace(volumes, remark=remark) for volumes, remark in read if volumes is not None]
    return make_scenes(cases, VIEWER_BUDGET)


def _files(comparison: Comparison, content: Content) -> dict[str, str]:
    results, unit = comparison.results, comparison.unit
    headline = [r for r in results if r.metric in metrics_shown(Shown.HEADLINE)] or list(results)
    return {
        "tables/results.md": markdown_table(results, unit),
        "tables/results.tex": latex_table(headline, unit, f"{content.title}."),
        "tables/results.csv": csv_table(results),
        "summary.json": json.dumps(comparison.to_dict(), indent=2, allow_nan=False) + "\n",
        "report.html": render(content),
    }
