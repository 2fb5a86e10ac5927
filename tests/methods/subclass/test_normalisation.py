"""Separate Normalization and batches of few items; HierarchicalMix and running statistics."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from contract_cases import SPEC, STEPS, batch_for, context_for
from torch import nn

from hinterland.methods import make_method
from hinterland.types import Progress


def sized(batch_size: int):
    context = context_for(2)
    return replace(context, plan=replace(context.plan, batch_size=batch_size))


@pytest.mark.parametrize(("size", "warned"), [(2, True), (3, True), (4, False)])
def test_batches_below_four_are_warned_of(size, warned, caplog):
    method = make_method("subclass", SPEC)
    with caplog.at_level(logging.WARNING):
        method.build(sized(size))
    said = "\n".join(caplog.messages)
    assert ("batches of" in said) == warned
    assert not warned or "batch_size=4, or method.norm=instance" in said
    caplog.clear()
    make_method("subclass", SPEC, options={"norm": "instance"}).build(sized(2))
    make_method("subclass", SPEC, options={"sn": False}).build(sized(2))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d),
                       ("group", nn.GroupNorm)]
)  # fmt: skip
def test_the_norm_of_the_branches(norm, kind):
    method = make_method("subclass", SPEC, options={"norm": norm})
    head = method.build(context_for(2)).network.head
    found = [m for m in head.modules() if isinstance(m, kind)]
    assert len(found) == 2  # background and heart
    assert not [m for m in head.modules() if isinstance(m, nn.BatchNorm2d)] or norm == "batch"


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_without_batch_norm_an_item_does_not_depend_on_the_others(norm):
    method = make_method("subclass", SPEC, options={"norm": norm})
    networks = method.build(context_for(2)).train()
    images = torch.randn(3, 1, 16, 16)
    together, alone = networks.network(images), networks.network(images[:1])
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_mixtures_do_not_enter_running_statistics():
    """Those of one step with HierarchicalMix are those of the batch's own images, seen once."""
    context = context_for(2)
    found = {}
    for hm in (True, False):
        method = make_method("subclass", SPEC, options={"hm": hm, "tau_floor": 0.1})
        networks = method.build(context).train()
        items = batch_for(method.phases()[0], context)
        torch.manual_seed(0)
        losses = method.losses(networks, items, Progress("train", STEPS - 1, STEPS))
        assert ("mix/ce" in losses.terms) == hm
        state = networks.network.state_dict()
        found[hm] = {k: v for k, v in state.items() if "running" in k or "tracked" in k}
    assert found[True]
    assert all(torch.equal(found[True][k], found[False][k]) for k in found[True])
