"""Places are chosen among those that fit, and told from those that fill up."""

from __future__ import annotations

import torch

from hinterland.methods.parts.choice import highest, some


def test_the_highest_that_fit_come_first():
    values = torch.tensor([5.0, 1.0, 4.0, 3.0, 2.0])
    fit = torch.tensor([False, True, False, True, True])
    places, known = highest(values, fit, 4)
    assert places[:3].tolist() == [3, 4, 1]
    assert known.tolist() == [True, True, True, False]
    assert len(highest(values, fit, 9)[0]) == 5


def test_some_are_drawn_evenly():
    torch.manual_seed(0)
    fit = torch.arange(10) < 6
    counts = torch.zeros(10)
    for _ in range(600):
        places, known = some(fit, 3)
        assert known.all()
        assert len(places.unique()) == 3
        counts[places] += 1
    assert not counts[6:].any()
    assert (counts[:6] - 300).abs().max() < 60  # five standard deviations
    places, known = some(fit, 8)
    assert known.sum() == 6
    assert sorted(places[known].tolist()) == list(range(6))
