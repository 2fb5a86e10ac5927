"""Where the results come from: by subgroup, by lesion size, and on cases without the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Any

import pandas as pd

from hinterland.evaluation.metrics.registry import METRICS
from hinterland.evaluation.statistics.subgroups import summarise_subgroups
from hinterland.report.false_positives import cases_without_class
from hinterland.report.format import MISSING, interval, number
from hinterland.report.lesion_sizes import sensitivity_by_volume
from hinterland.report.runs import Arm


@dataclass(frozen=True)
class Breakdown:
    """A small table of text: a row is a method and its cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def subgroup_breakdowns(
    arms: Sequence[Arm], subgroups: Mapping[str, str], metric: str
) -> list[Breakdown]:
    """Tabulate the mean of a metric in each subgroup, one table a class.

    Args:
        arms: the methods, with their tables of results.
        subgroups: case -> subgroup; other cases are left out.
        metric: its name.

    Returns:
        The tables; none where no case is in a subgroup.
    """
    table = pd.concat([arm.table for arm in arms], ignore_index=True)
    found = summarise_subgroups(table.assign(subgroup=table["case"].map(subgroups)), [metric])
    if found.empty:
        return []
    names = list(dict.fromkeys(found["subgroup"]))
    rows = found.to_dict("records")
    cells = {(r["class"], r["method"], r["subgroup"]): r for r in rows}
    sizes = {n: sum(g == n for g in subgroups.values()) for n in names}
    return [
        Breakdown(
            f"{METRICS.get(metric).label}, {group}",
            tuple(f"{n} ({sizes[n]} cases)" for n in names),
            tuple((a.name, tuple(_mean(cells, (group, a.name, n), metric) for n in names))
                  for a in arms),
        )
        for group in dict.fromkeys(found["class"].astype(str))
    ]  # fmt: skip


def _mean(cells: dict[Any, dict[Any, Any]], key: tuple[str, str, str], metric: str) -> str:
    if key not in cells:
        return MISSING
    row = cells[key]
    return f"{number(row['mean'], metric)} {interval(row['low'], row['high'], metric)}".strip()


def means_table(title: str, means: pd.DataFrame, metric: str) -> Breakdown:
    """Tabulate the mean of a metric with its interval, a row a method and a column a class.

    Args:
        title: of the table.
        means: rows of `summarise_subgroups` for one question and one subgroup.
        metric: its name.

    Returns:
        The table; classes that a method does not have are empty there.
    """
    cells = {(r["class"], r["method"], ""): r for r in means.to_dict("records")}
    classes = tuple(dict.fromkeys(means["class"].astype(str)))
    rows = tuple(
        (m, tuple(_mean(cells, (c, m, ""), metric) for c in classes))
        for m in dict.fromkeys(means["method"].astype(str))
    )
    return Breakdown(title, classes, rows)


def lesion_size_breakdowns(
    lesions: Mapping[str, pd.DataFrame], physical: bool = True
) -> list[Breakdown]:
    """Tabulate how many reference lesions of each size are found, one table a class.

    Args:
        lesions: method -> `lesion_table`.
        physical: whether volumes are in mL; else in thousands of voxels.
    """
    unit = "mL" if physical else "thousand voxels"
    found = {method: sensitivity_by_volume(table) for method, table in lesions.items()}
    classes = dict.fromkeys(c for table in found.values() for c in table["class"])
    result = []
    for name in classes:
        parts = {m: t[t["class"] == name] for m, t in found.items()}
        bins = next(iter(parts.values()))[["lower_ml", "upper_ml"]].to_numpy()
        columns = tuple(
            f"from {low:g} {unit}" if isinf(high) else f"{low:g} to {high:g} {unit}"
            for low, high in bins
        )
        rows = tuple((m, tuple(_share(r["found"], r["lesions"]) for r in p.to_dict("records")))
                     for m, p in parts.items())  # fmt: skip
        result.append(Breakdown(f"Lesions found, {name}", columns, rows))
    return result


def cases_without_breakdowns(arms: Sequence[Arm]) -> list[Breakdown]:
    """Tabulate false positives on the cases whose reference lacks the class, one table a class."""
    table = pd.concat([arm.table for arm in arms], ignore_index=True)
    if not {"reference_voxels", "prediction_voxels", "prediction_ml"} <= set(table.columns):
        return []
    found = cases_without_class(table)
    found = found[found["cases"] > 0]
    return [
        Breakdown(
            f"Cases without {name}",
            ("with a false positive", "mean volume (mL)", "largest volume (mL)"),
            tuple(
                (row["method"], (_share(row["with_prediction"], row["cases"]),
                                 *(number(row[k], "volume_error_ml")
                                   for k in ("mean_ml", "largest_ml"))))
                for row in part.to_dict("records")
            ),
        )
        for name, part in found.groupby("class", sort=False)
    ]  # fmt: skip


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else MISSING
