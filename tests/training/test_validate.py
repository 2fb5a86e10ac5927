"""The Dice that selects a checkpoint is decoded as the predictions that are reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hinterland.data.preprocessing.cache import prepare
from hinterland.inference.volumes import Predictor
from hinterland.training.validation.validate import confidence, mean_score, validate


@pytest.mark.parametrize(("sure_of_it", "found"), [(0.4, False), (0.6, True)])
def test_the_summed_background_decides_not_the_most_probable_cell(
    phantoms, plan, sure_of_it, found
):
    """A lesion of probability .4 beside organs of .6 together is no lesion, one of .6 is."""
    spec = phantoms.labels
    cells, at = spec.tree.leaves, spec.target
    lesion = cells.names.index("lesion")
    p = torch.full((len(cells),), (1 - sure_of_it) / (len(cells) - 1))
    p[lesion] = sure_of_it
    assert p.argmax() == lesion  # in both cases it is the most probable cell
    prepared = prepare(phantoms, plan, workers=0, cases=phantoms.val)

    def model(x: torch.Tensor) -> torch.Tensor:
        return p.view(1, -1, 1, 1, 1).expand(len(x), -1, *x.shape[2:])

    predictor = Predictor(model, plan, cells)
    scores, sure = validate(predictor, phantoms.val, prepared, spec, spec.label_sets, at)
    case = phantoms.val[0]
    label = np.asarray(prepared[case.name].label)
    value = {leaves: v for v, leaves in spec.schemes["full"].values}[cells.groups[lesion]]
    share = float((label == value).mean())
    dice = 2 * share / (1 + share) if found else 0.0
    assert scores[case.name] == {"lesion": pytest.approx(dice)}
    entropy = -(p * p.log()).sum() / np.log(len(p))
    expected = {"confidence": sure_of_it, "entropy": float(entropy)}
    assert sure[case.name] == pytest.approx(expected, abs=1e-5)


def test_voxels_whose_annotation_does_not_decide_are_left_out(phantoms, plan):
    """Where the annotation says "lesion or host organ", a predicted lesion is neither right nor
    wrong."""
    spec = phantoms.labels
    cells, at = spec.tree.leaves, spec.target
    lesion, host = (cells.names.index(name) for name in ("lesion", "host"))
    values = {leaves: v for v, leaves in spec.schemes["full"].values}
    unsure = values[cells.groups[host]]
    either = cells.groups[lesion] | cells.groups[host]
    full = {v: either if v == unsure else leaves for v, leaves in spec.schemes["full"].values}
    vague = replace(spec, schemes={**spec.schemes, "full": replace(
        spec.schemes["full"], values=tuple(full.items()))})  # fmt: skip
    prepared = prepare(phantoms, plan, workers=0, cases=phantoms.val)

    def model(x: torch.Tensor) -> torch.Tensor:
        p = torch.full((len(cells),), 0.01)
        p[lesion] = 1.0
        return p.view(1, -1, 1, 1, 1).expand(len(x), -1, *x.shape[2:])

    case = phantoms.val[0]
    predictor = Predictor(model, plan, cells)
    scores, _ = validate(predictor, [case], prepared, vague, vague.label_sets, at)
    label = np.asarray(prepared[case.name].label)
    share = float((label == values[cells.groups[lesion]])[label != unsure].mean())
    assert scores[case.name] == {"lesion": pytest.approx(2 * share / (1 + share))}


def test_mean_score_is_over_cases_then_groups():
    score, means = mean_score({"a": {"x": 1.0, "y": 0.0}, "b": {"x": 0.5}})
    assert means == {"x": 0.75, "y": 0.0}
    assert score == pytest.approx(0.375)


def test_sureness_is_one_and_zero_where_nothing_is_open():
    certain = np.log(np.array([[1 - 1e-9, 1e-9], [1e-9, 1 - 1e-9]]))
    assert confidence(certain) == pytest.approx({"confidence": 1.0, "entropy": 0.0}, abs=1e-6)
    even = np.log(np.full((4, 3), 0.25))
    assert confidence(even) == pytest.approx({"confidence": 0.25, "entropy": 1.0})
