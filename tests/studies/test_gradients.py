"""Scores and information of a last layer: against differentiation, and on a trained phantom run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import jacrev

from hinterland.data.dataset.read import read_dataset
from hinterland.phantoms.dataset import make_phantoms
from hinterland.studies.gradients.analysis import analyse_gradients
from hinterland.studies.gradients.measure import Voxels, summarise
from hinterland.theory import fisher
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Case, HinterlandError

NAMES = ("rest", "liver", "spleen", "lesion")
COARSE = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)


def voxels(seed: int, count: int = 40) -> tuple[Voxels, torch.Tensor]:
    """Random voxels of a linear layer, and its weights (cells, features)."""
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    h = torch.cat([h, torch.ones(count, 1, dtype=h.dtype)], dim=1)
    weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(9), dtype=h.dtype)
    labels = torch.randint(-1, 4, (count,), generator=generator)
    return Voxels(h, (h @ weights.T).softmax(1), labels), weights


def case(name: str) -> Case:
    return Case(name, (Path(name),), Path(name), "full", name)


def test_scores_and_information_are_those_of_differentiation():
    (one, weights), (two, _) = voxels(0), voxels(1)
    found = summarise([one, two], NAMES, COARSE, 0, [case("a"), case("b")])
    assert found.structures == NAMES[:3]
    h = torch.cat([one.features, two.features])
    label = torch.cat([one.cells, two.cells])

    def log_likelihood(w: torch.Tensor) -> torch.Tensor:
        return (h @ w.T).log_softmax(1)

    gradients = jacrev(log_likelihood)(weights).flatten(2)  # voxels, labels, parameters
    for k in range(3):
        expected = gradients[label == k, k].mean(0)
        assert np.allclose(found.scores[k], expected)
        assert found.counts[k] == int((label == k).sum())
    whole = jacrev(lambda w: (h @ w.T).log_softmax(1)[:, :3].logsumexp(1))(weights).flatten(1)
    inside = (label >= 0) & (label < 3)
    assert np.allclose(found.background, whole[inside].mean(0))

    J = jacrev(lambda w: h @ w.T)(weights).flatten(2)
    p = torch.cat([one.probabilities, two.probabilities])
    fine = fisher.information(J, fisher.label_covariance(p)).mean(0)
    assert np.allclose(found.fine, fine)
    coarse = fisher.information(J, fisher.binary_term(p, 3)).mean(0)
    assert np.allclose(found.coarse, coarse)
    assert np.linalg.eigvalsh(found.fine - found.coarse).min() > -1e-12  # Theorem 1
    assert found.cases["fine"].mean() == pytest.approx(float(fine.trace()))
    lost = 1 - found.cases["coarse"] / found.cases["fine"]
    assert np.allclose(found.cases["lost"], lost)


def test_shares_are_what_a_split_adds_and_two_parts_need_one_cut():
    one, _ = voxels(2)
    found = summarise([one], NAMES, COARSE, 0, [case("a")])
    whole = float(found.cases["lost"].iloc[0])
    assert all(0 < share < whole for share in found.shares.values())
    pair = torch.tensor([[1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    merged = torch.stack(
        [one.probabilities[:, :2].sum(1), one.probabilities[:, 2], one.probabilities[:, 3]], dim=1
    )
    two = summarise([Voxels(one.features, merged, one.cells.clamp(max=2))], ("a", "b", "c"), pair,
                    0, [case("a")])  # fmt: skip
    assert two.shares["a"] == pytest.approx(two.shares["b"])
    assert two.shares["a"] == pytest.approx(float(two.cases["lost"].iloc[0]))


def test_many_features_are_seen_along_their_main_directions():
    one, _ = voxels(3)
    wide = torch.cat([one.features, 1e-9 * torch.randn(40, 600, dtype=torch.float64)], dim=1)
    plain = summarise([one], NAMES, COARSE, 0, [case("a")])
    found = summarise([Voxels(wide, one.probabilities, one.cells)], NAMES, COARSE, 0, [case("a")])
    assert len(found.fine) == 1200
    assert np.trace(found.fine) == pytest.approx(np.trace(plain.fine))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of two steps on phantoms: every leaf, and the target alone."""
    folder = tmp_path_factory.mktemp("gradients")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
        data = read_dataset(make_phantoms(folder / "data", (3, 1, 2), dims=2, size=32))
        config = make_config(
            {"steps": 2, "precision": "fp32", "batch_size": 2, "patch_size": [32, 32],
             "network_options": {"features": [4, 8]}, "validation": {"mirror": False}}
        )  # fmt: skip
        for method in ("backsplit", "supervised"):
            run_or_resume(RunRequest(data, method, fold="fixed", config=config), folder / method)
        yield Run(folder / "backsplit"), Run(folder / "supervised"), folder


def test_of_a_run(runs):
    run, binary, folder = runs
    found = analyse_gradients([run], folder / "out", voxels=300)
    assert analyse_gradients([run], folder / "again", voxels=300)["runs"] == found["runs"]
    told = found["runs"]["backsplit"]
    assert told["dims"] == 2
    assert 0 < told["low"] <= told["lost"] <= told["high"] < 1
    assert -1 <= told["cosine"] <= 1
    table = pd.read_csv(folder / "out" / "structures.csv")
    assert table["structure"].tolist() == list(told["added"])
    assert table["voxels"].sum() <= 2 * 300
    assert table["cosine_with_background"].dropna().between(-1, 1).all()
    assert len(pd.read_csv(folder / "out" / "cases.csv")) == 2
    assert (folder / "out" / "gradients.png").stat().st_size > 5000
    with pytest.raises(HinterlandError, match="tells no structures apart"):
        analyse_gradients([binary], folder / "new")
    with pytest.raises(HinterlandError, match="not empty"):
        analyse_gradients([run], folder / "out")
