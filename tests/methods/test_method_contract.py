"""What every method promises, over all registered methods, in 2D and 3D."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from contract_cases import OPTIONS, SPEC, STEPS, batch_for, context_for

from hinterland.methods import BuildContext, Method, Phase, make_method, method_names
from hinterland.networks import in_parts
from hinterland.types import HinterlandError, Progress


def train(
    method: Method,
    networks: torch.nn.ModuleDict,
    phase: Phase,
    context: BuildContext,
    lr: float = 5e-3,
) -> Iterator[float]:
    """The main optimiser's loss at each of `STEPS` steps on one batch."""
    batch = batch_for(phase, context)
    optimisers = {
        name: torch.optim.AdamW(list(method.parameters(networks, name)), lr)
        for name in phase.optimisers
    }
    networks.train()
    for step in range(STEPS):
        torch.manual_seed(0)  # the same random choices, so that steps compare
        for name, optimiser in optimisers.items():
            progress = Progress(phase.name, step, STEPS, name)
            total = method.losses(networks, batch, progress).total
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            if name == phase.optimisers[0]:
                yield float(total.detach())
        method.after_step(networks, progress)


@pytest.fixture(params=[(name, dims) for name in method_names() for dims in (2, 3)],
                ids=lambda p: f"{p[0]}-{p[1]}D")  # fmt: skip
def built(request: pytest.FixtureRequest) -> tuple[Method, BuildContext, torch.nn.ModuleDict]:
    name, dims = request.param
    method = make_method(name, SPEC, options=OPTIONS.get(name))
    context = context_for(dims)
    return method, context, method.build(context)


def test_loss_falls_in_each_phase(built):
    method, context, networks = built
    for phase in method.phases():
        losses = list(train(method, networks, phase, context))
        assert all(torch.isfinite(torch.tensor(losses)))
        # Terms that ramp in may lift the loss; the end must lie clearly below the start.
        assert sum(losses[-3:]) / 3 < losses[0], (phase.name, losses)


def test_phases_and_terms_are_well_formed(built):
    method, context, networks = built
    phases = method.phases()
    assert sum(p.share for p in phases) == pytest.approx(1)
    assert len({p.name for p in phases}) == len(phases)
    for phase in phases:
        losses = method.losses(
            networks, batch_for(phase, context),
            Progress(phase.name, 0, STEPS, phase.optimisers[0]),
        )  # fmt: skip
        assert losses.terms
        assert set(losses.weights) <= set(losses.terms)
        assert all(term.ndim == 0 for term in losses.terms.values())
        assert losses.views, "regularisers need a view"
        for view in losses.views:
            assert view.logits.shape[1] == len(method.cells)
            assert view.logits.shape[2:] == view.image.shape[2:]


def test_probabilities_sum_to_one(built):
    method, context, networks = built
    image = torch.randn(2, 1, *context.plan.patch_size)
    with torch.no_grad():
        p = method.probabilities(networks.eval(), image)
    assert p.shape == (2, len(method.cells), *context.plan.patch_size)
    assert torch.allclose(p.sum(dim=1), torch.ones_like(p[:, 0]), atol=1e-5)
    assert (p >= 0).all()


def test_what_is_made_of_probabilities_in_parts_is_made_of_all(built, monkeypatch):
    method, context, networks = built
    image = torch.randn(2, 1, *context.plan.patch_size)
    seen = []

    def then(p):
        seen.append(p.shape[2])
        return torch.stack([p[:, 0], p[:, 1:].sum(dim=1)], dim=1)

    monkeypatch.setattr(in_parts, "PART", 1)  # one slice at a time
    with torch.no_grad():
        got = method.summed(networks.eval(), image, then)
        slices, seen = seen, []
        expected = then(method.probabilities(networks, image))
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)
    pointwise = getattr(method.deployed(networks), "pointwise_head", False)
    parts = context.plan.patch_size[0] if method.is_softmax and pointwise else 1
    assert slices == [context.plan.patch_size[0] // parts] * parts


def test_gradients_reach_every_parameter_that_an_optimiser_trains(built):
    method, context, networks = built
    reached: set[int] = set()
    for phase in method.phases():
        batch = batch_for(phase, context)
        for name in phase.optimisers:
            trained = list(method.parameters(networks, name))
            networks.zero_grad()
            torch.manual_seed(0)
            # late in the phase, when what ramps in has weight
            method.losses(
                networks, batch, Progress(phase.name, STEPS - 1, STEPS, name)
            ).total.backward()
            reached |= {id(p) for p in trained if p.grad is not None and p.grad.any()}
    wanted = {
        id(p): n
        for n, p in networks.named_parameters()
        if p.requires_grad and ".head.layers." not in n  # the lowest levels weigh nothing
    }
    missing = [n for i, n in wanted.items() if i not in reached]
    lowest = [n for n in missing if "head" in n]
    assert missing == lowest, missing
    assert len(lowest) <= 2 * len(method.phases()), lowest


def test_state_survives_save_and_load(built, tmp_path):
    method, context, networks = built
    phase = method.phases()[-1]
    list(train(method, networks, phase, context))
    torch.save(networks.state_dict(), tmp_path / "state.pt")
    fresh = method.build(context)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    image = torch.randn(1, 1, *context.plan.patch_size)
    with torch.no_grad():
        one, two = (method.probabilities(n.eval(), image) for n in (networks, fresh))
    assert torch.equal(one, two)
    torch.manual_seed(1)
    a = method.losses(networks.train(), batch_for(phase, context), Progress(phase.name, 5, STEPS))
    torch.manual_seed(1)
    b = method.losses(fresh.train(), batch_for(phase, context), Progress(phase.name, 5, STEPS))
    assert a.total.item() == pytest.approx(b.total.item(), abs=1e-6)


def test_building_twice_gives_equal_networks_and_options_rebuild_the_method(built):
    method, context, networks = built
    again = method.build(context)
    for (name, one), two in zip(
        networks.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name
    assert make_method(method.name, SPEC, method.on, method.options) == method
    assert copy.deepcopy(method) == method


def test_the_deployed_network_alone_gives_an_answer(built):
    method, context, networks = built
    image = torch.randn(1, 1, *context.plan.patch_size)
    logits = method.deployed(networks).eval()(image)
    assert logits.shape == (1, len(method.cells), *context.plan.patch_size)


@pytest.mark.parametrize("option", ["speed", "name", "fine", "on"])
@pytest.mark.parametrize("name", ["bcp", "cvbm", "subclass", "supervised"])
def test_an_option_that_a_method_has_not_is_refused_with_those_it_has(name, option):
    known = sorted(make_method(name, SPEC).options)
    message = f"method '{name}' has no option {option}; expected .*{', '.join(known)}"
    with pytest.raises(HinterlandError, match=message):
        make_method(name, SPEC, (), {option: 1})
