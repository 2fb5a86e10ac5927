"""Rankings of a comparison: who wins how often, in the table and for machines."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from hinterland.evaluation.statistics.rope import bayesian_signed_rank
from hinterland.evaluation.table import write_table
from hinterland.report.compare import compare


def table(method: str, dice: dict[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"case": f"c{i:02d}", "class": name, "coarsening": "target", "fold": "0", "seed": 0,
             "method": method, "group": f"p{i // 2}", "dice": value, "empty": "penalty",
             "unit": "mm"}
            for name, values in dice.items()
            for i, value in enumerate(values)
        ]
    )  # fmt: skip


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Three methods on two classes: b is level with a on x, c is the best on both."""
    folder = tmp_path_factory.mktemp("ranking")
    draw = np.random.default_rng(0)
    base = {k: draw.uniform(0.5, 0.7, 40) for k in ("x", "y")}
    dice = {
        "a": base,
        "b": {"x": base["x"] + draw.normal(0, 0.002, 40), "y": base["y"] - 0.1},
        "c": {k: v + 0.05 for k, v in base.items()},
    }
    files = [write_table(table(m, d), folder / f"{m}.csv") for m, d in dice.items()]
    made = compare(files, folder / "out", names=list(dice))
    return dice, made, json.loads((folder / "out" / "summary.json").read_text())


def test_the_best_method_wins_on_every_resampled_test_set(comparison):
    _, made, summary = comparison
    found = {(r.group, r.metric): r for r in made.rankings}
    assert set(found) == {(g, "dice") for g in ("mean over classes", "x", "y")}
    for ranking in found.values():
        assert ranking.wins == (0, 0, 1)
        assert ranking.ranks[2] == 1
    assert found["y", "dice"].ranks == (2, 3, 1)
    assert found["y", "dice"].tau == pytest.approx(1)
    assert [r["wins"] for r in summary["rankings"]] == [[0, 0, 1]] * 3


def test_probabilities_are_those_of_the_patients_means(comparison):
    dice, made, _ = comparison
    rows = {(r.group, r.method): r for r in made.results if not r.baseline}
    level, lower, higher = rows["x", "b"], rows["y", "b"], rows["x", "c"]
    assert level.equal > 0.99
    assert lower.lower > 0.99
    assert higher.higher > 0.99
    patients = (dice["b"]["x"] - dice["a"]["x"]).reshape(20, 2).mean(axis=1)
    again = bayesian_signed_rank(patients, 0.01)
    assert (level.lower, level.equal) == pytest.approx((again.lower, again.equal))


def test_the_page_shows_them(comparison):
    _, made, _ = comparison
    page = made.report.read_text(encoding="utf-8")
    (section,) = [s for s in page.split("<section ") if s.startswith('id="ranking"')]
    assert "equal (within .010)" in section
    assert "100 %" in section
