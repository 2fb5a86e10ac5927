"""ONNX files, run by onnxruntime alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from factories import plan_of

from hinterland.export.onnx import export_onnx
from hinterland.networks import create, network_names, recipe
from hinterland.types import HinterlandError, Plan

onnxruntime = pytest.importorskip("onnxruntime")
LABELS = {"rest": 0, "lung": 1, "infection": 2}


def plan_for(patch: tuple[int, ...]) -> Plan:
    return plan_of(patch, (8, 8, 8), ("T1", "T2"), median_shape=(64, 64, 64))


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("unet", 2),
        pytest.param("unet", 3, marks=pytest.mark.slow),
        pytest.param("resenc-m", 3, marks=pytest.mark.slow),
        pytest.param("segresnet", 3, marks=pytest.mark.slow),
        pytest.param("swinunetr", 2, marks=pytest.mark.slow),
        pytest.param("swinunetr", 3, marks=pytest.mark.slow),
        pytest.param("transunet", 3, marks=pytest.mark.slow),
        pytest.param("swinunet", 2, marks=pytest.mark.slow),
    ],
)
def test_onnxruntime_gives_the_same_probabilities(name, dims, tmp_path):
    assert name in network_names()
    patch = (64,) * dims if name.startswith("swin") else (32 if name == "transunet" else 16,) * dims
    plan = plan_for(patch)
    narrow = (16, 16) if name == "transunet" else None
    network = create(name, plan, 3, recipe(name).deep_supervision, features=narrow).train()
    difference = export_onnx(network, plan, LABELS, tmp_path / "model.onnx")
    assert difference < 1e-4
    assert network.training
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]

    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["hinterland.labels"]) == LABELS
    assert Plan.from_json(metadata["hinterland.plan"]) == plan
    image = np.random.default_rng(0).normal(size=(1, 2, *patch)).astype(np.float32)
    (theirs,) = session.run(["probabilities"], {"image": image})
    with torch.no_grad():
        ours = network.eval()(torch.from_numpy(image)).softmax(1).numpy()
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_refusals(tmp_path):
    plan = plan_for((16, 16))
    (tmp_path / "there.onnx").write_text("precious")
    with pytest.raises(HinterlandError, match="exists already"):
        export_onnx(create("unet", plan, 3), plan, LABELS, tmp_path / "there.onnx")

    class Undecided(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(HinterlandError, match="cannot be exported"):
        export_onnx(Undecided(), plan, LABELS, tmp_path / "new.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["there.onnx"]
    assert (tmp_path / "there.onnx").read_text() == "precious"
