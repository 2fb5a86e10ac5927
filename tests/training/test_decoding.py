"""A coarser question is answered by the sums of its groups, wherever it is asked."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from training_helpers import quick

from hinterland.data.dataset.decoded import decoded_at, folder_at
from hinterland.evaluation.folders import evaluate_folders
from hinterland.inference.folder import predict_files
from hinterland.inference.volumes import Decoding, Predictor, WindowOptions
from hinterland.labels import group_values
from hinterland.methods import make_method
from hinterland.report.false_positives import false_positives_by_structure
from hinterland.training.runs.run_training import train

LESION = "lesion"


def binary_model(x: torch.Tensor) -> torch.Tensor:
    """Say lesion where an image is bright, with probabilities from 0 to 1."""
    p = torch.sigmoid(2 * (x[:, :1] - 1))
    return torch.cat([1 - p, p], dim=1)


def split_model(cells):
    """The same model just after its background was split into equal children."""
    place = cells.names.index(LESION)

    def model(x: torch.Tensor) -> torch.Tensor:
        p = binary_model(x)
        parts = [p[:, :1] / (len(cells) - 1)] * len(cells)
        parts[place] = p[:, 1:]
        return torch.cat(parts, dim=1)

    return model


@pytest.fixture
def folders(phantoms, plan, tmp_path):
    """Predictions of the binary model, and of the one that was split."""
    spec = phantoms.labels
    at, cells = spec.target, spec.tree.leaves
    jobs = [(c.name, c.images) for c in phantoms.test]
    values = {q: group_values(q, spec.default_scheme) for q in (at, cells)}
    list(predict_files(Predictor(binary_model, plan, at), jobs, tmp_path / "binary", at,
                       values[at]))  # fmt: skip
    list(predict_files(Predictor(split_model(cells), plan, cells), jobs, tmp_path / "split", cells,
                       values[cells], also={"target": Decoding(at, values[at])}))  # fmt: skip
    return tmp_path / "binary", tmp_path / "split"


def _volume(folder, case, value) -> int:
    return int((np.asarray(nib.load(folder / case.label.name).dataobj) == value).sum())


def test_a_split_background_leaves_the_volume_of_the_target_as_it_was(folders, phantoms):
    """The manipulation check: 1 by sums of groups, where the most probable cell had far more."""
    binary, split = folders
    case = phantoms.test[0]
    value = group_values(phantoms.labels.target, phantoms.labels.default_scheme)[LESION]
    before = _volume(binary, case, value)
    assert before > 0
    assert _volume(folder_at(split, "target"), case, value) == before
    assert _volume(split, case, value) > 1.5 * before


def noise_model(cells):
    """A model that disagrees with itself about mirrored tiles, with all leaves in play."""

    def model(x: torch.Tensor) -> torch.Tensor:
        lines = torch.arange(x.shape[-1], dtype=torch.float32)
        waves = [torch.cos(x[:, :1] * (i + 1) + lines * (i + 2)) for i in range(len(cells))]
        return (3 * torch.cat(waves, dim=1)).softmax(dim=1)

    return model


def test_a_question_has_one_answer_whatever_else_is_asked(phantoms, plan, tmp_path):
    """With flips and overlapping tiles: asked alone, beside the leaves, and in validation."""
    spec = phantoms.labels
    at, cells = spec.target, spec.tree.leaves
    jobs = [(c.name, c.images) for c in phantoms.test]
    values = {q: group_values(q, spec.default_scheme) for q in (at, cells)}
    options = WindowOptions(mirror=(0, 1, 2))
    patched = replace(plan, patch_size=tuple(n // 2 for n in plan.patch_size))
    predictor = Predictor(noise_model(cells), patched, cells, options)
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    list(predict_files(predictor, jobs, alone, at, values[at]))
    list(predict_files(predictor, jobs, beside, cells, values[cells],
                       also={"target": Decoding(at, values[at])}))  # fmt: skip
    for case in phantoms.test:
        file = case.label.name
        assert (folder_at(beside, "target") / file).read_bytes() == (alone / file).read_bytes()
    image = (
        np.random.default_rng(0)
        .normal(size=(1, *nib.load(phantoms.test[0].images[0]).shape[::-1]))
        .astype(np.float32)
    )
    both = predictor.log_probabilities(image, cells, at)
    np.testing.assert_array_equal(both[len(cells) :], predictor.log_probabilities(image, at))
    # the mean of sums is not the sum of means: that order is what makes the answers one
    late = np.logaddexp.reduce(both[[i for i in range(len(cells)) if at.over(cells)[0, i]]])
    assert (late != both[len(cells)]).any()


def test_what_is_evaluated_at_a_question_is_what_was_decoded_at_it(folders, phantoms):
    binary, split = folders
    spec, cases = phantoms.labels, phantoms.test
    questions = {"leaves": spec.tree.leaves, "mine": spec.target}
    table = evaluate_folders(split, cases, spec=spec, at=questions, threads=1)
    assert list(dict.fromkeys(table["coarsening"])) == ["leaves", "mine"]
    own = table[table["coarsening"] == "mine"]["dice"].tolist()
    expected = evaluate_folders(binary, cases, spec=spec, at={"mine": spec.target}, threads=1)
    assert own == expected["dice"].tolist()
    whole = table[(table["coarsening"] == "leaves") & (table["class"] == LESION)]["dice"].tolist()
    assert whole != own  # the leaves are told apart by the most probable one
    found = [
        false_positives_by_structure(f, cases, spec=spec, at={"target": spec.target}, threads=1)
        for f in (binary, split)
    ]
    assert found[0]["voxels"].tolist() == found[1]["voxels"].tolist()


def test_a_question_that_was_not_decoded_is_merged_with_a_warning(folders, phantoms, caplog):
    _, split = folders
    other = phantoms.labels.question("lesion+host")
    with caplog.at_level(logging.WARNING):
        assert decoded_at(split, other) == split
    assert "was not decoded at the question" in caplog.text
    caplog.clear()
    (split / "dataset.json").write_text(json.dumps({"labels": {"background": 0}}))
    with caplog.at_level(logging.WARNING):
        assert decoded_at(split, phantoms.labels.target) == split  # as runs were written before
    assert not caplog.text


def test_replaced_predictions_leave_no_old_decoding_behind(folders, phantoms, plan):
    _, split = folders
    spec = phantoms.labels
    cells = spec.tree.leaves
    jobs = [(c.name, c.images) for c in phantoms.test]
    predictor = Predictor(split_model(cells), plan, cells)
    values = group_values(cells, spec.default_scheme)
    list(predict_files(predictor, jobs, split, cells, values, overwrite=True))
    assert not folder_at(split, "target").exists()


def test_a_run_decodes_each_volume_once_and_reports_the_sums(phantoms, plan, tmp_path):
    run = train(
        phantoms, plan, make_method("backsplit", phantoms.labels), out=tmp_path / "run",
        fold="fixed", config=quick(steps=2, batch_size=1, patch_size=(16, 16, 16)),
    )  # fmt: skip
    at, cells = phantoms.labels.target, run.method.cells
    asked = run.predict(phantoms.test, tmp_path / "asked", at=at)
    place = decoded_at(run.path / "predictions", at)
    assert place == folder_at(run.path / "predictions", "target")
    for case in phantoms.test:
        one, other = (np.asarray(nib.load(f / case.label.name).dataobj) for f in (asked, place))
        assert np.array_equal(one, other)
    assert decoded_at(run.path / "predictions", cells) == run.path / "predictions"


def test_a_binary_run_has_nothing_to_decode_again(phantoms, plan, tmp_path):
    run = train(
        phantoms, plan, make_method("supervised", phantoms.labels), out=tmp_path / "run",
        fold="fixed", config=quick(steps=2, batch_size=1, patch_size=(16, 16, 16)),
    )  # fmt: skip
    assert not (run.path / "predictions" / "at").exists()
