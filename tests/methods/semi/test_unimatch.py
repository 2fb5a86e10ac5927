"""UniMatch: who labels, what is mixed with what, and what does not count."""

from __future__ import annotations

import pytest
import torch
from semi_phantoms import LEAVES, SPEC, batch, context

from hinterland.methods import make_method
from hinterland.methods.semi import unimatch as module
from hinterland.methods.semi.unimatch import UniMatch, cut_mixed, drop_channels
from hinterland.networks import create
from hinterland.types import HinterlandError, Progress

NOW = Progress("train", 5, 10)


def test_without_perturbations_each_term_is_the_loss_of_its_own_labels(monkeypatch):
    monkeypatch.setattr(module, "strong", lambda image: image)
    method = UniMatch((LEAVES,), threshold=0.0, dropout=0.0, mixed=0.0)
    networks, items = method.build(context()), batch()
    found = method.losses(networks, items, NOW)
    logits = networks.network(items.image)
    own = networks.pseudo.first + logits[2:].argmax(dim=1)
    learn = networks.supervision
    expected = learn([logits[2:]], own).item()
    assert found.terms["feature"].item() == pytest.approx(expected, rel=1e-5)
    assert found.terms["strong"].item() == pytest.approx(expected, rel=1e-5)
    seg = learn([logits[:2]], items.annotation[:2]).item()
    assert found.terms["seg"].item() == pytest.approx(seg, rel=1e-5)
    assert found.total.item() == pytest.approx(seg + 0.5 * expected + 0.5 * expected, rel=1e-5)


def test_nothing_is_learnt_from_labels_below_the_threshold():
    method = UniMatch((LEAVES,), threshold=1.0)
    networks = method.build(context())
    found = method.losses(networks, batch(), NOW)
    assert found.terms["feature"].item() == found.terms["strong"].item() == 0
    assert found.terms["seg"] > 0


def test_the_weak_view_labels_and_is_not_taught_by_the_strong_ones():
    """The strong term's gradient comes through the strong views alone."""
    method = UniMatch((LEAVES,), threshold=0.0, mixed=1.0)
    networks = method.build(context())
    seen = []
    networks.network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    found = method.losses(networks, batch(), NOW)
    weak, views = seen
    assert torch.equal(weak, batch().image)
    assert views.shape == (4, *weak.shape[1:])
    assert not torch.equal(views[:2], views[2:])
    (view,) = found.views
    (gradient,) = torch.autograd.grad(found.terms["strong"], view.logits, allow_unused=True)
    assert gradient is None


@pytest.mark.parametrize("space", [(12, 10), (8, 9, 10)])
def test_images_and_labels_are_mixed_alike(space):
    n = 3
    said = torch.arange(1, n + 1).view(n, *(1,) * len(space)).expand(n, *space).clone()
    image = said[:, None].float()
    areas, partners = [], set()
    for seed in range(60):
        torch.manual_seed(seed)
        x, y = cut_mixed(image, said)
        assert torch.equal(x[:, 0], y.float())
        foreign = y != said
        areas.append(foreign[0].float().mean().item())
        assert all(torch.equal(foreign[0], foreign[i]) for i in range(n))  # one box for all
        if foreign.any():
            partners.add(int(y[0][foreign[0]][0]))
    assert partners == {2, 3}
    assert max(areas) <= 0.4
    assert sum(areas) / 60 > 0.1
    one = cut_mixed(image[:1], said[:1])
    assert torch.equal(one[0], image[:1])  # nobody to mix with
    assert torch.equal(cut_mixed(image, said, 0.0)[1], said)


def test_dropped_channels_are_whole_and_the_mean_stays():
    torch.manual_seed(0)
    features = torch.ones(4, 500, 3, 3)
    found = drop_channels(features, 0.5)
    values = found.flatten(2)
    assert ((values == 0).all(dim=2) | (values == 2).all(dim=2)).all()
    assert found.mean().item() == pytest.approx(1.0, abs=0.05)
    assert not drop_channels(features, 1.0).any()
    assert torch.equal(drop_channels(features[..., None], 0.0), features[..., None])


def test_coarse_labels_are_learnt_from_and_a_nested_network_is_refused():
    options = {"unlabelled": "coarse"}
    method = make_method("unimatch", SPEC, ("top", "leaves"), options)
    found = method.losses(method.build(context()), batch(scheme="coarse"), NOW)
    assert torch.isfinite(found.total)
    with pytest.raises(HinterlandError, match="needs a network with separate encoder"):
        module.require_split(create("segresnet", _plan(), 2, features=(8, 8)), "unimatch")


def _plan():
    from dataclasses import replace

    return replace(context().plan, patch_size=(16, 16))
