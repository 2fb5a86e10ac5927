"""The losses that `--set loss=NAME` knows: against MONAI's, and under the marginal form."""

from __future__ import annotations

import pytest
import torch
from factories import spec_of
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import FocalLoss, TverskyLoss

from hinterland.errors import HinterlandError
from hinterland.losses import (
    LOSSES,
    PartitionLoss,
    SegmentationLoss,
    marginal_cross_entropy,
    marginal_focal_loss,
    soft_dice_loss,
    soft_tversky_loss,
)

SPEC = spec_of(
    {"background": {}, "heart": {"ventricle": {}, "muscle": {}}},
    schemes={
        "full": {0: "background", 1: "ventricle", 2: "muscle"},
        "coarse": {0: "background", 1: "heart"},
    },
)
LEAVES, TABLE = SPEC.tree.leaves, SPEC.label_sets
FULL = SPEC.label_sets.label_set_ids(SPEC.scheme("full"))


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn((3, 3, 6, 5), generator=generator)
    return logits, torch.randint(3, (3, 6, 5), generator=generator)


def annotation(truth: torch.Tensor) -> torch.Tensor:
    return torch.tensor([FULL[v] for v in range(3)])[truth]


def test_focal_is_monais_on_leaf_annotations(drawn):
    logits, truth = drawn
    found = PartitionLoss(LEAVES, LEAVES, TABLE, loss="focal")(logits, annotation(truth))["focal"]
    # MONAI averages over classes, too, of which all but the annotated one are zero.
    reference = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0)
    assert found.item() == pytest.approx(3 * reference(logits, truth[:, None]).item(), rel=1e-5)


@pytest.mark.parametrize("batch", [True, False])
def test_tversky_is_monais_on_leaf_annotations(drawn, batch):
    logits, truth = drawn
    loss = PartitionLoss(LEAVES, LEAVES, TABLE, batch_dice=batch, loss="tversky")
    found = loss(logits, annotation(truth))["tversky"]
    reference = TverskyLoss(
        include_background=False, to_onehot_y=True, softmax=True, alpha=0.3, beta=0.7, batch=batch
    )
    assert found.item() == pytest.approx(reference(logits, truth[:, None]).item(), abs=1e-6)


def test_focal_without_focus_is_cross_entropy_and_even_tversky_is_dice(drawn):
    logits, truth = drawn
    log_p, target = logits.log_softmax(dim=1), truth.clone()
    target[0] = -1
    focal = marginal_focal_loss(log_p, target, gamma=0.0)
    assert focal.item() == pytest.approx(marginal_cross_entropy(log_p, target).item(), rel=1e-6)
    y = torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).float()
    even = soft_tversky_loss(log_p.exp(), y, alpha=0.5, beta=0.5, smooth=0.0)
    assert even.item() == pytest.approx(soft_dice_loss(log_p.exp(), y, smooth=0.0).item())


@pytest.mark.parametrize("name", LOSSES.names())
def test_an_inner_node_is_one_class_of_the_coarser_question(drawn, name):
    """Coarsely annotated voxels cost what they cost at the coarsening, by summed probability."""
    logits, truth = drawn
    coarse = SPEC.label_sets.label_set_ids(SPEC.scheme("coarse"))
    said = torch.tensor([coarse[0], coarse[1], coarse[1]])[truth]
    top = SPEC.tree.top
    found = PartitionLoss(top, LEAVES, TABLE, loss=name)(logits, said)
    p = logits.softmax(dim=1)
    order = [0, 1] if top.names[0] == "background" else [1, 0]
    merged = torch.stack([p[:, 0], p[:, 1] + p[:, 2]], dim=1)[:, order].log()
    alone = PartitionLoss(top, top, TABLE, loss=name)(merged, said)
    assert found.keys() == alone.keys()
    for term in found:
        assert found[term].item() == pytest.approx(alone[term].item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES.names())
def test_the_mean_over_coarsenings_of_the_terms_is_the_loss(drawn, name):
    logits, truth = drawn
    loss = SegmentationLoss((LEAVES, SPEC.tree.top), LEAVES, TABLE, loss=name)
    levels = [logits, logits[:, :, ::2, ::2], logits[:, :, :2, :2]]
    terms = loss.terms(levels, annotation(truth))
    summed = sum(sum(found.values()) for found in terms) / 2
    assert loss(levels, annotation(truth)).item() == pytest.approx(summed.item(), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES.names())
def test_what_decides_nothing_costs_nothing(drawn, name):
    logits, truth = drawn
    found = PartitionLoss(LEAVES, LEAVES, TABLE, loss=name)(logits, torch.zeros_like(truth))
    assert all(value.item() == 0 for value in found.values())


@given(st.floats(0.05, 0.95), st.floats(0.0, 4.0))
def test_focal_never_exceeds_cross_entropy(p, gamma):
    log_p = torch.tensor([p, 1 - p]).log().view(1, 2, 1)
    target = torch.zeros((1, 1), dtype=torch.long)
    focal = marginal_focal_loss(log_p, target, gamma)
    assert focal.item() <= marginal_cross_entropy(log_p, target).item() + 1e-7


def test_an_unknown_loss_is_refused():
    with pytest.raises(HinterlandError, match="loss 'odd': expected one of dice-ce, dice, ce"):
        SegmentationLoss((LEAVES,), LEAVES, TABLE, loss="odd")
