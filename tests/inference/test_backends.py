"""Backends: the same probabilities as torch's for every network, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import plan_of

from hinterland.inference.backends import registry
from hinterland.inference.backends.graph import Answer, example, write_onnx
from hinterland.inference.backends.registry import BACKENDS, Settings, backend_named, refuse_unfit
from hinterland.inference.volumes import Predictor, WindowOptions
from hinterland.labels import Coarsening, LabelTree
from hinterland.networks import create, network_names, patch_multiple
from hinterland.networks.in_parts import head_in_parts
from hinterland.types import HinterlandError

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
RUNTIMES = ("onnxruntime", "openvino")
TREE = LabelTree({"rest": {}, "organ": {"healthy": {}, "lesion": {}}})


def softmax(network, image):
    return network(image).softmax(1)


# resenc-l is resenc-m; swinunetr takes minutes, and test_export_onnx holds its graph to torch
CASES = [
    pytest.param(name, dims, marks=[pytest.mark.slow] * (name != "unet"))
    for name in network_names()
    for dims in (2, 3)
    if name not in ("resenc-l", "swinunetr")
]


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_every_network_answers_as_torch_does(name, dims, tmp_path):
    features = None if name in ("unet", "resenc-m") else (8, 16)
    patch = (32, *(16,) * (dims - 1))
    multiple = patch_multiple(name, plan_of(patch, (4, 8, 8), ("T1", "T2")))
    patch = (max(patch[0], 2 * multiple[0]), *map(max, patch[1:], multiple[1:]))
    plan = plan_of(patch, (4, 8, 8), ("T1", "T2"))
    network = create(name, plan, 3, features=features)
    answer = Answer(network, softmax).eval()
    write_onnx(answer, plan, tmp_path / "network.onnx", "Not here.")
    images = [example(plan, batch) for batch in (1, 2)]
    with torch.inference_mode():
        expected = [answer(image) for image in images]
    for runtime in RUNTIMES:
        backend = backend_named(runtime)
        backend.convert(tmp_path / "network.onnx", tmp_path)
        compiled = backend.compile(tmp_path / backend.file, Settings(plan, 2))
        for image, theirs in zip(images, expected, strict=True):
            found = compiled(image)
            assert found.shape == theirs.shape
            torch.testing.assert_close(found, theirs, rtol=0, atol=1e-4)
            sure = theirs.topk(2, dim=1).values.diff(dim=1)[:, 0].abs() > 2e-4
            assert sure.float().mean() > 0.9
            assert torch.equal(found.argmax(1)[sure], theirs.argmax(1)[sure])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_volumes_and_sums_of_groups_are_torchs(runtime, tmp_path):
    """Batches that do not fill up, mirroring, questions coarser than the cells."""
    plan = plan_of((16, 16))
    network = create("unet", plan, 3, seed=3).eval()
    answer = Answer(network, softmax).eval()
    write_onnx(answer, plan, tmp_path / "network.onnx", "Not here.")
    backend = backend_named(runtime)
    backend.convert(tmp_path / "network.onnx", tmp_path)
    compiled = backend.compile(tmp_path / backend.file, Settings(plan, 4))
    options = WindowOptions(mirror=(0, 1), batch=4)
    image = np.random.default_rng(0).normal(size=(1, 3, 20, 30)).astype(np.float32)
    coarse = Coarsening.from_dict(TREE, {"a": ["rest"], "b": ["organ"]})
    questions = (TREE.leaves, coarse)
    theirs, ours = (
        Predictor(model, plan, TREE.leaves, options).log_probabilities(image, *questions)
        for model in (answer, compiled)
    )
    assert theirs.shape == (5, 3, 20, 30)
    np.testing.assert_allclose(np.exp(ours), np.exp(theirs), atol=1e-4)


def test_a_head_in_parts_is_the_whole_head(tmp_path):
    """With many classes the graph ends at the feature maps, and torch computes the head."""
    plan = plan_of((16, 16, 16))
    network = create("unet", plan, 200).eval()
    features = Answer(network, lambda n, x: n.decode(n.encode(x))[0]).eval()
    write_onnx(features, plan, tmp_path / "network.onnx", "Not here.")
    backend = backend_named("openvino")
    backend.convert(tmp_path / "network.onnx", tmp_path)
    compiled = backend.compile(tmp_path / backend.file, Settings(plan, 1))
    image = example(plan, 1)
    with torch.inference_mode():
        theirs = softmax(network, image)
        ours = head_in_parts(network.head, compiled(image), 200, lambda p: p[:, :7])
    torch.testing.assert_close(ours, theirs[:, :7], rtol=0, atol=1e-4)


def test_what_cannot_be_expressed_is_refused_in_one_message(tmp_path):
    class Undecided(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(HinterlandError, match=r"cannot be exported to ONNX: .* Leave it"):
        write_onnx(Undecided(), plan_of((16, 16)), tmp_path / "network.onnx", "Leave it.")
    assert not list(tmp_path.iterdir())


def test_refusals(monkeypatch):
    with pytest.raises(HinterlandError, match="'tensorrt': expected one of torch, onnxruntime"):
        backend_named("tensorrt")
    with pytest.raises(HinterlandError, match="computes on CPUs, not on cuda"):
        refuse_unfit("openvino", "cuda", None)
    with pytest.raises(HinterlandError, match="computes in fp32, not in bf16"):
        refuse_unfit("onnxruntime", "cpu", "bf16")
    refuse_unfit("openvino", "cpu", "bf16")
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    for name in BACKENDS:
        with pytest.raises(HinterlandError, match=r"pip install 'hinterland\[fast\]'"):
            backend_named(name)
