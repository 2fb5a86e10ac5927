"""Published means: the SD's curve against our runs, the interval's coverage in simulation."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hinterland.evaluation.statistics.published import DICE_SD, dice_sd, published_interval
from hinterland.types import HinterlandError

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


def pairs() -> np.ndarray:
    """Mean and SD over cases of Dice, for each class of each stored run of ten cases or more."""
    found = []
    for file in RESULTS.rglob("*.json"):
        stored = json.loads(file.read_text())
        tables = stored.get("cases") if isinstance(stored, dict) else None
        for table in tables.values() if isinstance(tables, dict) else ():
            if not isinstance(table, dict) or "dice" not in table.get("columns", ()):
                continue
            place = {name: i for i, name in enumerate(table["columns"])}
            classes = defaultdict(list)
            for row in table["data"]:
                classes[row[place["class"]], row[place["coarsening"]]].append(row[place["dice"]])
            for values in classes.values():
                known = np.array([v for v in values if v is not None], float)
                if known.size >= 10 and known.mean() > 0.05:
                    found.append((known.mean(), known.std(ddof=1)))
    return np.array(found)


def test_the_curve_is_the_one_of_our_runs():
    means, sds = pairs().T
    assert len(means) > 500
    fitted = np.polyfit(means, sds, 2)
    for mean in (0.3, 0.5, 0.7, 0.9):
        assert dice_sd(mean) == pytest.approx(np.polyval(fitted, mean), abs=0.02)
    error = np.sqrt(np.mean((np.polyval(DICE_SD, means) - sds) ** 2))
    assert error == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("mean", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("cases", [20, 100])
def test_the_interval_covers_the_truth_where_the_sd_is_as_assumed(mean, cases):
    """Dice over cases drawn from a beta distribution with the mean and the curve's SD."""
    sd = dice_sd(mean)
    total = mean * (1 - mean) / sd**2 - 1
    drawn = stats.beta(mean * total, (1 - mean) * total).rvs((4000, cases), random_state=0)
    hits = [published_interval(float(m), cases, sd=sd) for m in drawn.mean(axis=1)]
    assert np.mean([f.low <= mean <= f.high for f in hits]) == pytest.approx(0.95, abs=0.02)


def test_a_reported_sd_is_taken():
    found = published_interval(0.8, 25, sd=0.1)
    half = stats.t.ppf(0.975, 24) * 0.1 / 5
    assert (found.low, found.high) == pytest.approx((0.8 - half, 0.8 + half))
    assert (found.reported, published_interval(0.8, 25).reported) == (True, False)


def test_it_stays_within_dice_and_refuses_per_cent():
    assert published_interval(0.99, 3, sd=0.2).high == 1
    with pytest.raises(HinterlandError, match="divide per cent by 100"):
        published_interval(78.4, 50)
    with pytest.raises(HinterlandError, match="two cases"):
        published_interval(0.8, 1)
