"""Cut-mix whose logits are cut back together, and what else issue 20 asks of BCP and CVBM."""

from __future__ import annotations

import pytest
import torch
from cvbm_phantoms import FOUR, PRE, SELF, batch_of, build_context
from semi_phantoms import EDGE, LEAVES, SPEC, batch, context

from hinterland.losses import SegmentationLoss
from hinterland.losses.complement import Complement
from hinterland.methods import make_method
from hinterland.methods.parts.cutmix import box_mask, cut_mix
from hinterland.types import Progress


def drawn(seed: int = 0) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """A mask, logits of both mixtures at three resolutions, and annotations of both sources."""
    torch.manual_seed(seed)
    keep = box_mask((16, 16))
    levels = [torch.randn(4, 3, 16 // n, 16 // n) for n in (1, 2, 4)]
    return keep, levels, [torch.randint(0, 4, (2, 16, 16)) for _ in range(2)]


def test_two_mixtures_of_one_image_cost_twice_what_the_image_costs():
    """Joined is the plain loss there; the printed form is not, as Dice of two regions is not."""
    keep, levels, (said, _) = drawn()
    image = torch.randn(2, 1, 16, 16)
    arranged = cut_mix(image, image, keep)
    assert torch.equal(arranged.image, torch.cat([image, image]))
    same = [torch.cat([level[:2], level[:2]]) for level in levels]
    loss = SegmentationLoss((LEAVES,), LEAVES, SPEC.label_sets)
    plain = loss([level[:2] for level in levels], said)
    for value in arranged.losses(loss, same, [said, said], joined=True):
        assert value.item() == pytest.approx(2 * plain.item(), rel=1e-6)
    printed = arranged.losses(loss, same, [said, said])
    assert any(abs(value.item() - 2 * plain.item()) > 1e-3 for value in printed)


def test_each_voxel_comes_from_the_mixture_it_went_into():
    keep, levels, said = drawn(1)
    images = [torch.zeros(2, 1, 16, 16), torch.ones(2, 1, 16, 16)]
    seen = []
    cut_mix(*images, keep).losses(
        lambda logits, rows: seen.append((logits, rows)) or torch.zeros(()), levels, said,
        joined=True,
    )  # fmt: skip
    for source, (logits, rows) in enumerate(seen):
        assert torch.equal(rows, said[source])
        for whole, level in zip(logits, levels, strict=True):
            step = 16 // level.shape[-1]
            small = keep[step // 2 :: step, step // 2 :: step]  # nearest voxel of each position
            inside = small if source == 0 else ~small
            assert torch.equal(whole, torch.where(inside, level[:2], level[2:]))


@pytest.mark.parametrize("name", ["bcp", "cvbm"])
@pytest.mark.parametrize(("region", "joined"), [("joined", True), ("printed", False)])
def test_the_methods_hand_whole_images_to_the_loss_unless_told_otherwise(name, region, joined):
    method = make_method(name, SPEC, ("leaves",), {"region": region})
    assert make_method(name, SPEC).region == "joined"
    networks, seen = method.build(context()), []
    loss = networks.supervision if name == "bcp" else networks.branches[0]
    loss.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    method.losses(networks, batch(), Progress("self-train", 0, 10))
    whole = [bool((said[:, 0] > 0).all() and (said > 0).all()) for said in seen]
    assert whole == ([True, True] if joined else [False] * 4)


def test_the_gradient_of_a_small_class_is_that_of_its_dice_and_cross_entropy():
    """A class of 2 % of the voxels: the printed complement teaches it next to nothing."""
    leaves, table = FOUR.tree.leaves, FOUR.label_sets
    ids = table.label_set_ids(FOUR.schemes["full"])
    rest, small = leaves.names.index("rest"), leaves.names.index("infection")
    said = torch.full((1, 50, 50), ids[0])
    said[0, :5, :10] = ids[2]  # 50 of 2,500 voxels
    where = (said == ids[2])[0]
    assert rest != small

    def gradient(loss, logits):
        logits = logits.clone().requires_grad_()
        loss([logits], said).backward()
        return logits.grad[0, small][where].abs().mean().item()

    undecided = torch.zeros(1, 4, 50, 50)  # softmax: a quarter each
    quarter = torch.full_like(undecided, torch.tensor(3.0).log().item())  # 1 - q is a quarter
    plain = gradient(SegmentationLoss((leaves,), leaves, table), undecided)
    ratio = {
        form: plain / gradient(Complement(leaves, table, form=form), quarter)
        for form in ("class-side", "printed")
    }
    assert 0.5 < ratio["class-side"] < 2
    assert ratio["printed"] > 3


def test_class_side_complement_by_hand():
    torch.manual_seed(0)
    leaves, table = FOUR.tree.leaves, FOUR.label_sets
    said, logits = torch.randint(1, 5, (2, 5, 4)), torch.randn(2, 4, 5, 4)
    y = Complement(leaves, table).targets.complements(said)[0]
    q = logits.sigmoid()
    bce = -(y * q.log() + (1 - y) * (1 - q).log()).sum(dim=1).mean()
    one, other = (1 - q)[:, list(leaves.foreground)], (1 - y)[:, list(leaves.foreground)]
    axes = (0, 2, 3)
    overlap, size = (one * other).sum(axes), one.sum(axes) + other.sum(axes)
    dice = 1 - ((2 * overlap + 1e-5) / (size + 1e-5)).mean()
    found = Complement(leaves, table)([logits], said)
    assert found.item() == pytest.approx((bce + dice).item(), rel=1e-5)


def test_the_mixing_layer_may_keep_its_labels_while_self_training():
    context_ = build_context(FOUR)
    items = batch_of(context_, labelled=2, unlabelled=2)
    terms = {}
    for when in ("pre-train", "always"):
        method = make_method("cvbm", FOUR, ("leaves",), {"mixed_labels": when})
        networks = method.build(context_)
        torch.manual_seed(0)
        found = method.losses(networks, items, SELF)
        terms[when] = set(found.terms)
        if when == "always":
            found.terms["mix"].backward()
            assert networks.student.psi.weight.grad.any()
            with torch.no_grad():  # of pseudo-labels it has none
                for parameter in networks.teacher.parameters():
                    parameter.copy_(torch.randn_like(parameter))
            torch.manual_seed(0)
            again = method.losses(networks, items, SELF).terms
            assert torch.equal(again["mix"], found.terms["mix"])
            assert not torch.equal(again["fg_u"], found.terms["fg_u"])
    assert terms["always"] - terms["pre-train"] == {"mix"}


@pytest.mark.parametrize("name", ["bcp", "cvbm"])
def test_pre_training_without_mixing_sees_the_images_as_they_are(name):
    given = batch(4, 0)
    for mixes in (True, False):
        method = make_method(name, SPEC, ("leaves",), {"pretrain_cutmix": mixes})
        found = method.losses(method.build(context()), given, PRE)
        assert torch.equal(found.views[0].image, given.image) != mixes
    plain = make_method("supervised", SPEC, ("leaves",))
    expected = plain.losses(plain.build(context()), given, PRE).total
    first = found.terms["seg" if name == "bcp" else "fg"]
    assert first.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["bcp", "cvbm", "pseudo-label"])
def test_the_labelled_share_of_self_training(name):
    method = make_method(name, SPEC, (), {"labelled_share": 0.75})
    quotas = {q.name: q.share for q in method.phases()[-1].quotas}
    assert quotas == {"labelled": 0.75, "unlabelled": 0.25}


def test_masks_of_other_sizes():
    """An edge that the levels do not divide evenly is cut as annotations are."""
    torch.manual_seed(2)
    keep = box_mask((EDGE - 1, EDGE - 1))
    levels = [torch.randn(2, 3, 7, 7), torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 2)]
    image = torch.zeros(1, 1, 7, 7)
    loss = SegmentationLoss((LEAVES,), LEAVES, SPEC.label_sets)
    said = [torch.randint(1, 4, (1, 7, 7)) for _ in range(2)]
    values = cut_mix(image, image + 1, keep).losses(loss, levels, said, joined=True)
    assert all(torch.isfinite(value) for value in values)
