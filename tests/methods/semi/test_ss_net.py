"""SS-Net: the adversarial direction, what the memory keeps, the distance from it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from semi_phantoms import LEAVES, SPEC, batch, context
from torch import nn

from hinterland.methods import make_method
from hinterland.methods.parts.class_memory import ClassMemory
from hinterland.methods.semi.ss_net import SmoothAndSeparated
from hinterland.types import HinterlandError, Progress


def memory(size: int = 2) -> ClassMemory:
    """Of two features a voxel that are kept and compared as they are, all with weight 1."""
    found = ClassMemory(2, LEAVES, SPEC.label_sets, 2, size, seed=0)
    with torch.no_grad():
        for layer in (found.projection, found.predictor):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        for selector in found.selectors:
            selector.weight.zero_()
            selector.bias.zero_()
    return found


def rows_of(*values: int) -> torch.Tensor:
    lookup = SPEC.label_sets.label_set_ids(SPEC.scheme("full"))
    return torch.tensor([[[lookup[v] for v in values]]])


def test_the_memory_keeps_right_and_confident_voxels_newest_first():
    bank = memory()
    cell = [LEAVES.names.index(name) for name in ("background", "ventricle", "muscle")]
    features = torch.tensor([[1.0, 2, 3, 4], [0, 0, 0, 0]]).reshape(1, 2, 1, 4)
    p = torch.zeros(1, 3, 1, 4)
    p[0, cell[1], 0] = torch.tensor([0.6, 0.9, 0.8, 1.0])
    p[0, cell[0], 0] = torch.tensor([0.4, 0.1, 0.2, 0.0])
    bank.store(features, p, rows_of(1, 1, 1, 0))  # the last one is wrong
    assert bank.bank[cell[1], :, 0].tolist() == [2, 3]
    assert bank.filled[cell[1]] == 2
    assert bank.filled[cell[0]] == bank.filled[cell[2]] == 0
    bank.store(features[..., :1], p[..., :1], rows_of(1))
    assert bank.bank[cell[1], :, 0].tolist() == [1, 2]


def test_the_distance_is_one_less_the_cosine():
    bank, cell = memory(1), LEAVES.names.index("muscle")
    bank.bank[cell, 0], bank.filled[cell] = torch.tensor([2.0, 0.0]), 1
    features = torch.tensor([[1.0, 0.0], [0.0, 3.0]]).reshape(1, 2, 1, 2)  # cosines 1 and 0
    classes = torch.full((1, 1, 2), cell)
    assert bank.distance(features, classes, 10).item() == pytest.approx(0.5)
    assert memory().distance(features, classes, 10).item() == 0, "nothing is remembered yet"


def test_labels_come_before_predictions():
    bank, cell = memory(), [LEAVES.names.index(n) for n in ("background", "ventricle", "muscle")]
    rows, p = torch.zeros(2, 1, 2, dtype=torch.long), torch.zeros(2, 3, 1, 2)
    rows[:1] = rows_of(1, 2)
    p[:, cell[0]] = 1
    found = bank.classes(p, rows)
    assert found.flatten().tolist() == [cell[1], cell[2], cell[0], cell[0]]


def test_the_rough_direction_is_the_one_that_changes_the_prediction():
    class Slope(nn.Module):  # reads the first of two voxels alone
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = x[..., :1].expand_as(x)
            return torch.cat([seen, -seen], dim=1)

    image = torch.full((1, 1, 1, 2), 0.5)
    network, p = Slope(), Slope()(image).softmax(dim=1)
    method = SmoothAndSeparated((LEAVES,), magnitude=0.25, probe=0.01)
    torch.manual_seed(0)
    found = method.roughness(network, image, p).item()
    one_voxel = []
    for step in (-0.25, 0.25):
        q = network(image + torch.tensor([step, 0.0])).softmax(dim=1)
        overlap = 2 * (p * q).sum((0, 2, 3)) / (p**2 + q**2).sum((0, 2, 3))
        one_voxel.append((1 - overlap).mean().item())
    assert min(abs(found - value) for value in one_voxel) < 1e-4


def test_adversarial_images_do_not_enter_running_statistics():
    """Three passes a step, of which only the one over the images themselves is counted."""
    place = replace(context(), network_options={"norm": "batch"})
    method = make_method("ss-net", SPEC)
    networks = method.build(place).train()
    norms = [m for m in networks.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    plain = copy.deepcopy(networks.network)
    for step in range(2):
        method.losses(networks, batch(), Progress("train", step, 9)).total.backward()
        plain(batch().image)
        assert {int(m.num_batches_tracked) for m in norms} == {step + 1}
        assert all(m.track_running_stats for m in norms)
    for one, other in zip(networks.network.buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, other)


def test_ss_net_works_on_coarse_labels_and_refuses_no_magnitude():
    method = make_method("ss-net", SPEC, ("top", "leaves"))
    found = method.losses(method.build(context()), batch(scheme="coarse"), Progress("train", 0, 9))
    assert torch.isfinite(found.total)
    with pytest.raises(HinterlandError, match="magnitude=0"):
        make_method("ss-net", SPEC, options={"magnitude": 0.0})
