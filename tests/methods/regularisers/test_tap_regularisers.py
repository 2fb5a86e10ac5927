"""Local contrast and deep supervision: what they add to methods."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from contract_cases import SPEC, batch_for, context_for

from hinterland.methods import make_method
from hinterland.methods.regularisers.contrastive import other_version
from hinterland.methods.regularisers.registry import REGULARISERS, build_regularisers
from hinterland.types import HinterlandError, Progress

LATE = Progress("train", 90, 100)
ADDED = {
    "place": ("contrastive", {"region": 2}),
    "class": ("contrastive", {"positives": "class"}),
    "deep": ("deep-supervision", {}),
}


def build(name: str, dims: int = 2, method: str = "supervised", **options: object):
    context = context_for(dims)
    made = make_method(method, SPEC)
    return build_regularisers({name: options}, context, made)[name]


def views_of(method: str = "supervised", dims: int = 2):
    context, made = context_for(dims), make_method(method, SPEC)
    networks = made.build(context)
    phase = made.phases()[-1]
    progress = Progress(phase.name, 90, 100)
    return networks, made.losses(networks, batch_for(phase, context), progress).views, progress


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ADDED)
def test_its_gradient_reaches_the_network_and_its_own_parameters(kind, dims):
    name, options = ADDED[kind]
    loss = build(name, dims, **options)
    networks, views, progress = views_of(dims=dims)
    losses = loss(views, progress)
    losses.total.backward()
    assert losses.total.item() > 0
    assert all(p.grad is not None and p.grad.any() for p in loss.parameters())
    fed = [n for n, p in networks.named_parameters() if p.grad is not None and p.grad.any()]
    assert any("encoder" in n for n in fed)
    assert any("decoder" in n for n in fed)


@pytest.mark.parametrize("kind", ADDED)
def test_it_can_be_learned(kind):
    name, options = ADDED[kind]
    loss = build(name, **options)
    context, made = context_for(2), make_method("supervised", SPEC)
    networks, batch = made.build(context), batch_for(made.phases()[0], context_for(2))
    optimiser = torch.optim.AdamW([*networks.parameters(), *loss.parameters()], 5e-3)
    values = []
    for step in range(20):
        torch.manual_seed(0)
        progress = Progress("train", step, 100)
        losses = loss(made.losses(networks, batch, progress).views, progress)
        values.append(sum(t.item() for t in losses.terms.values()))
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
    assert all(map(math.isfinite, values))
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("method", ["backsplit", "cvbm", "subclass", "mean-teacher"])
def test_those_that_read_labels_compose_with_other_methods(method):
    _, views, progress = views_of(method)
    for name, options in (ADDED["class"], ADDED["deep"]):
        loss = build(name, method=method, **options)
        assert loss(views, progress).total.isfinite()


def test_the_same_seed_builds_the_same_parameters_and_leaves_the_generator_alone():
    before = torch.get_rng_state()
    for name in REGULARISERS.names():
        one, two = build(name), build(name)
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)


def test_deep_supervision_is_cross_entropy_at_full_resolution_of_the_lower_layers():
    loss = build("deep-supervision", weight=0.4, halvings=2.0)
    assert loss.layers == ("decoder.1",)
    _, views, _ = views_of()
    losses = loss(views, Progress("train", 50, 100))
    view = views[0]
    logits = F.interpolate(
        loss.heads[0](view.features["decoder.1"]), size=(16, 16), mode="bilinear"
    )
    expected = F.cross_entropy(logits, view.annotation.long() - 1)  # rows 1 to 3 of scheme `full`
    assert losses.terms["ce.decoder.1"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses.weights["ce.decoder.1"] == pytest.approx(0.4 * 2**-1)


def test_unlabelled_items_give_deep_supervision_and_class_contrast_nothing():
    _, views, progress = views_of()
    rows = torch.zeros_like(views[0].annotation)
    blank = [replace(views[0], annotation=rows)]
    for name, options in (ADDED["class"], ADDED["deep"]):
        total = build(name, **options)(blank, progress).total
        total.backward(retain_graph=True)
        assert total.item() == 0


def test_another_version_of_an_image_keeps_its_places():
    torch.manual_seed(0)
    image = torch.randn(3, 2, 8, 8)
    other = other_version(image)
    for one, two in zip(image.flatten(1), other.flatten(1), strict=True):
        assert torch.corrcoef(torch.stack([one, two]))[0, 1] == pytest.approx(1.0, abs=1e-5)
        assert not torch.allclose(one, two)


def test_place_contrast_needs_a_second_look():
    for method in ("cvbm", "mc-net"):
        with pytest.raises(HinterlandError, match=r"no second look.*positives=class"):
            build("contrastive", method=method, warm_start=0.5)
    _, views, progress = views_of()
    with pytest.raises(HinterlandError, match="too small for two"):
        build("contrastive", layer="bottleneck")(views, progress)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("contrastive", {"positives": "both"}, "^contrastive: positives='both'.*place, class"),
        ("contrastive", {"layer": "decoder.9"}, "^contrastive: layer='decoder.9'.*bottleneck"),
        ("contrastive", {"temperature": 0.0}, "^contrastive: temperature=0"),
        ("contrastive", {"warm_start": 2.0}, "^contrastive: warm_start=2"),
        ("deep-supervision", {"layers": "head"}, "^deep-supervision: layers='head'"),
        ("deep-supervision", {"halvings": -1.0}, "^deep-supervision: halvings=-1"),
        ("deep-supervision", {"eta": 1}, "unexpected keyword"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(name, options, message):
    with pytest.raises(HinterlandError, match=message):
        build(name, **options)
