"""CPS: each network against the other's most probable cells."""

from __future__ import annotations

import math

import pytest
import torch
from semi_phantoms import LEAVES, SPEC, batch, context

from hinterland.methods import make_method
from hinterland.methods.semi.cps import CrossPseudoSupervision
from hinterland.types import Progress


def test_each_network_learns_what_the_other_predicts():
    method = CrossPseudoSupervision((LEAVES,), consistency=1.5)
    networks, items = method.build(context()), batch()
    found = method.losses(networks, items, Progress("train", 5, 10))
    learn, first = networks.supervision, networks.pseudo.first
    one, two = networks.network(items.image), networks.other(items.image)
    assert not torch.equal(one, two)
    cross = learn([one], first + two.argmax(1)) + learn([two], first + one.argmax(1))
    seg = [learn([q[:2]], items.annotation[:2]) for q in (one, two)]
    expected = sum(seg) + 1.5 * math.exp(-5 / 4) * cross
    assert found.total.item() == pytest.approx(expected.item(), abs=1e-5)
    assert len(method.ensemble_predictions(networks, items.image)) == 2


def test_cps_asks_two_questions_of_one_network():
    method = make_method("cps", SPEC, ("top", "leaves"))
    networks = method.build(context())
    found = method.losses(networks, batch(scheme="coarse"), Progress("train", 0, 10))
    assert len(networks.supervision.parts) == 2
    assert len(method.cells) == 3
    assert torch.isfinite(found.total)
