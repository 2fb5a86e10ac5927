"""What a student learns from teachers, against brute force, the hard losses and hand-made cases."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from factories import spec_of

from hinterland.labels import Coarsening, LabelError
from hinterland.losses.distillation import TeacherLoss, soft_dice_semimetric
from hinterland.losses.marginal import soft_dice_loss
from hinterland.losses.segmentation import SegmentationLoss

SPEC = spec_of({"rest": {}, "heart": {"left": {}, "right": {}}, "lesion": {}})
LEAVES = SPEC.tree.leaves
HEART, LESION = SPEC.tree.coarsen("heart"), SPEC.tree.coarsen("lesion")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sums(p: torch.Tensor, at: Coarsening) -> torch.Tensor:
    return torch.stack([p[:, sorted(group)].sum(dim=1) for group in at.groups], dim=1)


def by_hand(p: torch.Tensor, t: torch.Tensor, at: Coarsening) -> tuple[float, float]:
    """KL and Dice of one question, voxel by voxel in plain numbers; t over its groups."""
    kl, voxels = 0.0, 0
    overlap, size = [0.0] * len(at), [0.0] * len(at)
    for item, y, x in itertools.product(*map(range, (len(p), *p.shape[2:]))):
        voxels += 1
        for g, group in enumerate(at.groups):
            q = sum(float(p[item, leaf, y, x]) for leaf in group)
            say = float(t[item, g, y, x])
            kl += say * (math.log(say) - math.log(q)) if say else 0.0
            overlap[g] += min(q, say)
            size[g] += q + say
    dice = [(2 * overlap[g] + 1e-5) / (size[g] + 1e-5) for g in at.foreground]
    return kl / voxels, 1 - sum(dice) / len(dice)


def test_coarse_teachers_against_brute_force():
    logits = random(2, 4, 3, 4)
    heart = random(2, 2, 3, 4, seed=1).softmax(1)
    leaves = random(2, 4, 3, 4, seed=2).softmax(1)
    loss = TeacherLoss((HEART, LEAVES), (1, 3), LEAVES)  # three teachers know the leaves
    found = loss([logits], [heart, leaves])
    p = logits.softmax(1)
    one, other = by_hand(p, heart, HEART), by_hand(p, leaves, LEAVES)
    for name, a, b in zip(("soft-ce", "soft-dice"), one, other, strict=True):
        assert float(found[name]) == pytest.approx(0.25 * a + 0.75 * b, abs=1e-5), name


@pytest.mark.parametrize("at", [LEAVES, HEART, LESION], ids=str)
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("levels", [1, 3])
def test_a_sure_teacher_is_a_label(at, batch, levels):
    """One-hot targets give the cross entropy and Dice of labels, at every level."""
    logits = [random(2, 4, 8 >> i, 8 >> i, seed=i) for i in range(levels)]
    labels = torch.randint(4, (2, 8, 8), generator=torch.Generator().manual_seed(5))
    labels[:, 0, :4] = torch.arange(4)  # every class in every item
    numbers = SPEC.label_sets.label_set_ids(SPEC.scheme("full"))
    annotation = torch.tensor([numbers[v] for v in range(4)])[labels]
    hard = SegmentationLoss((at,), LEAVES, SPEC.label_sets, batch_dice=batch)
    (expected,) = hard.terms(logits, annotation)
    target = sums(F.one_hot(labels, 4).movedim(-1, 1).float(), at)
    found = TeacherLoss((at,), (1,), LEAVES, batch_dice=batch)(logits, [target])
    if batch or levels == 1:  # of small levels some items lack a class, which is left out there
        assert float(found["soft-dice"]) == pytest.approx(float(expected["dice"]), abs=1e-5)
    assert float(found["soft-ce"]) == pytest.approx(float(expected["ce"]), abs=1e-5)


def test_the_gradient_is_that_of_the_groups_and_nothing_inside_them():
    logits = random(2, 4, 5, 5).requires_grad_()
    heart = random(2, 2, 5, 5, seed=1).softmax(1)
    found = TeacherLoss((HEART,), (1,), LEAVES)([logits], [heart])
    (gradient,) = torch.autograd.grad(found["soft-ce"], logits)
    p = logits.detach().softmax(1)
    inside = [next(g for g, group in enumerate(HEART.groups) if leaf in group) for leaf in range(4)]
    q = sums(p, HEART)
    # d/dz_c of -sum_g t_g log q_g is p_c (1 - t_g / q_g), g the group of c: at fixed q_g the cells
    # of a group share what the group gets in proportion, and their ratios have no gradient.
    expected = p * (1 - heart[:, inside] / q[:, inside]) / (2 * 25)
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)
    members = [leaf for leaf in range(4) if inside[leaf] == HEART.names.index("heart")]
    shares = gradient[:, members] / p[:, members]
    torch.testing.assert_close(shares[:, 0], shares[:, 1], atol=1e-6, rtol=1e-3)


def test_both_terms_are_least_where_the_student_agrees():
    """Also where the teacher is unsure; ordinary soft Dice is not."""
    target = random(1, 4, 6, 6, seed=3).softmax(1)
    loss = TeacherLoss((LEAVES,), (1,), LEAVES)
    same = loss([target.log()], [target])
    assert all(abs(float(v)) < 1e-5 for v in same.values())
    for seed in range(5):
        moved = loss([target.log() + 0.1 * random(1, 4, 6, 6, seed=seed)], [target])
        assert all(float(v) > 1e-4 for v in moved.values())
    half, sharp = torch.full((1, 1, 8), 0.5), torch.ones(1, 1, 8)
    assert float(soft_dice_loss(sharp, half)) < float(soft_dice_loss(half, half))
    assert float(soft_dice_semimetric(sharp, half)) > float(soft_dice_semimetric(half, half))


def test_zero_probabilities_of_teachers_are_no_trouble():
    target = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]])
    logits = (100 * (1 - target)).requires_grad_()  # as wrong as can be
    found = TeacherLoss((LEAVES,), (1,), LEAVES)([logits], [target])
    total = found["soft-ce"] + found["soft-dice"]
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()


def test_a_student_that_knows_less_than_a_teacher_is_refused():
    with pytest.raises(LabelError, match="splits"):
        TeacherLoss((LEAVES,), (1,), HEART)
