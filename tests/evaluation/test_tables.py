"""Summaries, files, and groups of cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hinterland.evaluation.statistics.subgroups import (
    BEST,
    WORST,
    summarise_subgroups,
    with_subgroup,
    worst_best,
)
from hinterland.evaluation.table import MACRO, read_table, summarise, write_table
from hinterland.types import HinterlandError


def table() -> pd.DataFrame:
    rows = [
        ("a", "lv", 0, 0.9, 2.0), ("a", "lv", 1, 0.7, 4.0), ("b", "lv", 0, 0.5, np.nan),
        ("a", "rv", 0, 0.2, 9.0), ("b", "rv", 0, 0.4, 7.0), ("c", "lv", 0, 0.8, 1.0),
        ("c", "rv", 0, 0.3, 5.0),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["case", "class", "seed", "dice", "hd95"])
    return frame.assign(method="m", coarsening="leaves", fold="", group=["p"] * 5 + ["q"] * 2)


def test_mean_over_cases_then_classes_with_counts() -> None:
    summary = summarise(table()).set_index(["class", "metric"])
    assert summary.loc[("lv", "dice"), "mean"] == pytest.approx((0.8 + 0.5 + 0.8) / 3)
    assert summary.loc[("lv", "dice"), "cases"] == 3
    assert summary.loc[("lv", "hd95"), "mean"] == pytest.approx(2.0)
    assert summary.loc[("lv", "hd95"), "cases"] == 2
    assert summary.loc[("lv", "hd95"), "left_out"] == 1
    assert summary.loc[(MACRO, "dice"), "mean"] == pytest.approx((0.7 + 0.3) / 2)
    assert summary.loc[(MACRO, "hd95"), "cases"] == 2
    one_class = summarise(table()[table()["class"] == "lv"])
    assert MACRO not in set(one_class["class"])


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_files_read_back(tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"metrics{ending}"
    write_table(table(), path)
    back = read_table(path)
    pd.testing.assert_frame_equal(
        back.fillna({"fold": ""}), table(), check_dtype=False, check_like=True
    )
    with pytest.raises(HinterlandError, match="exists already"):
        write_table(table(), path)
    write_table(table().head(2), path, overwrite=True)
    assert len(read_table(path)) == 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing temporary is left


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(HinterlandError, match="there is no metrics table"):
        read_table(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("patient,score\n1,2\n")
    with pytest.raises(HinterlandError, match="needs `case`, `class`"):
        read_table(tmp_path / "m.csv")
    with pytest.raises(HinterlandError, match=r"end in \.csv or \.parquet"):
        write_table(table(), tmp_path / "m.xlsx")
    (tmp_path / "e.csv").write_text("")
    with pytest.raises(HinterlandError, match="not a readable table"):
        read_table(tmp_path / "e.csv")


def test_numbers_that_are_names_stay_text(tmp_path: Path) -> None:
    named = table().assign(case=["001"] * 7)
    write_table(named, tmp_path / "m.csv")
    assert read_table(tmp_path / "m.csv")["case"].tolist() == ["001"] * 7


def test_worst_off_and_equally_many_best_off() -> None:
    frame = pd.DataFrame({"case": list("abcdef"), "dice": [0.2, 0.9, 0.4, 0.8, 0.7, 0.95]})
    assert worst_best(frame) == {"a": WORST, "c": WORST, "b": BEST, "f": BEST}
    assert worst_best(frame, threshold=0.1) == {}
    mostly_bad = worst_best(frame, threshold=0.85)
    assert sum(g == WORST for g in mostly_bad.values()) == 4
    assert sum(g == BEST for g in mostly_bad.values()) == 2
    with pytest.raises(HinterlandError, match="no column 'nsd'"):
        worst_best(frame, metric="nsd")


def test_subgroups_by_a_column() -> None:
    cases = pd.DataFrame({"case": list("abc"), "sex": ["f", "m", "f"]})
    summary = summarise_subgroups(with_subgroup(table(), cases, "sex"), ["dice"])
    rows = summary.set_index(["subgroup", "class"])
    assert rows.loc[("f", "lv"), "mean"] == pytest.approx(0.8)
    assert rows.loc[("f", "lv"), "cases"] == 2
    assert rows.loc[("m", "rv"), "mean"] == pytest.approx(0.4)
    with pytest.raises(HinterlandError, match="no row for 1 cases: c"):
        with_subgroup(table(), cases.head(2), "sex")
    with pytest.raises(HinterlandError, match="'age'"):
        with_subgroup(table(), cases, "age")


def test_a_place_that_cannot_be_written_to_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HinterlandError, match=r"table\.csv cannot be written"):
        write_table(table(), tmp_path / "file" / "table.csv")


@pytest.mark.parametrize("value", ["much", "inf", "-inf"])
def test_metrics_that_are_no_numbers(tmp_path: Path, value: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"case,class,dice\na,x,\nb,x,{value}\n")
    with pytest.raises(HinterlandError, match=f"m.csv: the column dice holds '{value}'"):
        read_table(path)
    path.write_text("case,class,dice\na,x,\nb,x,0.5\n")
    assert read_table(path)["dice"].tolist()[1] == 0.5
