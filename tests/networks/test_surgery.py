"""Head surgery: before the first step the grown model predicts what the old one did."""

from __future__ import annotations

import math

import pytest
import torch

from hinterland.networks import create, network_names, recipe
from hinterland.networks.registry import patch_multiple
from hinterland.networks.surgery import grow, log_shares
from hinterland.types import HinterlandError

SMALL = dict.fromkeys(("segresnet", "swinunetr", "transunet", "swinunet"), (8, 8))


def pair(name, plan_of, dims, old, new):
    coarse = patch_multiple(name, plan_of(dims))[0] > 8
    patch = (64, *(32,) * (dims - 1)) if coarse else (16,) * dims
    plan = plan_of(dims, patch)
    widths = SMALL.get(name, (4, 8))
    deep = recipe(name).deep_supervision
    made = [create(name, plan, k, deep, features=widths, seed=s) for s, k in enumerate((old, new))]
    with torch.no_grad():  # a head that has learnt something
        for p in made[0].parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    image = torch.randn(1, 1, *patch, generator=torch.Generator().manual_seed(0))
    return *(m.double() for m in made), image.double()


@pytest.mark.parametrize("name", network_names())
def test_probabilities_of_old_classes_are_kept_by_every_network(name, plan_of):
    """Channels rest, lesion -> rest, lesion, liver, spleen: the rest's mass is shared by three."""
    parents = [0, 1, 0, 0]
    old, new, image = pair(name, plan_of, 2, 2, 4)
    grow(new, old.state_dict(), parents)
    old.eval()
    new.eval()
    with torch.no_grad():
        before, after = old(image).softmax(1), new(image).softmax(1)
        assert torch.allclose(new(image)[:, 1], old(image)[:, 1], atol=1e-9)  # the target's logit
    assert torch.allclose(after[:, 1], before[:, 1], atol=1e-9)
    assert torch.allclose(after[:, [0, 2, 3]].sum(1), before[:, 0], atol=1e-9)
    assert torch.allclose(after[:, 0], after[:, 3], atol=1e-9)


def test_every_deep_supervision_head_grows_in_3d(plan_of):
    old, new, image = pair("unet", plan_of, 3, 3, 5)
    grow(new, old.state_dict(), [0, 2, 1, 2, 0])
    old.train()
    new.train()
    for before, after in zip(old.logits(image), new.logits(image), strict=True):
        p, q = before.softmax(1), after.softmax(1)
        assert torch.allclose(q[:, 2], p[:, 1], atol=1e-9)
        assert torch.allclose(q[:, 1] + q[:, 3], p[:, 2], atol=1e-9)
        assert torch.allclose(q[:, 0] + q[:, 4], p[:, 0], atol=1e-9)
    assert len(old.logits(image)) > 1


def test_gradients_tell_the_children_apart(plan_of):
    old, new, image = pair("unet", plan_of, 2, 2, 3)
    grow(new, old.state_dict(), [0, 0, 1])
    loss = torch.nn.functional.cross_entropy(new(image), torch.ones(1, 16, 16, dtype=torch.long))
    loss.backward()
    grad = new.head.layers[0].weight.grad
    assert not torch.allclose(grad[0], grad[1])


@pytest.mark.parametrize(
    ("parents", "message"),
    [([0, 2], "expected a parent"), ([1, 0], "another order"), ([0, 1, 1, 2], "here")],
)
def test_what_cannot_be_grown_is_refused(plan_of, parents, message):
    old, new, _ = pair("unet", plan_of, 2, 2, 4 if len(parents) == 4 else 2)
    with pytest.raises(HinterlandError, match=message):
        grow(new, old.state_dict(), parents)
    other, _, _ = pair("resenc-m", plan_of, 2, 2, 4)
    with pytest.raises(HinterlandError, match="another network"):
        grow(new, other.state_dict(), [0, 1, 0, 0][: new.out_channels])


def test_children_share_by_how_often_they_are_seen(plan_of):
    """Masses still sum to the parent's, and the lesion wins where it nearly did."""
    counts = [970.0, 50.0, 9.0, 18.0]  # rest, lesion, liver, spleen: 971, -, 10, 19 of 1,000
    old, new, image = pair("unet", plan_of, 2, 2, 4)
    _, equal, _ = pair("unet", plan_of, 2, 2, 4)
    grow(new, old.state_dict(), [0, 1, 0, 0], counts)
    grow(equal, old.state_dict(), [0, 1, 0, 0])
    for network in (old, new, equal):
        network.eval()
    with torch.no_grad():
        before, after, even = (n(image).softmax(1) for n in (old, new, equal))
    assert torch.allclose(after[:, [0, 2, 3]].sum(1), before[:, 0], atol=1e-9)
    for child, share in ((0, 0.971), (2, 0.010), (3, 0.019)):
        assert torch.allclose(after[:, child], share * before[:, 0], atol=1e-9)
    # Three equal children lose to a lesion of a quarter; the frequent one at 49 % still wins.
    assert torch.equal(even.argmax(1) == 1, before[:, 1] > before[:, 0] / 3)
    assert torch.equal(after.argmax(1) == 1, before[:, 1] > 0.971 * before[:, 0])


def test_a_child_that_is_never_seen_has_a_small_share_and_not_none():
    shares = [math.exp(s) for s in log_shares([0, 0, 1], [99.0, 0.0, 5.0])]
    assert shares == pytest.approx([100 / 101, 1 / 101, 1.0])
    assert [math.exp(s) for s in log_shares([0, 0, 1])] == pytest.approx([0.5, 0.5, 1.0])


def test_a_fresh_head_keeps_its_own_weights_and_all_else_is_the_trained_network(plan_of):
    old, new, _ = pair("unet", plan_of, 2, 2, 4)
    before = {k: v.clone() for k, v in new.state_dict().items()}
    grow(new, old.state_dict(), [0, 1, 0, 0], fresh=True)
    for name, value in new.state_dict().items():
        same = old.state_dict()[name].shape == value.shape
        assert torch.equal(value, old.state_dict()[name] if same else before[name]), name
    assert any(v.shape != old.state_dict()[k].shape for k, v in before.items())
