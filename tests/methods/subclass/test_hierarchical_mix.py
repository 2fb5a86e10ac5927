"""HierarchicalMix: turns, pseudo-labels, the mixed image and its target, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import spec_of
from hypothesis import given
from hypothesis import strategies as st

from hinterland.methods.subclass.hierarchical_mix import (
    HierarchicalMix,
    Turn,
    agreed,
    bounding_box,
    draw_turn,
    ramp,
    threshold,
)

SPEC = spec_of(
    {
        "background": {},
        "heart": {"RV": {}, "LV": {}},
        "lung": {"left": {}, "right": {}},
    },
    schemes={
        "full": {0: "background", 1: "RV", 2: "LV", 3: "left", 4: "right"},
        "coarse": {0: "background", 1: "heart", 2: "lung"},
    },
)
TABLE, CELLS = SPEC.label_sets, SPEC.tree.leaves
BACKGROUND, RV, LV, LEFT, RIGHT = range(5)
FULL = TABLE.label_set_ids(SPEC.scheme("full"))
COARSE = TABLE.label_set_ids(SPEC.scheme("coarse"))


def rows(values: list, scheme: dict[int, int]) -> torch.Tensor:
    return torch.tensor(values).apply_(lambda v: scheme[v])[None]


@given(seed=st.integers(0, 2**31), space=st.sampled_from([(4, 4), (3, 5), (4, 4, 4), (2, 3, 3)]))
def test_turns_are_undone_and_keep_the_shape(seed, space):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        turn = draw_turn(space)
        x = torch.rand(2, 3, *space)
    assert turn(x).shape == x.shape
    assert torch.equal(turn.undo(turn(x)), x)
    assert not torch.equal(turn(x), x)  # a reflection is never the identity
    assert torch.equal(turn(x)[:, 0], turn(x[:, 0]))  # labels turn as images do


def test_a_turn_by_hand():
    x = torch.tensor([[1, 2], [3, 4]])
    assert Turn(1, (-2, -1), -1)(x).tolist() == [[4, 2], [3, 1]]


def test_pseudo_labels_need_agreement_confidence_and_permission():
    p = torch.zeros(1, 5, 6)
    other = torch.zeros(1, 5, 6)
    p[0, RV, :4], other[0, RV, :4] = 0.9, 0.9
    other[0, RV, 1] = 0.55  # agrees, too unsure
    other[0, :, 2] = 0.0
    other[0, LV, 2] = 0.9  # disagrees
    p[0, LEFT, 4], other[0, LEFT, 4] = 0.9, 0.9  # sure, but a lung inside the annotated heart
    p[0, BACKGROUND, 5], other[0, BACKGROUND, 5] = 0.9, 0.9  # likewise background
    allowed = torch.zeros(1, 5, 6, dtype=torch.bool)
    allowed[0, [RV, LV]] = True
    found = agreed(p, other, allowed, 0.6)
    assert found.sum(1).tolist() == [[1, 0, 0, 1, 0, 0]]
    assert found[0, RV].tolist() == [1, 0, 0, 1, 0, 0]
    assert torch.equal(found, agreed(other, p, allowed, 0.6))


@given(seed=st.integers(0, 2**31), tau=st.floats(0.2, 0.9))
def test_pseudo_labels_are_turn_invariant_and_stay_in_their_superclass(seed, tau):
    """Turning both predictions and the annotation turns the pseudo-labels, no more."""
    generator = torch.Generator().manual_seed(seed)
    p, other = ((4 * torch.randn(2, 5, 4, 4, generator=generator)).softmax(1) for _ in range(2))
    annotation = torch.randint(0, len(TABLE), (2, 4, 4), generator=generator)
    mix = HierarchicalMix(CELLS, TABLE)
    found = mix.pseudo(p, other, annotation, tau)
    turn = Turn(1, (-2, -1), -2)
    assert torch.equal(turn(found), mix.pseudo(turn(p), turn(other), turn(annotation), tau))
    allowed = torch.tensor(TABLE.allowed(CELLS))[annotation].movedim(-1, 1)
    assert not (found.bool() & ~allowed).any()
    assert ((found == 0) | (found == 1)).all()
    assert (found.sum(1) <= 1).all()
    leaf = allowed.sum(1) == 1
    assert (found.sum(1)[leaf] == 1).all()  # annotated leaves are labels, whatever is predicted


def test_bounding_boxes():
    mask = torch.zeros(4, 5, dtype=torch.bool)
    assert all(end <= first for first, end in bounding_box(mask))
    mask[1, 3] = mask[2, 1] = True
    assert bounding_box(mask) == [(1, 3), (1, 4)]


def test_mixed_image_and_target_of_a_hand_made_pair():
    """A heart of 1x2 voxels is stretched over a heart of 2x2 voxels less one corner."""
    x = torch.zeros(1, 1, 3, 4)
    annotation = rows([[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 2]], COARSE)
    fine = torch.tensor([[9.0, 9, 9, 9], [9, 4, 8, 9], [9, 9, 9, 9]])[None, None]
    fine_rows = rows([[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]], FULL)
    mix = HierarchicalMix(CELLS, TABLE)
    mixed = mix.mix(x, annotation, fine, fine_rows, torch.tensor([0.75]))
    assert mixed.image[0, 0].tolist() == [[0, 3, 6, 0], [0, 3, 0, 0], [0, 0, 0, 0]]
    assert mixed.pasted[0].tolist() == [[-1, RV, LV, -1], [-1, RV, -1, -1], [-1] * 4]

    pseudo = mix.known(annotation, torch.zeros(1, 5, 3, 4))
    pseudo[0, LV, 0, 1] = 1  # says otherwise
    pseudo[0, LV, 0, 2] = 1  # says the same
    target = mixed.target(torch.tensor([0.75]), pseudo)
    assert target[0, :, 0, 1].tolist() == [0, 0.75, 0.25, 0, 0]
    assert target[0, :, 0, 2].tolist() == [0, 0, 1, 0, 0]
    assert target[0, :, 1, 1].tolist() == [0, 0.75, 0, 0, 0]  # nothing known of x there
    assert target[0, :, 0, 0].tolist() == [1, 0, 0, 0, 0]  # not pasted: x and its label
    assert target[0, :, 2, 3].tolist() == [0] * 5  # a lung, nothing to paste, nothing predicted


@pytest.mark.parametrize("shape", [(17, 14), (9, 12, 10)])
def test_a_paste_is_what_interpolating_the_box_gives(shape):
    """Against torch's own interpolation of boxes that the test knows."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        boxes = []
        for _ in range(2):
            ends = [sorted(rng.choice(n + 1, 2, replace=False)) for n in shape]
            boxes.append(tuple(slice(int(a), int(b)) for a, b in ends))
        to, source = boxes
        x = torch.randn(1, 2, *shape)
        fine = torch.randn(1, 2, *shape)
        annotation = rows(np.zeros(shape, int).tolist(), COARSE)
        annotation[0][to] = rows([1], COARSE)[0]
        fine_rows = rows(np.zeros(shape, int).tolist(), FULL)
        ventricles = rows(rng.integers(1, 3, [s.stop - s.start for s in source]).tolist(), FULL)
        fine_rows[0][source] = ventricles[0]
        mixed = HierarchicalMix(CELLS, TABLE).mix(
            x, annotation, fine, fine_rows, torch.tensor([0.5])
        )
        size = [s.stop - s.start for s in to]
        mode = "bilinear" if len(shape) == 2 else "trilinear"
        patch = torch.nn.functional.interpolate(fine[(..., *source)], size, mode=mode)
        label = HierarchicalMix(CELLS, TABLE).cell[ventricles][:, None].float()
        label = torch.nn.functional.interpolate(label, size, mode="nearest-exact")[:, 0].long()
        expected, pasted = x.clone(), torch.full((1, *shape), -1)
        expected[(..., *to)] = 0.5 * x[(..., *to)] + 0.5 * patch
        pasted[(..., *to)] = label
        assert torch.allclose(mixed.image, expected, atol=1e-5)
        assert torch.equal(mixed.pasted, pasted)


