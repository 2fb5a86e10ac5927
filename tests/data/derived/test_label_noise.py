"""Noisy support labels: as far from the truth as asked, and the target untouched."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.derived.label_noise import (
    mean_dice,
    perturb,
    support_values,
    with_noisy_supports,
)
from hinterland.data.io.volume import read_label
from hinterland.phantoms.dataset import make_phantoms
from hinterland.types import HinterlandError


def anatomy(shape=(1, 64, 64)) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    label[:, 8:40, 8:30] = 1
    label[:, 20:60, 36:58] = 2
    label[:, 15:22, 12:20] = 3  # the target, inside 1
    return label


def test_mean_dice_by_hand():
    a, b = np.array([1, 1, 0, 2]), np.array([1, 0, 0, 0])
    assert mean_dice(a, b, [1]) == pytest.approx(2 / 3)
    assert mean_dice(a, b, [1, 2]) == pytest.approx(1 / 3)
    assert mean_dice(a, b, [7]) == 1


@pytest.mark.parametrize("dice", [0.9, 0.7, 0.5])
@pytest.mark.parametrize("shape", [(1, 64, 64), (12, 64, 64)])
def test_the_dice_asked_for_is_reached_and_the_target_stays(dice, shape):
    label = anatomy(shape)
    noisy, reached = perturb(label, [1, 2], [3], dice, np.random.default_rng(0))
    assert reached == pytest.approx(dice, abs=0.02)
    assert reached == pytest.approx(mean_dice(label, noisy, [1, 2]))
    assert ((noisy == 3) == (label == 3)).all()
    assert set(np.unique(noisy)) <= {0, 1, 2, 3}
    again, _ = perturb(label, [1, 2], [3], dice, np.random.default_rng(0))
    assert (again == noisy).all()
    other, _ = perturb(label, [1, 2], [3], dice, np.random.default_rng(1))
    assert (other != noisy).any()


def test_nothing_to_bend():
    label = anatomy()
    assert perturb(label, [1, 2], [3], 1.0, np.random.default_rng(0))[0] is label
    assert perturb(label, [9], [3], 0.5, np.random.default_rng(0))[1] == 1


def test_a_data_set_with_noisy_supports_in_some_cases(tmp_path):
    data = read_dataset(make_phantoms(tmp_path / "data", cases=(2, 0, 1), size=24))
    target = data.labels.tree.leaves_under("lesion")
    assert support_values(data.labels.scheme("full"), target) == ([1, 2, 3, 4], [5])
    noisy = with_noisy_supports(data, [data.cases[0].name], 0.7, 0, tmp_path / "noise")
    assert noisy.cases[1:] == data.cases[1:]
    changed, original = noisy.cases[0].label, data.cases[0].label
    assert changed != original
    assert changed.name == original.name
    old, new = read_label(original).array, read_label(changed).array
    assert mean_dice(old, new, [1, 2, 3, 4]) == pytest.approx(0.7, abs=0.05)
    assert ((old == 5) == (new == 5)).all()
    record = json.loads((changed.parent / "noise.json").read_text())
    assert record["asked"] == 0.7
    assert record["reached"] == pytest.approx(mean_dice(old, new, [1, 2, 3, 4]), abs=1e-3)
    before = changed.stat().st_mtime_ns
    assert with_noisy_supports(data, [data.cases[0].name], 0.7, 0, tmp_path / "noise") == noisy
    assert changed.stat().st_mtime_ns == before
    with pytest.raises(HinterlandError, match="expected a number above 0"):
        with_noisy_supports(data, [], 0.0, 0)
