"""The marginal loss against ordinary Dice + cross entropy, and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from factories import spec_of
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss

from hinterland.labels import LabelSetTable, LabelTree, Scheme, common_refinement
from hinterland.losses import PartitionLoss, deep_supervision_weights, downsample_annotation
from hinterland.losses.marginal import marginalise

TREE = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})
FULL = Scheme("full", TREE, ((0, frozenset({1})), (1, frozenset({0})), (2, frozenset({2}))))
LESION = Scheme("lesion", TREE, ((0, frozenset({0, 1})), (2, frozenset({2}))))
TABLE = LabelSetTable.of(TREE, [FULL, LESION])
ROWS = {("full", v): r for v, r in TABLE.label_set_ids(FULL).items()} | {
    ("lesion", v): r for v, r in TABLE.label_set_ids(LESION).items()
}


def rows_of(scheme: str, label: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.vectorize(lambda v: ROWS[scheme, v])(label))


@pytest.fixture
def label() -> np.ndarray:
    return np.random.default_rng(0).choice([0, 1, 2], size=(3, 7, 5), p=[0.6, 0.3, 0.1])


@pytest.mark.parametrize("batch", [True, False])
def test_leaf_annotations_give_ordinary_dice_and_cross_entropy(label, batch):
    logits = torch.randn(3, 3, 7, 5, dtype=torch.float32, generator=torch.manual_seed(0)) * 3
    leaves = TREE.leaves  # channels: rest, lung, infection = the integers of the file
    terms = PartitionLoss(leaves, leaves, TABLE, batch_dice=batch)(logits, rows_of("full", label))
    target = torch.tensor(label)
    assert terms["ce"].item() == pytest.approx(F.cross_entropy(logits, target).item(), abs=1e-6)
    reference = DiceLoss(
        include_background=False, to_onehot_y=True, softmax=True, batch=batch,
        smooth_nr=1e-5, smooth_dr=1e-5,
    )(logits, target[:, None])  # fmt: skip
    assert terms["dice"].item() == pytest.approx(reference.item(), abs=1e-6)


def test_binary_coarsening_of_a_binary_network_is_plain_binary_training(label):
    target = TREE.coarsen("infection")
    logits = torch.randn(3, 2, 7, 5, generator=torch.manual_seed(1))
    loss = PartitionLoss(target, target, TABLE)
    reference = F.cross_entropy(logits, torch.tensor(label == 2).long()).item()
    for scheme, values in (("full", label), ("lesion", np.where(label == 1, 0, label))):
        assert loss(logits, rows_of(scheme, values))["ce"].item() == pytest.approx(reference)


def test_inner_node_is_the_log_of_the_summed_probability(label):
    logits = torch.randn(3, 3, 7, 5, generator=torch.manual_seed(2), dtype=torch.float64)
    coarse = np.where(label == 1, 0, label)
    p = logits.softmax(1)
    mass = torch.where(torch.tensor(coarse == 2), p[:, 2], p[:, 0] + p[:, 1])
    terms = PartitionLoss(TREE.leaves, TREE.leaves, TABLE)(logits, rows_of("lesion", coarse))
    assert terms["ce"].item() == pytest.approx(-mass.log().mean().item(), abs=1e-5)


def test_dice_runs_only_over_groups_that_the_scheme_names(label):
    """A lesion-only item says nothing about lung: no lung Dice, but its infection Dice counts."""
    coarse = np.where(label == 1, 0, label)
    rows = rows_of("lesion", coarse)
    leaves = PartitionLoss(TREE.leaves, TREE.leaves, TABLE)
    logits = torch.randn(3, 3, 7, 5, generator=torch.manual_seed(3))
    q, y = logits.softmax(1)[:, 2], torch.tensor(coarse == 2).float()
    by_hand = 1 - (2 * (q * y).sum() + 1e-5) / (q.sum() + y.sum() + 1e-5)
    assert leaves(logits, rows)["dice"].item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_a_mixed_batch_counts_each_voxel_where_its_scheme_decides(label):
    rows = rows_of("full", label)
    rows[1] = rows_of("lesion", np.where(label == 1, 0, label))[1]
    rows[2] = 0  # unlabelled
    logits = torch.randn(3, 3, 7, 5, generator=torch.manual_seed(4))
    p = logits.softmax(1)
    infection, lung = p[:2, 2], p[:1, 1]
    y2, y1 = torch.tensor(label[:2] == 2).float(), torch.tensor(label[:1] == 1).float()
    dice = [1 - (2 * (q * y).sum() + 1e-5) / (q.sum() + y.sum() + 1e-5)
            for q, y in ((lung, y1), (infection, y2))]  # fmt: skip
    terms = PartitionLoss(TREE.leaves, TREE.leaves, TABLE)(logits, rows)
    assert terms["dice"].item() == pytest.approx(float(sum(dice) / 2), abs=1e-6)
    full = F.cross_entropy(logits[:1], torch.tensor(label[:1]), reduction="sum")
    partial = -torch.where(torch.tensor(label[1] == 2), p[1, 2], p[1, 0] + p[1, 1]).log().sum()
    assert terms["ce"].item() == pytest.approx(((full + partial) / 70).item(), abs=1e-6)


def test_unlabelled_batches_cost_nothing_and_have_zero_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    terms = PartitionLoss(TREE.leaves, TREE.leaves, TABLE)(logits, torch.zeros(2, 4, 4).long())
    assert terms["ce"].item() == terms["dice"].item() == 0
    (terms["ce"] + terms["dice"]).backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[[1e4]], [[-1e4]], [[-1e4]]]], requires_grad=True)
    rows = torch.full((1, 1, 1), ROWS["lesion", 2])
    loss = PartitionLoss(TREE.leaves, TREE.leaves, TABLE)(logits, rows)["ce"]
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert torch.isfinite(logits.grad).all()


def test_several_coarsenings_over_their_cells(label):
    """leaves + target on one network: the target's loss sees the summed background channels."""
    target = TREE.coarsen("infection")
    cells = common_refinement([TREE.leaves, target])
    assert cells == TREE.leaves
    logits = torch.randn(3, 3, 7, 5, generator=torch.manual_seed(5))
    p = logits.softmax(1)[:, 2]
    y = torch.tensor(label == 2).float()
    ce = PartitionLoss(target, cells, TABLE)(logits, rows_of("full", label))["ce"]
    assert ce.item() == pytest.approx(F.binary_cross_entropy(p, y).item(), abs=1e-6)


