"""L_fd's learned weights, its phases, and what it remembers of a map in half precision."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from contract_cases import SPEC, batch_for, context_for

from hinterland.losses.discrepancy import feature_discrepancy, pool_membership, sides
from hinterland.methods import make_method
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.networks import recipe
from hinterland.training.config import make_config
from hinterland.training.loop.engine import Engine
from hinterland.training.optimisation.optimisers import make_optimiser, restore_optimiser
from hinterland.training.optimisation.pace import StepPace
from hinterland.types import Progress

END = Progress("train", 99, 100)


def engine_with(options, method=None, **changes):
    method = method or make_method("backsplit", SPEC)
    context = context_for(2)
    regularisers = build_regularisers({"discrepancy": options}, context, method)
    phase = method.phases()[-1]
    return Engine(
        method, method.build(context), regularisers, phase, index=0, pace=StepPace(100, 5), start=0,
        offset=0, recipe=recipe("unet"), config=make_config({}), optimiser_states=None,
        write=lambda *_: None, at_interval=lambda _: None, tick=lambda: None, **changes,
    ), batch_for(phase, context)  # fmt: skip


@pytest.mark.parametrize(("learned", "weight"), [("free", 1.0), ("softmax", 0.1), ("none", 0.1)])
def test_free_weights_are_not_made_smaller(learned, weight):
    engine, _ = engine_with({"learned": learned})
    assert engine.regularisers["discrepancy"].strength(END) == weight


def test_free_weights_stay_at_zero_where_the_loss_is_positive_and_leave_it_where_negative():
    engine, items = engine_with({"learned": "free", "warm_start": 0.0, "ramp": 0.0})
    loss = engine.regularisers["discrepancy"]
    views = engine.method.losses(engine.networks, items, END).views
    optimiser = torch.optim.SGD(loss.parameters(), 0.5)
    for _ in range(4):
        found = loss(views, END)
        assert (loss.layer_weights() >= 0).all()
        optimiser.zero_grad()
        found.total.backward(retain_graph=True)
        optimiser.step()
    found = loss(views, END)
    for layer, w in zip(loss.layers, loss.layer_weights(), strict=True):
        value = found.terms[f"fd.{layer}"]
        assert (w > 0) == (value < 0), (layer, float(value), float(w))
    assert found.terms["fd"] <= 0


def test_learned_weights_do_not_decay():
    engine, _ = engine_with({"learned": "free"})
    (optimiser,) = engine.configure_optimizers()
    scores = engine.regularisers["discrepancy"].scores
    groups = {id(p): g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
    assert groups[id(scores)] == 0
    assert {groups[id(p)] for p in engine.networks.parameters()} == {recipe("unet").weight_decay}


def test_a_state_of_one_group_goes_on_in_two():
    """Checkpoints of an earlier version have one group of all parameters, in the same order."""
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1))
    old = make_optimiser(recipe("unet"), [a, b], torch.nn.Module())
    (a.sum() + 2 * b.sum()).backward()
    old.step()
    new = make_optimiser(recipe("unet"), [a], torch.nn.Module(), [b])
    restore_optimiser(new, old.state_dict())
    for p in (a, b):
        assert torch.equal(new.state[p]["momentum_buffer"], old.state[p]["momentum_buffer"])
    assert [g["weight_decay"] for g in new.param_groups] == [recipe("unet").weight_decay, 0.0]


def test_of_a_method_with_two_phases_it_acts_in_the_second():
    method = make_method("supervised", SPEC, options={"warm_start": 0.4})
    engine, _ = engine_with({}, method)
    loss = engine.regularisers["discrepancy"]
    assert loss.strength(Progress("warm-start", 99, 100)) == 0
    assert loss.strength(Progress("train", 50, 100)) == 0.1
    single, _ = engine_with({})
    assert single.regularisers["discrepancy"].strength(Progress("train", 57, 100)) == 0
    assert single.regularisers["discrepancy"].strength(Progress("train", 70, 100)) > 0


def keep(kept: list[torch.Tensor], tensor: torch.Tensor) -> torch.Tensor:
    kept.append(tensor)
    return tensor


@pytest.mark.parametrize("form", ["prototype", "map", "sum"])
def test_a_map_in_half_precision_is_not_copied(form):
    torch.manual_seed(0)
    half = torch.randn(2, 20, 12, 12).bfloat16()
    member = torch.rand(2, 2, 12, 12) < 0.3
    pooled = pool_membership(member, torch.ones_like(member), (12, 12))
    found, gradients, saved = [], [], []
    for features in (half.clone(), half.float()):
        features.requires_grad_()
        kept: list[torch.Tensor] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(partial(keep, kept), lambda t: t)
        with hooks:
            value = feature_discrepancy(sides(features, *pooled, form, normalise=True))
        value.backward()
        found.append(value.item())
        gradients.append(features.grad.float())
        saved.append([t for t in kept if t.numel() == half.numel()])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert torch.allclose(*gradients, atol=2e-2 * gradients[1].abs().max().item())
    assert {t.dtype for t in saved[0]} <= {torch.bfloat16}


def test_autocast_does_not_round_the_prototypes():
    """Sides that differ by a hundredth of their mean: in bf16 sums that difference is noise."""
    torch.manual_seed(0)
    member = torch.rand(2, 2, 24, 24) < 0.3
    pooled = pool_membership(member, torch.ones_like(member), (24, 24))
    features = 3 + 0.3 * torch.randn(2, 20, 24, 24) + 0.01 * member[:, :1]
    found, gradients = [], []
    for enabled in (False, True):
        leaf = features.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            value = feature_discrepancy(sides(leaf, *pooled, "prototype", normalise=True))
            value.backward()
        found.append(value.item())
        gradients.append(leaf.grad)
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    torch.testing.assert_close(*gradients)
