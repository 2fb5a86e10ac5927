"""A virtual class: left out of Dice, or counted as absent everywhere, as nnU-Net counts it."""

from __future__ import annotations

import pytest
import torch
from factories import spec_of
from monai.losses import DiceLoss

from hinterland.losses import PartitionLoss, SegmentationLoss

SPEC = spec_of(
    {"rest": {}, "organ": {}, "nothing": {"virtual": True}},
    schemes={"full": {0: "rest", 1: "organ"}},
)
LEAVES, TABLE = SPEC.tree.leaves, SPEC.label_sets


def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(2, (2, 6, 5), generator=generator)
    ids = TABLE.label_set_ids(SPEC.scheme("full"))
    said = torch.tensor([ids[0], ids[1]])[truth]
    return torch.randn((2, 3, 6, 5), generator=generator), truth, said


def test_counted_it_is_monais_dice_over_all_channels_and_left_out_over_those_with_labels():
    logits, truth, said = drawn()
    order = [LEAVES.names.index(name) for name in ("rest", "organ", "nothing")]
    truth = torch.tensor(order)[truth]
    options = {"to_onehot_y": True, "softmax": True, "batch": True, "include_background": True,
               "smooth_nr": 1e-5, "smooth_dr": 1e-5, "reduction": "none"}  # fmt: skip
    each = DiceLoss(**options)(logits, truth[:, None]).flatten()
    counted = PartitionLoss(LEAVES, LEAVES, TABLE, virtual_dice=True)(logits, said)
    left_out = PartitionLoss(LEAVES, LEAVES, TABLE)(logits, said)
    expected = (each[order[1]] + each[order[2]]) / 2
    assert counted["dice"].item() == pytest.approx(expected.item(), abs=1e-6)
    assert left_out["dice"].item() == pytest.approx(each[order[1]].item(), abs=1e-6)
    assert counted["ce"].item() == left_out["ce"].item()


def test_where_nothing_is_said_it_is_not_absent():
    logits, _, said = drawn()
    loss = SegmentationLoss((LEAVES,), LEAVES, TABLE, virtual_dice=True)
    assert loss([logits], torch.zeros_like(said)).item() == 0
