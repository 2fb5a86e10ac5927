"""When validation Dice first reached a tenth of its final value."""

from __future__ import annotations

import pytest

from hinterland.evaluation.statistics.take_off import take_off


@pytest.mark.parametrize(
    ("curve", "step"),
    [
        ([(10, 0.0), (20, 0.079), (30, 0.081), (40, 0.8)], 30),
        ([(10, 0.5), (20, 0.6)], 10),
        ([(10, 0.0), (20, 0.013)], None),
        ([(10, 0.4), (20, 0.0)], None),
        ([(10, float("nan"))], None),
        ([], None),
    ],
)
def test_take_off(curve, step):
    assert take_off(curve) == step
