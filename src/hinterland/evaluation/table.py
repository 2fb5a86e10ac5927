"""The tidy table of metrics: summary, writing, reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.data.io.csv_text import csv_text, original
from hinterland.data.io.files import atomic_path
from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import metric_columns, metrics_shown
from hinterland.types import HinterlandError

KEYS = ("case", "class", "coarsening", "fold", "method", "seed")
GROUPING = ("method", "coarsening", "class")
MACRO = "mean over classes"
_TEXT = ("case", "class", "coarsening", "method", "fold", "group", "domain", "empty", "unit",
         "definition", "convention")  # fmt: skip
_GAPS = ["", "nan", "NaN", "NA", "N/A", "n/a", "null", "None", "<NA>"]


def summarise(table: pd.DataFrame, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Average each metric over cases, then over classes (macro).

    A case that appears with several seeds or folds first enters with its mean, so that no case
    counts twice.

    Args:
        table: one row per case, question and class, as `hl.evaluate` gives it.
        metrics: columns to average; default, all metrics of the table.

    Returns:
        One row per method, coarsening, class and metric: `mean`, `std` (over cases, n - 1),
        `median`, `cases` (how many values the mean rests on) and `left_out` (cases with NaN); for
        each method and coarsening with several classes there follows the row `mean over classes`,
        whose `cases` is the smallest of the classes' counts.

    Example:
        >>> table = pd.DataFrame({"case": ["a", "b"], "class": ["organ"] * 2, "dice": [0.7, 0.9]})
        >>> found = summarise(table, ["dice"])
        >>> round(found["mean"].item(), 4), round(found["std"].item(), 4), found["cases"].item()
        (0.8, 0.1414, 2)
    """
    metrics = list(metrics or metric_columns(table))
    keys = [k for k in GROUPING if k in table.columns]
    per_case = table.groupby([*keys, "case"], sort=False, dropna=False)[metrics].mean()
    long = per_case.reset_index().melt([*keys, "case"], metrics, var_name="metric")
    grouped = long.groupby([*keys, "metric"], sort=False, dropna=False)["value"]
    result = grouped.agg(["mean", "std", "median", "count", "size"]).reset_index()
    result["left_out"] = result.pop("size") - result["count"]
    result = result.rename(columns={"count": "cases"})
    macro = _macro(result, [k for k in keys if k != "class"])
    return pd.concat([result, macro], ignore_index=True) if len(macro) else result


def _macro(result: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    grouped = result.groupby([*keys, "metric"], sort=False, dropna=False)
    macro = grouped.agg(
        mean=("mean", "mean"), median=("median", "mean"), cases=("cases", "min"),
        left_out=("left_out", "max"), classes=("class", "nunique"),
    ).reset_index()  # fmt: skip
    macro = macro[macro.pop("classes") > 1]
    macro["class"], macro["std"] = MACRO, float("nan")
    return macro[list(result.columns)]


def write_table(table: pd.DataFrame, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write CSV or Parquet (by the ending), complete or not at all.

    Args:
        table: what is written; cells that a spreadsheet would run are marked.
        path: the file to write.
        overwrite: replace the file if it is there.

    Returns:
        The path.

    Raises:
        HinterlandError: another ending, an existing file without `overwrite`, Parquet without
            pyarrow.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise HinterlandError(f"{path} exists already; say --overwrite to replace it.")
    try:
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                temporary.write_text(csv_text(table), encoding="utf-8")
            elif path.suffix == ".parquet":
                table.to_parquet(temporary, index=False)
            else:
                raise HinterlandError(
                    f"{path}: tables end in .csv or .parquet, not {path.suffix!r}."
                    " Rename the output."
                )
    except ImportError:
        raise HinterlandError(
            "Parquet needs pyarrow: pip install 'hinterland[parquet]', or write .csv."
        ) from None
    return path


def _read_csv(path: Path) -> pd.DataFrame:
    """Read text columns as they are written ("NA" is a name), numbers with the usual gaps."""
    columns = pd.read_csv(path, nrows=0).columns
    text = [c for c in columns if c in _TEXT]
    gaps = {c: _GAPS for c in columns if c not in text}
    table = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=gaps)
    plain = {c: table[c].map(original) for c in text}
    return table.assign(**plain)


def read_table(path: Path | str) -> pd.DataFrame:
    """Read what `write_table` wrote, or another CSV or Parquet file of metrics.

    Args:
        path: a file with at least the columns `case`, `class` and one metric.

    Raises:
        HinterlandError: the file, which is named, is missing or no such table.
    """
    path = Path(path)
    if not path.is_file():
        raise HinterlandError(
            f"there is no metrics table {path}."
            " Make it: hinterland evaluate PREDICTIONS REFERENCES --out FILE.csv."
        )
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except ImportError:
        raise HinterlandError("Parquet needs pyarrow: pip install 'hinterland[parquet]'.") from None
    except (ValueError, OSError) as error:
        raise HinterlandError(
            f"{path} is not a readable table: {error} Write it again: hinterland evaluate."
        ) from None
    missing = [c for c in ("case", "class") if c not in table.columns]
    if missing or not metric_columns(table):
        raise HinterlandError(
            f"{path} has the columns {list(table.columns)}; a metrics table needs `case`, `class` "
            f"and at least one of {', '.join(metrics_shown(Shown.TABLE))}."
        )
    for column in metric_columns(table):
        numbers = pd.to_numeric(table[column], errors="coerce")
        words = table[column][numbers.isna() & table[column].notna()]
        strange = [*words, *table[column][np.isinf(numbers)]]
        if strange:
            raise HinterlandError(
                f"{path}: the column {column} holds {str(strange[0])!r}; expected numbers, and "
                "nothing where there is none. Correct or evaluate it again."
            )
    return table
