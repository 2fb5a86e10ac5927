"""The best checkpoint is chosen by what it is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hinterland.classification.trainer import selected
from hinterland.data.preprocessing.cache import prepare
from hinterland.inference.volumes import Predictor
from hinterland.training.validation.selection import (
    Presence,
    presence,
    require_presence,
    selection_score,
)
from hinterland.training.validation.validate import mean_score, validate
from hinterland.types import HinterlandError


def test_presence_counts_the_scaled_pixels_of_the_rule():
    p = np.zeros((1, 64, 64))
    p[0, 0, :8] = 0.7  # 100 pixels of 224 x 224 are 8 of 64 x 64
    assert presence(p, True) == Presence(pytest.approx(0.7), True, True)
    p[0, 0, 7] = 0.3
    assert presence(p, True) == Presence(pytest.approx((7 * 0.7 + 0.3) / 8), False, True)


def test_each_criterion_by_hand():
    cases = {
        "a": {"x": Presence(0.9, True, True)},
        "b": {"x": Presence(0.4, False, True)},
        "c": {"x": Presence(0.5, True, False)},
        "d": {"x": Presence(0.1, False, False)},
        "e": {"y": Presence(0.1, False, True)},  # a group that is everywhere says nothing
    }
    assert selection_score("dice", 0.58, cases) == 0.58
    assert selection_score("auroc", 0.58, cases) == 0.75
    assert selection_score("balanced-accuracy", 0.58, cases) == 0.5
    assert np.isnan(selection_score("last", 0.58, cases))
    require_presence("auroc", cases)
    with pytest.raises(HinterlandError, match="with the target and without"):
        require_presence("auroc", {"e": cases["e"]})


def test_silence_has_a_dice_but_no_auroc(phantoms, plan):
    """Where most images are empty, an empty prediction has a high Dice and tells nothing apart."""
    spec = phantoms.labels
    cells, at = spec.tree.leaves, spec.target
    background = next(i for i, g in enumerate(cells.groups) if g <= at.groups[at.background])
    p = torch.full((len(cells),), 0.01)
    p[background] = 1 - 0.01 * (len(cells) - 1)

    def silent(x: torch.Tensor) -> torch.Tensor:
        return p.view(1, -1, 1, 1, 1).expand(len(x), -1, *x.shape[2:])

    cases = [phantoms.val[0]]
    hidden = [
        replace(c, label=None, scheme="none", name=c.name, image_labels={"lesion": y})
        for c, y in zip(phantoms.train[:3], (0, 0, 1), strict=True)
    ]
    prepared = prepare(phantoms, plan, workers=0, cases=[*cases, *phantoms.train[:3]])
    found: dict[str, dict[str, Presence]] = {}
    scores, _ = validate(
        Predictor(silent, plan, cells),
        [*cases, *hidden],
        prepared,
        spec,
        spec.label_sets,
        at,
        found,
    )
    assert set(scores) == {cases[0].name}  # Dice needs a mask
    assert {n: g["lesion"].truth for n, g in found.items() if n != cases[0].name} == {
        c.name: bool(c.image_labels["lesion"]) for c in hidden
    }
    assert not any(g["lesion"].called for g in found.values())
    assert selection_score("auroc", mean_score(scores)[0], found) == 0.5
    assert selection_score("balanced-accuracy", mean_score(scores)[0], found) == 0.5


def test_classifiers_choose_by_auroc_unless_told_otherwise():
    p = {n: np.array([1 - s, s]) for n, s in (("a", 0.4), ("b", 0.45), ("c", 0.6), ("d", 0.3))}
    targets = {"a": 0, "b": 1, "c": 1, "d": 0}
    assert selected(None, 0.9, p, targets) == 0.9
    assert selected("auroc", 0.9, p, targets) == 0.9
    assert selected("balanced-accuracy", 0.9, p, targets) == 0.75
    assert np.isnan(selected("last", 0.9, p, targets))
