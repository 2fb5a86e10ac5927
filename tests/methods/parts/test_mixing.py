"""Cut-mix, region losses, ramps, pseudo-labels and streams against hand-worked arrays."""

from __future__ import annotations

import math

import factories
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.data.sampling.sampler import Stream, step_keys
from hinterland.labels import Coarsening
from hinterland.losses import PartitionLoss
from hinterland.losses.morphology.components import keep_largest
from hinterland.methods.parts.cutmix import (
    box_mask,
    cut_mix,
    halves,
    mix,
    only,
    pair,
    side_by_side,
)
from hinterland.methods.parts.pseudo_labels import PseudoLabels
from hinterland.methods.parts.streams import split_streams, two_streams
from hinterland.methods.parts.teacher import noisy, teacher_mode
from hinterland.methods.ramps import linear_ramp, sigmoid_ramp
from hinterland.types import Batch, HinterlandError

SPEC = factories.spec_of({"rest": {}, "a": {}, "b": {}})


def batch_of(streams: tuple[str, ...], space: tuple[int, ...] = (4, 4)) -> Batch:
    n = len(streams)
    values = torch.arange(n, dtype=torch.float32)
    return factories.batch_of(
        values.view(n, 1, *(1,) * len(space)).expand(n, 1, *space).clone(),
        values.long().view(n, *(1,) * len(space)).expand(n, *space).clone(),
        covers=torch.ones(n, dtype=torch.bool),
        case=tuple(f"case{i}" for i in range(n)),
        streams=streams,
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(3, 20), min_size=2, max_size=3),
    st.sampled_from([1 / 3, 0.5, 2 / 3, 1.0]),
    st.integers(0, 1000),
)
def test_box_is_one_zero_block_of_the_asked_sides(space, side, seed):
    torch.manual_seed(seed)
    keep = box_mask(space, side)
    zeros = np.argwhere(~keep.numpy())
    edges = [int(side * n) for n in space]
    assert len(zeros) == math.prod(edges)
    extent = zeros.max(axis=0) - zeros.min(axis=0) + 1
    assert extent.tolist() == edges


def test_box_goes_everywhere_and_follows_the_seed():
    torch.manual_seed(0)
    masks = torch.stack([box_mask((6, 6)) for _ in range(200)])
    corners = {tuple(np.argwhere(~m.numpy()).min(axis=0).tolist()) for m in masks}
    assert corners == {(y, x) for y in range(3) for x in range(3)}
    torch.manual_seed(0)
    assert torch.equal(box_mask((6, 6)), masks[0])


def test_images_and_rows_mix_alike():
    keep = torch.tensor([[True, False], [False, True]])
    one = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    mixed = mix(one, 10 * one, keep)
    assert mixed.tolist() == [[[[1.0, 20.0], [30.0, 4.0]]]]
    rows = torch.tensor([[[1, 2], [3, 1]]])
    assert mix(rows, rows + 3, keep).tolist() == [[[1, 5], [6, 1]]]
    assert only(rows, keep).tolist() == [[[1, 0], [0, 1]]]


def test_both_mixtures_and_their_regions():
    """Eqs. 3, 4: X^a = X_0 M + X_1 (1 - M), X^b = X_0 (1 - M) + X_1 M, worked by hand."""
    keep = torch.tensor([[True, True], [True, False]])
    zero, one = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    mixed = cut_mix(zero, one, keep)
    assert mixed.image[:, 0].tolist() == [[[0, 0], [0, 1]], [[1, 1], [1, 0]]]
    rows = [torch.full((1, 2, 2), 1), torch.full((1, 2, 2), 2)]
    assert mixed.annotation(rows).tolist() == [[[1, 1], [1, 2]], [[2, 2], [2, 1]]]


def test_region_losses_are_the_losses_of_the_cut_out_voxels():
    """Each term is cross entropy and Dice of the voxels of its own region, and of no others."""
    torch.manual_seed(3)
    leaves = SPEC.tree.leaves
    loss = PartitionLoss(leaves, leaves, SPEC.label_sets)
    n, space = 2, (6, 5)
    keep = box_mask(space)
    logits = torch.randn(2 * n, 3, *space)
    rows = [torch.randint(1, 4, (n, *space)) for _ in range(2)]
    arranged = cut_mix(torch.zeros(n, 1, *space), torch.ones(n, 1, *space), keep)

    found = arranged.losses(lambda z, r: sum(loss(z[0], r).values()), [logits], rows)

    def by_hand(z, r, region):
        p = z.softmax(dim=1).movedim(1, -1)[:, region].reshape(-1, 3).numpy()
        y = np.eye(3)[r[:, region].reshape(-1).numpy() - 1]
        ce = -np.log((p * y).sum(axis=1)).mean()
        dice = (2 * (p * y).sum(axis=0) + 1e-5) / (p.sum(axis=0) + y.sum(axis=0) + 1e-5)
        return ce + 1 - dice[1:].mean()

    a, b = logits[:n], logits[n:]
    assert float(found[0]) == pytest.approx(
        by_hand(a, rows[0], keep) + by_hand(b, rows[0], ~keep), rel=1e-5
    )
    assert float(found[1]) == pytest.approx(
        by_hand(a, rows[1], ~keep) + by_hand(b, rows[1], keep), rel=1e-5
    )


