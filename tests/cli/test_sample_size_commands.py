"""advise cases, advise interval: what they say is what the functions compute."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli_helpers import as_json

from hinterland.evaluation.statistics.published import published_interval
from hinterland.evaluation.statistics.sample_size import cases_for_difference, cases_for_width


@pytest.fixture
def tables(tmp_path):
    """Two methods on twelve scans of six patients, two classes."""
    draw = np.random.default_rng(0)
    parts = []
    for name in "ab":
        rows = [
            {"case": f"c{i}", "class": k, "group": f"p{i // 2}", "dice": draw.uniform(0.4, 0.9)}
            for i in range(12)
            for k in ("x", "y")
        ]
        parts.append(pd.DataFrame(rows))
        parts[-1].to_csv(tmp_path / f"{name}.csv", index=False)
    per_patient = [p.groupby("group")["dice"].mean() for p in parts]
    return (tmp_path / "a.csv", tmp_path / "b.csv"), per_patient


def test_width_and_difference_from_pilot_tables(hinterland, tables):
    (a, b), (first, second) = tables
    found = as_json(hinterland("advise", "cases", a, "--width", 0.05, "--json"))
    assert found["sd"] == pytest.approx(first.std())
    assert found["cases"] == cases_for_width(first.std(), 0.05)
    found = as_json(hinterland("advise", "cases", a, b, "--difference", 0.02, "--json"))
    spread = (second - first).std()
    assert found["cases"] == cases_for_difference(0.02, spread)


def test_without_tables(hinterland):
    assert "64 cases" in hinterland("advise", "cases", "--sd", 0.2, "--width", 0.1).stdout
    found = as_json(hinterland("advise", "cases", "--mean", 0.7, "--width", 0.05, "--json"))
    assert 100 < found["cases"] < 150  # SD .14


def test_a_published_mean(hinterland):
    found = as_json(hinterland("advise", "interval", 0.784, "--cases", 50, "--json"))
    expected = published_interval(0.784, 50)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert "expected at this mean" in hinterland("advise", "interval", 0.784, "--cases", 50).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--width", "0.1"), "say where the spread comes from"),
        (("--sd", "0.1"), "say what is wanted"),
        (("--mean", "0.7", "--difference", "0.1"), "nothing of paired differences"),
        (("A", "--difference", "0.1"), "1 tables were given"),
        (("A", "--width", "0.1", "--metric", "colour"), "no column 'colour'"),
    ],
)
def test_what_does_not_fit_is_refused(hinterland, tables, arguments, message):
    words = [tables[0][0] if w == "A" else w for w in arguments]
    assert message in hinterland("advise", "cases", *words, code=1).stderr
