"""Numbers of cases: against statsmodels, against simulation, and least indeed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from hinterland.evaluation.statistics.sample_size import (
    cases_for_difference,
    cases_for_width,
    power_of,
)
from hinterland.types import HinterlandError


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("power", [0.8, 0.9])
def test_statsmodels_says_the_same(effect, power):
    exact = TTestPower().solve_power(effect_size=effect, power=power, alpha=0.05)
    assert cases_for_difference(effect, sd=1.0, power=power) == int(np.ceil(exact))


@pytest.mark.parametrize(("sd", "width"), [(0.2, 0.1), (0.1, 0.01), (0.05, 0.2)])
def test_the_width_is_reached_and_not_before(sd, width):
    n = cases_for_width(sd, width)
    wide = [2 * stats.t.ppf(0.975, m - 1) * sd / np.sqrt(m) for m in (n, n - 1) if m > 1]
    assert wide[0] <= width
    assert all(w > width for w in wide[1:])


def test_power_holds_in_simulation():
    n = cases_for_difference(0.03, sd=0.1)
    draw = np.random.default_rng(0).normal(0.03, 0.1, (4000, n))
    found = (stats.ttest_1samp(draw, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.02)
    assert power_of(0.03, 0.1, n - 1) < 0.8 <= power_of(0.03, 0.1, n)


def test_the_signed_rank_test_needs_little_more():
    n = round(cases_for_difference(0.05, sd=0.1) * 1.05)
    draw = np.random.default_rng(1).normal(0.05, 0.1, (1000, n))
    found = np.mean([stats.wilcoxon(row).pvalue < 0.05 for row in draw])
    assert found == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cases_for_width(0.2, 0.0), "width is 0"),
        (lambda: cases_for_width(-1, 0.1), "sd is -1"),
        (lambda: cases_for_difference(0.0, 0.1), "difference is 0"),
        (lambda: cases_for_difference(1e-6, 0.5), "more than 1,000,000 cases"),
    ],
)
def test_what_has_no_answer_is_refused(call, message):
    with pytest.raises(HinterlandError, match=message):
        call()