def test_side_by_side_changes_nothing():
    sources = torch.randn(2, 1, 3, 3), torch.randn(3, 1, 3, 3)
    arranged = side_by_side(*sources)
    assert torch.equal(arranged.image, torch.cat(sources))
    rows = [torch.ones(2, 3, 3, dtype=torch.long), torch.full((3, 3, 3), 2)]
    assert torch.equal(arranged.annotation(rows), torch.cat(rows))
    sums = arranged.losses(lambda z, r: z[0].sum() * r.float().mean(), [arranged.image], rows)
    assert torch.allclose(torch.stack(sums), torch.stack([sources[0].sum(), 2 * sources[1].sum()]))


def test_pairs_and_halves_have_one_length():
    items = batch_of(("x",) * 5)
    one, other = halves(items)
    assert (one.case, other.case) == (("case0", "case2", "case4"), ("case1", "case3", "case1"))
    one, other = halves(items.take([0, 1, 2, 3]))
    assert (one.case, other.case) == (("case1", "case3"), ("case0", "case2"))
    one, other = halves(batch_of(("x",)))
    assert one.case == other.case == ("case0",)
    one, other = pair(items.take([0]), items.take([1, 2]))
    assert (one.case, other.case) == (("case0", "case0"), ("case1", "case2"))


@pytest.mark.parametrize("count", [2, 4, 5, 8, 12, 24])
def test_the_first_half_has_items_centred_on_foreground(count):
    keys = step_keys(0, [Stream("labelled", ("case",), count)], 0, 1, 0.33)
    centred = {f"case{i}" for i, key in enumerate(keys) if key.foreground}
    one, other = (centred & set(half.case) for half in halves(batch_of(("x",) * count)))
    assert one
    assert abs(len(one) - len(other)) <= 1


def test_ramps():
    assert sigmoid_ramp(0.0) == pytest.approx(math.exp(-5))
    assert sigmoid_ramp(0.5) == pytest.approx(math.exp(-1.25))
    assert sigmoid_ramp(1.0) == sigmoid_ramp(2.0) == 1
    assert [linear_ramp(t) for t in (-1.0, 0.0, 0.25, 1.0, 3.0)] == [0, 0, 0.25, 1, 1]


def test_largest_component_by_hand():
    item = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 2, 0], [2, 0, 0, 2]])
    #  class 1: {(0,0),(0,1),(1,1)} and {(0,3)}; class 2: (2,2)-(3,3) touch by a corner, and (3,0)
    kept = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]]
    assert keep_largest(item[None])[0].tolist() == kept
    both = keep_largest(torch.stack([item, torch.zeros_like(item)]))
    assert both[0].tolist() == kept  # items do not see each other
    assert not both[1].any()


def test_largest_component_in_space_and_with_another_background():
    volume = torch.full((1, 3, 3, 3), 2)
    volume[0, 0, 0, :2] = 0
    volume[0, 2, 2, 2] = 0
    kept = keep_largest(volume, background=2)
    assert (kept == 0).sum() == 2
    assert kept[0, 2, 2, 2] == 2


def test_pseudo_labels_are_rows_after_the_data_sets_own():
    leaves = SPEC.tree.leaves
    pseudo = PseudoLabels(leaves, SPEC.label_sets, component="all", threshold=0.6)
    assert pseudo.first == len(SPEC.label_sets) == 4
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3], [0.0, 0.0, 1.0]])
    rows = pseudo(p.T.reshape(1, 3, 2, 2))
    assert rows.tolist() == [[[4, 5], [0, 6]]]  # the third is not sure enough: row 0
    assert [pseudo.label_sets.sets[r] for r in (4, 5, 6)] == list(leaves.groups)


def test_pseudo_rows_count_like_labels_in_every_loss():
    """A pseudo-label that is right costs what the label costs, at leaves and at a coarsening."""
    torch.manual_seed(0)
    leaves, at = SPEC.tree.leaves, Coarsening.of(SPEC.tree, ["a"])
    pseudo = PseudoLabels(leaves, SPEC.label_sets, component="all")
    truth = torch.randint(0, 3, (2, 6, 6))
    rows = pseudo(torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).float())
    logits = torch.randn(2, 3, 6, 6)
    for question in (leaves, at):
        loss = PartitionLoss(question, leaves, pseudo.label_sets)
        one, other = loss(logits, truth + 1), loss(logits, rows)
        for name in ("ce", "dice"):
            assert torch.allclose(one[name], other[name])


def test_streams():
    labelled, unlabelled = two_streams()
    assert (labelled.where, unlabelled.where) == ({"labelled": True}, {"labelled": False})
    assert two_streams("all")[1].where == {}
    assert labelled.share == unlabelled.share == 0.5
    with pytest.raises(HinterlandError, match="expected 'rest' or 'all'"):
        two_streams("some")
    one, other = split_streams(batch_of(("labelled", "unlabelled", "labelled")))
    assert (one.case, other.case) == (("case0", "case2"), ("case1",))


def test_noise_is_clipped_and_a_quiet_teacher_gets_its_mode_back():
    torch.manual_seed(0)
    image = torch.zeros(1, 1, 50, 50)
    noise = noisy(image)
    assert noise.abs().max() == pytest.approx(0.2)
    assert 0.08 < noise.std() < 0.1  # sigma 0.1, a little less for the clipping
    teacher = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.Dropout(0.5))
    with teacher_mode(teacher):
        assert torch.equal(teacher(image + 1), teacher(image + 1))
        assert not teacher(image).requires_grad
    assert teacher.training
