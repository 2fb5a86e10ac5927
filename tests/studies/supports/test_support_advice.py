"""The adviser: evidence by hand, uncertainty, and one whole run on phantoms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hinterland.data.dataset.read import read_dataset
from hinterland.phantoms.dataset import make_phantoms
from hinterland.studies.supports.advice import Question, _taken, advise_supports, conclude
from hinterland.studies.supports.evidence import borders, false_positives, holds
from hinterland.types import Case, HinterlandError


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Support 0 left, support 1 right, nothing above; one lesion in 0, one on the border."""
    supports = np.full((1, 20, 20), -1)
    supports[0, 5:, :10], supports[0, 5:, 10:] = 0, 1
    lesion = np.zeros((1, 20, 20), bool)
    lesion[0, 10:14, 2:6] = True
    lesion[0, 10:12, 9:11] = True
    supports[lesion] = -1
    return supports, lesion


def test_evidence_by_hand():
    supports, lesion = scene()
    assert holds(supports, lesion, 3) == pytest.approx([18 / 20, 2 / 20, 0])
    assert borders(supports, lesion, 3) == pytest.approx([1, 0.5, 0])
    false = np.zeros_like(lesion)
    false[0, 0:2, 0], false[0, 6, 15], false[0, 7, 3] = True, True, True
    assert false_positives(supports, false, 3) == pytest.approx([0.25, 0.25, 0])
    empty = np.zeros_like(lesion)
    for found in (holds(supports, empty, 2), borders(supports, empty, 2),
                  false_positives(supports, empty, 2)):  # fmt: skip
        assert np.isnan(found).all()


def test_the_set_is_small_and_holds_most_of_the_score():
    assert _taken(np.array([0.1, 0.9, 0.0])).tolist() == [False, True, False]
    assert _taken(np.array([0.3, 0.3, 0.3, 0.3, 0.3])).sum() == 3
    assert _taken(np.array([0.5, 0.5, 0.01])).sum() == 2
    assert not _taken(np.zeros(2)).any()


def test_uncertainty_resamples_patients():
    cases = [Case(f"c{i}", (), group=f"p{i // 2}") for i in range(8)]
    rng = np.random.default_rng(0)

    def column(first: float, second: float) -> tuple[np.ndarray, list[Case]]:
        return np.clip(rng.normal([first, second], 0.05, (8, 2)), 0, 1), cases

    columns = {n: column(0.8, 0.1) for n in ("holds", "borders", "information", "learnt")}
    columns |= {"variance": column(0.2, 0.2)}
    columns["false_positives"] = (np.full((8, 2), np.nan), cases)  # a flawless baseline
    advice = conclude(["organ", "far"], columns, 0)
    assert advice.table["support"].tolist() == ["organ", "far"]
    assert advice.take == ("organ",)
    first = advice.table.iloc[0]
    assert first["low"] < first["score"] < first["high"]
    assert first["chosen"] == 1.0
    assert advice.patients == 4
    assert advice.table["false_positives"].isna().all()
    # a support that nobody can learn is worth nothing
    columns["learnt"] = (np.tile([0.0, 0.9], (8, 1)), cases)
    assert conclude(["organ", "far"], columns, 0).take == ("far",)


def test_one_run_on_phantoms(tmp_path, monkeypatch):
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    data = read_dataset(make_phantoms(tmp_path / "data", cases=(5, 1, 1), size=24, dims=2))
    small = {"network_options": {"features": [4, 8]}, "precision": "fp32", "batch_size": 2}
    small["patch_size"] = [32, 32]
    question = Question(fold=0, steps=3, settings=small)
    before = torch.get_rng_state()
    advice = advise_supports(data, question, tmp_path / "advice")
    assert torch.equal(before, torch.get_rng_state())
    assert sorted(advice.table["support"]) == ["bowel", "decoy", "host", "spine"]
    rows = advice.table.set_index("support")
    assert rows.loc["host", "holds"] == pytest.approx(1, abs=0.2)
    assert rows["information"].sum() == pytest.approx(1)
    assert rows["variance"].between(0, 1).all()
    assert (tmp_path / "advice" / "table.csv").is_file()
    again = advise_supports(data, question, tmp_path / "advice")
    assert again.table.equals(advice.table)
    with pytest.raises(HinterlandError, match="Choose another"):
        advise_supports(data, Question(fold=0, steps=4, settings=small), tmp_path / "advice")
    with pytest.raises(HinterlandError, match="no support structure"):
        advise_supports(data, Question(("lesion",)), tmp_path / "other")
