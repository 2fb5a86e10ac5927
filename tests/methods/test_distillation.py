"""Distillation: frozen teachers, their mean, and what a student learns from whom."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from contract_cases import SPEC, batch_for, context_for

from hinterland.labels import Coarsening
from hinterland.methods import Distillation, Teacher, make_method
from hinterland.methods.parts.frozen import FrozenTeachers
from hinterland.types import Progress

LEAVES, TOP = SPEC.tree.leaves, SPEC.tree.top
STEP = Progress("train", 0, 10)


def constant(at: Coarsening, *p: float) -> Teacher:
    """Say the same of every voxel."""
    module = torch.nn.Linear(1, 1)

    def answer(image: torch.Tensor) -> torch.Tensor:
        shape = (len(image), len(at), *image.shape[2:])
        return torch.tensor(p).view(1, -1, *(1,) * (image.ndim - 2)).expand(shape)

    return Teacher(at, module, answer)


def test_teachers_of_one_question_are_averaged_whatever_the_order_of_their_groups():
    turned = Coarsening(SPEC.tree, LEAVES.names[::-1], LEAVES.groups[::-1])
    teachers = FrozenTeachers(
        (constant(LEAVES, 0.6, 0.3, 0.1), constant(TOP, 0.5, 0.5), constant(turned, 0.5, 0.3, 0.2))
    )
    assert teachers.counts == (2, 1)
    leaves, top = teachers(torch.zeros(2, 1, 4, 4))
    assert leaves[0, :, 0, 0].tolist() == pytest.approx([0.4, 0.3, 0.3])
    assert top[1, :, 3, 3].tolist() == [0.5, 0.5]


def test_teachers_are_no_part_of_the_student_but_move_with_it():
    method, context = make_method("distillation", SPEC), context_for(2)
    assert len(context.teachers) == 2
    networks = method.build(context)
    bare = method.build(replace(context, teachers=()))
    assert networks.state_dict().keys() == bare.state_dict().keys()
    assert sum(p.numel() for p in networks.parameters()) == sum(
        p.numel() for p in bare.parameters()
    )
    twin = copy.deepcopy(networks)
    assert twin.network is not networks.network
    assert twin.teachers.teachers[0].networks is networks.teachers.teachers[0].networks
    before = [t.networks.training for t in context.teachers]
    networks.train()
    assert [t.networks.training for t in context.teachers] == before == [False, False]
    networks.double()
    assert all(p.dtype == torch.float64 for t in context.teachers for p in t.networks.parameters())


def test_teachers_do_not_change_and_cost_no_gradient():
    method, context = make_method("distillation", SPEC), context_for(2)
    networks = method.build(context).train()
    weights = [p.clone() for t in context.teachers for p in t.networks.parameters()]
    losses = method.losses(networks, batch_for(method.phases()[0], context), STEP)
    losses.total.backward()
    now = [p for t in context.teachers for p in t.networks.parameters()]
    assert all(p.grad is None for p in now)
    assert all(torch.equal(a, b) for a, b in zip(weights, now, strict=True))


def test_unlabelled_items_are_learnt_from_by_the_teachers_alone():
    method = make_method("distillation", SPEC, options={"labelled_share": 0.5})
    (phase,) = method.phases()
    assert [(q.name, q.share, q.where) for q in phase.quotas] == [
        ("labelled", 0.5, {"labelled": True}),
        ("unlabelled", 0.5, {"labelled": False}),
    ]
    context = context_for(2)
    networks = method.build(context)
    other = batch_for(phase, context).stream("unlabelled")
    assert not other.annotation.any()
    losses = method.losses(networks, other, STEP)
    assert float(losses.terms["seg"].detach()) == 0
    losses.total.backward()
    assert networks.network.encoder is not None
    assert any(p.grad is not None and p.grad.any() for p in networks.network.parameters())


def test_a_coarse_teacher_alone_leaves_the_division_of_its_groups_to_labels():
    """Trained without labels the student agrees on the groups; which cell inside is not said."""
    method = Distillation((LEAVES,), label_weight=0.0)
    context = replace(context_for(2), teachers=(constant(TOP, 0.2, 0.8),))
    networks = method.build(context)
    batch = batch_for(method.phases()[0], context)
    optimiser = torch.optim.Adam(networks.parameters(), 0.02)
    for _ in range(40):
        optimiser.zero_grad()
        method.losses(networks, batch, STEP).total.backward()
        optimiser.step()
    with torch.no_grad():
        p = method.probabilities(networks.eval(), batch.image).mean(dim=(0, 2, 3))
    assert float(p[1:].sum()) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("option", ["label_weight", "teacher_weight", "dice_weight"])
def test_weights_count_as_said(option):
    context = context_for(2)
    plain = Distillation((LEAVES,))
    networks = plain.build(context)
    batch = batch_for(plain.phases()[0], context)
    terms = {k: float(v) for k, v in plain.losses(networks, batch, STEP).terms.items()}
    changed = Distillation((LEAVES,), **{option: 3.0})
    share = {"label_weight": ("seg",), "teacher_weight": ("soft-ce", "soft-dice"),
             "dice_weight": ("soft-dice",)}[option]  # fmt: skip
    expected = sum(v * (3 if k in share else 1) for k, v in terms.items())
    assert float(changed.losses(networks, batch, STEP).total) == pytest.approx(expected, rel=1e-5)
