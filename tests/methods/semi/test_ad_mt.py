"""AD-MT: whose turn it is, how two teachers settle on a label, who is taught."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from semi_phantoms import LEAVES, batch, context

from hinterland.methods.semi import ad_mt as module
from hinterland.methods.semi.ad_mt import AlternatingTeachers, Turns, settled
from hinterland.types import Progress


def runs_of(turns: Turns, steps: int) -> list[int]:
    said = [turns.at(step) for step in range(steps)]
    changes = [i for i in range(1, steps) if said[i] != said[i - 1]]
    return list(np.diff([0, *changes]))


def test_turns_are_random_periods_and_a_function_of_the_step():
    lengths = runs_of(Turns(20, seed=3), 4000)
    assert (min(lengths), max(lengths)) == (1, 20)
    assert np.mean(lengths) == pytest.approx(10.5, rel=0.1)
    fresh, whole = Turns(20, seed=3), Turns(20, seed=3)
    whole.at(3999)
    assert [fresh.at(step) for step in (0, 7, 5, 900)] == [whole.at(s) for s in (0, 7, 5, 900)]
    assert runs_of(Turns(20, seed=4), 400) != lengths[:40]
    assert runs_of(Turns(1, seed=0), 9) == [1] * 8


def test_certain_teachers_weigh_more_and_a_surer_student_ends_conflicts():
    one = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.7, 0.3]]).T[None]
    two = torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.45, 0.55], [0.8, 0.2]]).T[None]
    student = torch.tensor([[0.1, 0.9], [0.3, 0.7], [0.05, 0.95], [0.05, 0.95]]).T[None]
    found = settled(one, two, student)[0].T

    def mean(p, q):
        weigh = [np.exp(np.sum(x * np.log2(x))) * x for x in (np.array(p), np.array(q))]
        return (weigh[0] + weigh[1]) / np.sum(weigh)

    np.testing.assert_allclose(found[0], mean([0.9, 0.1], [0.6, 0.4]), atol=1e-6)
    np.testing.assert_allclose(found[1], mean([0.6, 0.4], [0.1, 0.9]), atol=1e-6)  # they agree
    np.testing.assert_allclose(found[2], [0.05, 0.95])  # in conflict, and the student is surer
    np.testing.assert_allclose(found[3], mean([0.7, 0.3], [0.8, 0.2]), atol=1e-6)  # no conflict
    assert found[0, 0] > (0.9 + 0.6) / 2  # nearer to the teacher who is certain


def test_the_labels_are_the_teachers_and_the_views_are_those_of_the_turn(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "strong", lambda image: seen.append("strong") or image)
    monkeypatch.setattr(
        module, "cut_mixed", lambda image, said: seen.append("cut") or (image, said)
    )
    method = AlternatingTeachers((LEAVES,), threshold=0.0, period=1, rise=0.0)
    networks, items = method.build(context()), batch()
    networks.eval()
    learn, logits = networks.supervision, networks.network(items.image)
    p = logits[2:].softmax(1)
    said = networks.pseudo.first + settled(p, p, p).argmax(1)  # teachers begin as the student
    expected = learn([logits[2:]], said).item()
    for step in (0, 1):
        found = method.losses(networks, items, Progress("train", step, 10))
        assert found.terms["consistency"].item() == pytest.approx(expected, rel=1e-5)
        assert found.weights["consistency"] == pytest.approx(2.0)
    assert seen == ["strong", "cut"]


def test_only_the_teacher_in_turn_follows():
    method = AlternatingTeachers((LEAVES,), period=1)
    networks = method.build(context())
    with torch.no_grad():
        for parameter in networks.network.parameters():
            parameter.add_(1.0)

    def gap(teacher: torch.nn.Module) -> float:
        pairs = zip(teacher.parameters(), networks.network.parameters(), strict=True)
        return max(float((a - b).detach().abs().max()) for a, b in pairs)

    assert gap(networks.first) == gap(networks.second) == 1.0
    method.after_step(networks, Progress("train", 2, 10))  # 2/3 of itself, 1/3 of the student
    assert gap(networks.first) == pytest.approx(2 / 3, abs=1e-5)
    assert gap(networks.second) == 1.0
    method.after_step(networks, Progress("train", 3, 10))
    assert gap(networks.second) == pytest.approx(0.75, abs=1e-5)
    assert not any(p.requires_grad for p in networks.second.parameters())


def test_nothing_is_learnt_from_labels_below_the_threshold():
    method = AlternatingTeachers((LEAVES,), threshold=1.0)
    found = method.losses(method.build(context()), batch(), Progress("train", 5, 10))
    assert found.terms["consistency"].item() == 0
    assert found.terms["seg"] > 0
