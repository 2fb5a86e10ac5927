"""`predict --backend` and `quantise` as typed: the same labels, Dice by class, what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from cli_helpers import as_json

from hinterland.data.io.volume import read_label
from hinterland.training.runs.run import Run

IN_FULL = ("--precision", "fp32")  # the default may be bf16, which rounds otherwise in each

pytest.importorskip("openvino")
pytest.importorskip("nncf")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def run(runs, tmp_path_factory):
    """A copy of a run, whose weights are taken from its last checkpoint."""
    return shutil.copytree(runs / "binary", tmp_path_factory.mktemp("copy") / "run")


@pytest.fixture(scope="module")
def by_torch(hinterland, run, phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("torch") / "out"
    hinterland("predict", run, phantoms / "imagesTs", out, "--backend", "torch", *IN_FULL)
    return out


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_backend_predicts_the_same(hinterland, run, phantoms, by_torch, tmp_path, backend):
    hinterland(
        "predict", run, phantoms / "imagesTs", tmp_path / "out", "--backend", backend, *IN_FULL
    )
    files = sorted(by_torch.glob("*.png"))
    assert len(files) == 3
    for file in files:
        ours, theirs = (read_label(f).array for f in (tmp_path / "out" / file.name, file))
        assert (ours != theirs).mean() < 1e-3  # ties


def test_what_was_converted_is_used_again(run, monkeypatch):
    model = Run(run)
    image = np.random.default_rng(0).normal(size=(1, 1, 32, 32)).astype(np.float32)
    first = model.predictor(backend="openvino").log_probabilities(image, model.method.cells)
    monkeypatch.setattr(Run, "networks", None)  # neither built nor read
    again = model.predictor(backend="openvino").log_probabilities(image, model.method.cells)
    np.testing.assert_array_equal(first, again)


def test_wrong_backends_are_one_message(hinterland, run, phantoms, tmp_path):
    images, out = phantoms / "imagesTs", tmp_path / "out"
    for words, message in (
        (("--backend", "tensorrt"), "expected one of torch, onnxruntime, openvino"),
        (("--backend", "onnxruntime", "--precision", "bf16"), "computes in fp32, not in bf16"),
        (("--backend", "openvino-int8"), "hinterland quantise"),
    ):
        result = hinterland("predict", run, images, out, *words, code=1)
        assert message in result.stderr
    assert not out.exists()


def test_int8_is_judged_on_validation_cases(hinterland, run, phantoms, tmp_path):
    found = as_json(hinterland("quantise", run, "--tiles", 6, "--tolerance", 1, "--json"))
    note = json.loads((run / "int8" / "quantised.json").read_text())
    assert note["validation_cases"] == len(Run(run).record.split["val"])
    assert found["dice"]["full"].keys() == found["dice"]["int8"].keys() != set()
    assert note["dice"] == found["dice"]
    assert "exists already" in hinterland("quantise", run, code=1).stderr
    hinterland("predict", run, phantoms / "imagesTs", tmp_path / "o", "--backend", "openvino-int8")
    assert sorted((tmp_path / "o").glob("*.png"))
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + "\n")
    words = ("predict", run, phantoms / "imagesTs", tmp_path / "p", "--backend", "openvino-int8")
    assert "no int8 network of its" in hinterland(*words, code=1).stderr


def test_int8_that_loses_too_much_is_refused(hinterland, run, monkeypatch):
    """Full precision is said to have every voxel right, and int8 none."""
    from hinterland.training.runs import quantise

    answers = iter([{"lesion": 0.9, "rest": 0.9}, {"lesion": 0.88, "rest": 0.9}])
    monkeypatch.setattr(quantise, "_dice", lambda *_: next(answers))
    shutil.rmtree(run / "int8", ignore_errors=True)
    said = hinterland("quantise", run, "--tiles", 4, code=1).stderr
    assert "a class loses 0.0200 of Dice" in said
    assert "lesion: Dice 0.9000 in full precision, 0.8800 in int8" in said
    assert not (run / "int8").exists()
    assert not [p for p in run.iterdir() if "int8" in p.name]


def test_a_package_that_is_missing_is_named(hinterland, run, monkeypatch):
    from hinterland.training.runs import quantise

    monkeypatch.setattr(quantise, "find_spec", lambda name: None if name == "nncf" else object())
    assert "int8 needs nncf: pip install" in hinterland("quantise", run, code=1).stderr