@given(st.integers(0, 2**31), st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_marginal_loss_never_exceeds_the_leaf_loss(seed, leaves):
    """A set holds its leaf: knowing less can only cost less."""
    names = [f"c{i}" for i in range(leaves)]
    tree = LabelTree({"a": {n: {} for n in names}, "b": {}})
    schemes = {"full": dict(enumerate([*names, "b"])), "coarse": {0: "a", 1: "b"}}
    spec = spec_of(tree.to_dict(), schemes=schemes)
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, leaves + 1, size=(1, 6, 6))
    logits = torch.tensor(rng.normal(size=(1, leaves + 1, 6, 6)) * 3)
    table = spec.label_sets
    full, coarse = (
        table.label_set_ids(spec.schemes["full"]),
        table.label_set_ids(spec.schemes["coarse"]),
    )
    loss = PartitionLoss(tree.leaves, tree.leaves, table)
    fine_rows = torch.tensor(np.vectorize(full.get)(fine))
    coarse_rows = torch.tensor(np.vectorize(coarse.get)((fine == leaves).astype(int)))
    assert loss(logits, coarse_rows)["ce"] <= loss(logits, fine_rows)["ce"] + 1e-6


def test_deep_supervision_weights_and_rows():
    assert sum(deep_supervision_weights(4)) == pytest.approx(1)
    assert deep_supervision_weights(3) == pytest.approx([2 / 3, 1 / 3, 0])
    rows = torch.arange(64).reshape(1, 8, 8)
    small = downsample_annotation(rows, (4, 4))
    assert set(small.flatten().tolist()) <= set(rows.flatten().tolist())
    assert downsample_annotation(rows, (8, 8)) is rows


@pytest.mark.parametrize(
    "groups", [[[0], [1], [2], [3]], [[1], [2]], [[2], [0]], [[0, 3], [1], [1, 2, 3]], [[3, 1]]]
)
def test_marginalise_against_each_group_alone(groups):
    log_p = torch.randn(2, 4, 5, dtype=torch.float64).log_softmax(dim=1).requires_grad_()
    found = marginalise(log_p, groups)
    expected = torch.stack([log_p[:, g].exp().sum(dim=1).log() for g in groups], dim=1)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(found.shape, dtype=torch.float64)
    one, two = (torch.autograd.grad((y * weight).sum(), log_p)[0] for y in (found, expected))
    torch.testing.assert_close(one, two)


def test_leaf_annotations_are_read_off_without_a_copy():
    spec = spec_of({"a": {}, "b": {}, "c": {}}, target=["b"])
    leaves = spec.tree.leaves
    loss = PartitionLoss(leaves, leaves, spec.label_sets)
    assert loss.patterns == [[0], [1], [2]]
    log_p = torch.randn(1, 3, 4).log_softmax(dim=1)
    assert marginalise(log_p, loss.patterns).data_ptr() == log_p.data_ptr()
