"""Which of torch's switches a run sets, and that compiled parts keep their names and numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from device_jobs import SPEC, small_plan

from hinterland.methods import BuildContext, make_method
from hinterland.training.config import make_config
from hinterland.training.device import (
    arrange,
    choose_algorithms,
    compile_parts,
    refuse_missing_devices,
)
from hinterland.types import HinterlandError


@pytest.fixture(autouse=True)
def _as_before():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark
    tf32 = cudnn.allow_tf32, matmul.allow_tf32
    yield
    torch.use_deterministic_algorithms(before[0])
    cudnn.benchmark = before[1]
    cudnn.allow_tf32, matmul.allow_tf32 = tf32


@pytest.mark.parametrize(
    ("asked", "accelerator", "deterministic", "benchmark"),
    [
        ("auto", "cpu", True, False),
        ("auto", "cuda", False, True),
        (True, "cuda", True, False),
        (False, "cpu", False, False),
    ],
)
def test_auto_is_exact_on_a_cpu_and_fast_on_cuda(asked, accelerator, deterministic, benchmark):
    config = make_config({"deterministic": asked, "tf32": False})
    choose_algorithms(config, accelerator)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.backends.cudnn.benchmark == benchmark
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("asked", "accelerator", "last"), [
    (None, "cpu", True), (None, "cuda", False), (True, "cuda", True), (False, "cpu", False),
])  # fmt: skip
def test_channels_last_where_it_is_asked_for(asked, accelerator, last):
    context = BuildContext(small_plan(2, 16), SPEC, SPEC.label_sets)
    network = arrange(context.create_network(2), 2, accelerator, asked)
    (wide, *_) = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert wide.is_contiguous(memory_format=torch.channels_last) == last


@pytest.mark.parametrize(("graphs", "mode"), [(False, None), (True, "reduce-overhead")])
def test_graphs_are_asked_of_torch(graphs, mode, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda call, **options: asked.append(options) or call)
    context = BuildContext(small_plan(2, 16), SPEC, SPEC.label_sets)
    compile_parts(make_method("supervised", SPEC).build(context), graphs)
    assert asked == [{"mode": mode}] * 3


def test_graphs_without_cuda_are_refused_before_anything_is_made():
    with pytest.raises(HinterlandError, match="would train on cpu"):
        refuse_missing_devices(make_config({"compile": "graphs", "accelerator": "cpu"}))


def test_compiled_parts_keep_their_names_and_copies():
    context = BuildContext(small_plan(2, 16), SPEC, SPEC.label_sets)
    method = make_method("bcp", SPEC)
    networks, plain = method.build(context), method.build(context)
    compile_parts(networks)
    assert networks.state_dict().keys() == plain.state_dict().keys()
    for network in (networks.network, networks.teacher):
        parts = (network.encoder, network.decoder, network.head)
        assert all(part._compiled_call_impl is not None for part in parts)
    assert copy.deepcopy(networks).state_dict().keys() == plain.state_dict().keys()