def test_each_superclass_is_pasted_on_its_own():
    """Heart goes onto heart, lung onto lung; in 3D."""
    annotation = rows([[[0, 1, 2, 0]], [[0, 1, 2, 0]]], COARSE)
    fine_rows = rows([[[1, 4, 0, 0]], [[1, 4, 0, 0]]], FULL)
    x, fine = torch.zeros(1, 1, 2, 1, 4), torch.ones(1, 1, 2, 1, 4)
    mixed = HierarchicalMix(CELLS, TABLE).mix(x, annotation, fine, fine_rows, torch.tensor([1.0]))
    assert mixed.pasted[0, :, 0].tolist() == [[-1, RV, RIGHT, -1]] * 2
    assert mixed.image[0, 0, :, 0].tolist() == [[0, 1, 1, 0]] * 2


def test_unlabelled_voxels_of_the_fine_image_are_not_pasted():
    annotation = rows([[1, 1, 1]], COARSE)
    fine_rows = rows([[1, 0, 2]], FULL)
    fine_rows[0, 0, 1] = 0  # padding
    mixed = HierarchicalMix(CELLS, TABLE).mix(
        torch.zeros(1, 1, 1, 3), annotation, torch.ones(1, 1, 1, 3), fine_rows, torch.tensor([0.5])
    )
    assert mixed.pasted[0].tolist() == [[RV, -1, LV]]
    assert mixed.image[0, 0].tolist() == [[0.5, 0, 0.5]]


def test_schedules():
    assert threshold(0.0) == 1
    assert threshold(0.5) == pytest.approx(0.7)
    assert threshold(1.0) == pytest.approx(0.4)
    assert threshold(0.0, schedule="released") == 1
    assert threshold(0.1, schedule="released") == pytest.approx(0.999**400)
    assert threshold(0.5, schedule="released") == 0.4
    assert ramp(0.0) == 0.5
    assert ramp(1000 / 40_000) == pytest.approx(1 / (1 + 2.718281828**-1))
