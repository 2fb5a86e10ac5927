"""Plain pseudo-labels: alpha weighs a loss against the teacher's own most probable cells."""

from __future__ import annotations

import pytest
import torch
from cvbm_phantoms import TWO, batch_of
from cvbm_phantoms import build_context as bigger
from semi_phantoms import LEAVES, SPEC, batch, context

from hinterland.methods import make_method
from hinterland.methods.parts.streams import SELF_TRAIN
from hinterland.methods.semi.pseudo_label import PseudoLabel
from hinterland.types import HinterlandError, Progress

STEP = Progress(SELF_TRAIN, 0, 10)


def test_the_pseudo_term_is_the_loss_against_the_teachers_cells():
    method = PseudoLabel((LEAVES,), component="all", alpha=0.25)
    networks, items = method.build(context()), batch()
    found = method.losses(networks, items, STEP)
    logits = networks.network(items.image)
    rows = networks.pseudo.first + networks.teacher(items.image[2:]).argmax(dim=1)
    seg = networks.supervision([logits[:2]], items.annotation[:2])
    pseudo = networks.supervision([logits[2:]], rows)
    assert found.terms["seg"].item() == pytest.approx(seg.item(), abs=1e-6)
    assert found.terms["pseudo"].item() == pytest.approx(pseudo.item(), abs=1e-6)
    assert found.total.item() == pytest.approx((seg + pseudo / 4).item(), abs=1e-6)
    assert (found.views[0].annotation[2:] == 0).all(), "regularisers see no pseudo-labels"


def test_voxels_below_the_threshold_teach_nothing():
    method = PseudoLabel((LEAVES,), component="all", threshold=1.0)
    found = method.losses(method.build(context()), batch(), STEP)
    assert found.terms["pseudo"].item() == pytest.approx(0, abs=1e-6)


def test_the_teacher_follows_the_student():
    method = PseudoLabel((LEAVES,), ema=0.75)
    networks = method.build(context())
    with torch.no_grad():
        for p in networks.network.parameters():
            p.add_(1.0)
    before = [p.clone() for p in networks.teacher.parameters()]
    method.after_step(networks, STEP)
    for old, new in zip(before, networks.teacher.parameters(), strict=True):
        assert torch.allclose(new - old, torch.tensor(0.25), atol=1e-5)


@pytest.mark.parametrize("name", ["pseudo-label", "bcp"])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_teacher_predicts_in_the_mode_asked_for(name, mode):
    place = bigger(TWO, network="unet-ssl4mis")  # batch norm and dropout
    method = make_method(name, TWO, (), {"teacher": mode})
    networks = method.build(place).train()
    seen = []
    networks.teacher.register_forward_hook(lambda m, *_: seen.append(m.training))
    before = {k: v.clone() for k, v in networks.teacher.named_buffers()}
    method.losses(networks, batch_of(place, 2, 2), STEP)
    assert seen == [mode == "train"]
    assert networks.teacher.training
    moved = any(not torch.equal(v, before[k]) for k, v in networks.teacher.named_buffers())
    assert moved == (mode == "train")
    with pytest.raises(HinterlandError, match="teacher='asleep'; expected one of eval, train"):
        make_method(name, TWO, (), {"teacher": "asleep"})


def test_coarse_labels_and_two_coarsenings():
    for on in ((), ("top", "leaves")):
        method = make_method("pseudo-label", SPEC, on)
        found = method.losses(method.build(context()), batch(scheme="coarse"), STEP)
        assert torch.isfinite(found.total)


def test_a_share_outside_0_and_1_is_refused():
    with pytest.raises(HinterlandError, match="pretrain=2"):
        make_method("pseudo-label", SPEC, options={"pretrain": 2.0})
