"""Ranking cases by how far a model's own opinions are apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.volume import read_volume
from hinterland.data.planning.fingerprint import fingerprint
from hinterland.data.planning.plan import make_plan
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.inference.uncertainty import (
    disagreement,
    ensemble_predictions,
    map_path,
    rank_cases,
    soft_jaccard_distance,
    uncertainty,
    unseen,
)
from hinterland.methods import make_method
from hinterland.methods.cvbm.method import CVBM
from hinterland.phantoms.dataset import make_phantoms
from hinterland.training.config import make_config
from hinterland.training.runs.run_training import train
from hinterland.types import HinterlandError


def volume(*foreground: float) -> np.ndarray:
    """Two cells over a row of voxels."""
    p = np.array(foreground, np.float32)[None, None]
    return np.stack([1 - p, p])


def test_maps_by_hand():
    assert uncertainty(volume(0.5, 0.0, 1.0)).ravel() == pytest.approx([1, 0, 0], abs=1e-6)
    four = np.full((4, 1, 1, 1), 0.25)
    assert uncertainty(four).item() == pytest.approx(1)
    apart = disagreement([volume(0.9, 0.2), volume(0.4, 0.2)])
    assert apart.ravel() == pytest.approx([0.5, 0.0])
    three = disagreement([volume(1.0), volume(0.0), volume(0.0)])
    assert three.item() == pytest.approx(2 / 3)
    assert not disagreement([volume(0.3)]).any()


def test_score_is_one_minus_jaccard_for_masks():
    one, two = np.zeros((2, 40, 40)), np.zeros((2, 40, 40))
    one[1, :20], two[1, 10:30] = 1, 1  # 800 voxels each, 400 in common
    found = soft_jaccard_distance([one[:, None], two[:, None]], [1])
    assert found[1] == pytest.approx(1 - 401 / 1201)
    nothing = np.zeros((2, 1, 4, 4))
    assert soft_jaccard_distance([nothing, nothing], [1]) == {1: 0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("annotate")
    dataset = read_dataset(make_phantoms(root / "data", cases=(4, 1, 1), size=24))
    config = make_config(
        {
            "steps": 2, "precision": "fp32", "batch_size": 2, "validation": {"mirror": False},
            "network_options": {"features": (4, 8)},
        }
    )  # fmt: skip
    plan = make_plan(fingerprint(dataset), memory_gb=1.0)
    method = make_method("cvbm", dataset.labels, options={"pretrain": 0.5})
    return train(
        dataset, plan, method, out=root / "run", fold="fixed", config=config, labelled="2",
        finish=False,
    )  # fmt: skip


def test_cases_are_ranked_and_maps_written(run, tmp_path):
    cases = run.dataset.train[:3]
    table = rank_cases(run, cases, maps=tmp_path)
    assert sorted(table["case"]) == sorted(c.name for c in cases)
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["score"].is_monotonic_decreasing
    assert table["score"].between(0, 1).all()
    for case in cases:
        shape = read_volume(case.images).array.shape[-3:]
        for kind in ("uncertainty", "disagreement"):
            written = read_volume((map_path(tmp_path, case, kind),)).array
            assert written.shape[-3:] == shape
            assert written.min() >= 0
            assert written.max() <= 1 + 1e-6
            assert written.max() > 0
    with pytest.raises(HinterlandError, match="exists already"):
        rank_cases(run, cases, maps=tmp_path)
    with pytest.raises(HinterlandError, match="no cases to rank"):
        rank_cases(run, [])


def test_all_opinions_come_from_one_pass_and_are_what_each_gives_alone(run, monkeypatch):
    method, predictor, networks = run.method, run.predictor(), run.networks()
    case = run.dataset.test[0]
    image, _, _ = preprocess(read_volume(case.images), run.record.plan)
    alone = [
        np.exp(
            replace(predictor, model=lambda x, i=i: method.ensemble_predictions(networks, x)[i])
            .log_probabilities(image, method.cells)
        )
        for i in range(3)
    ]  # fmt: skip
    passes = []
    forward = CVBM.ensemble_predictions
    monkeypatch.setattr(CVBM, "ensemble_predictions", lambda *a: passes.append(1) or forward(*a))
    ((_, _, _, found),) = ensemble_predictions(run, [case], options=predictor.options)
    assert len(found) == 3
    for one, other in zip(found, alone, strict=True):
        assert np.abs(one - other).max() < 1e-5
    together = len(passes)
    passes.clear()
    predictor = replace(predictor, model=lambda x: method.ensemble_predictions(networks, x)[0])
    predictor.log_probabilities(image, method.cells)
    assert together == len(passes)


def test_cases_whose_labels_the_run_has_seen_are_left_out(run, tmp_path):
    found = unseen(run, run.dataset.cases)
    kept = {c.name for c in found}
    labelled = [n for n in run.record.split["train"] if run.record.schemes[n] != "none"]
    assert len(labelled) == 2
    assert kept == {c.name for c in run.dataset.cases} - {*labelled, *run.record.split["val"]}
    assert all(c.group == run.record.groups[c.name] for c in found)
    elsewhere = replace(run.dataset[labelled[0]], images=(tmp_path / "same-name.nii.gz",))
    assert unseen(run, [elsewhere]) == (elsewhere,)
