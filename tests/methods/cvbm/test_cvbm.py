"""CVBM: complement labels, the terms of both phases, its ablations, and what it deploys."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cvbm_phantoms import FOUR, PRE, SELF, TWO, batch_of, build_context
from torch.utils.flop_counter import FlopCounterMode

from hinterland.export.nnunet_weights import shape_of
from hinterland.losses import SegmentationLoss
from hinterland.losses.complement import Complement, SoftmaxComplement
from hinterland.losses.morphology.components import keep_largest
from hinterland.methods import Supervised, make_method
from hinterland.methods.cvbm.method import CVBM
from hinterland.methods.parts.cutmix import box_mask, halves
from hinterland.methods.parts.teacher import DROPOUT
from hinterland.networks import create, require_split
from hinterland.types import HinterlandError, Progress

# ---------------------------------------------------------------------------- complement labels


def test_complement_labels_of_two_and_four_classes():
    """Eq. 1: Y_bg = 1 - Y. Eq. 2: the one-hot of every class, inverted."""
    leaves = TWO.tree.leaves
    y, decided = Complement(leaves, TWO.label_sets).targets.complements(torch.tensor([[[1, 2]]]))
    assert y[0, :, 0].T.tolist() == [[0, 1], [1, 0]]
    assert decided.all()
    leaves = FOUR.tree.leaves
    truth = torch.tensor([[[1, 2], [3, 4]]])
    y, decided = Complement(leaves, FOUR.label_sets).targets.complements(truth)
    order = [leaves.names.index(n) for n in ("rest", "lung", "infection", "organ")]
    one_hot = F.one_hot(truth - 1, 4).movedim(-1, 1)
    assert torch.equal(y[:, order], 1 - one_hot.float())
    assert decided.all()
    assert (y.sum(dim=1) == 3).all()  # K - 1 of K are 1


def test_partial_labels_decide_only_what_their_scheme_names():
    leaves = FOUR.tree.leaves
    row = FOUR.label_sets.label_set_ids(FOUR.schemes["partial"])
    branch = Complement(leaves, FOUR.label_sets)
    y, decided = branch.targets.complements(torch.tensor([[[row[0], row[2], 0]]]))
    named = {n: decided[0, i, 0].tolist() for i, n in enumerate(leaves.names)}
    assert named == {
        "lung": [0, 0, 0], "rest": [0, 0, 0], "infection": [1, 1, 0], "organ": [1, 1, 0],
    }  # fmt: skip
    infection = leaves.names.index("infection")
    assert y[0, infection, 0, :2].tolist() == [1, 0]


def test_complement_loss_is_binary_dice_and_cross_entropy():
    torch.manual_seed(0)
    rows = torch.randint(1, 5, (2, 5, 4))
    logits = torch.randn(2, 4, 5, 4)
    branch = Complement(FOUR.tree.leaves, FOUR.label_sets, form="printed")
    y = branch.targets.complements(rows)[0].numpy()
    q = logits.sigmoid().numpy()
    bce = -(y * np.log(q) + (1 - y) * np.log(1 - q)).mean()
    axes = (0, 2, 3)
    dice = (2 * (q * y).sum(axes) + 1e-5) / (q.sum(axes) + y.sum(axes) + 1e-5)
    assert float(branch([logits], rows)) == pytest.approx(bce + 1 - dice.mean(), rel=1e-5)
    assert torch.allclose(branch.estimate(logits), 1 - logits.sigmoid())


def test_two_class_sigmoids_can_sum_to_one_with_the_foreground_and_the_softmax_cannot():
    """The constraint of section III-D: foreground and background probabilities sum to 1."""
    leaves, table = FOUR.tree.leaves, FOUR.label_sets
    p = torch.tensor([0.7, 0.1, 0.15, 0.05]).view(1, 4, 1)
    assert torch.allclose(Complement(leaves, table).estimate(torch.logit(1 - p)), p)
    # Under a softmax the outputs sum to 1, complements must sum to K - 1 = 3.
    softmax = SoftmaxComplement(leaves, table)
    ideal = (1 - p).log()  # the closest a softmax comes: q proportional to 1 - p
    assert ideal.softmax(dim=1).sum() == pytest.approx(1)
    assert not torch.allclose(softmax.estimate(ideal), p, atol=0.1)


def test_softmax_complement_never_reaches_its_target():
    """Cross entropy with K - 1 labels of 1 is at least (K - 1) log(K - 1), reached at 1/(K - 1)."""
    branch = SoftmaxComplement(FOUR.tree.leaves, FOUR.label_sets)
    rows = torch.full((1, 1, 3), 3)
    y, _ = branch.targets.complements(rows)
    best = torch.where(y > 0, 20.0, -20.0)
    dice = 2 * (1 / 3) / (1 / 3 + 1)  # of the three classes that are there; 1 of the absent one
    ce = float(branch([best], rows)) - (1 - (3 * dice + 1) / 4)
    assert ce == pytest.approx(3 * math.log(3), abs=0.02)
    sigmoids = Complement(FOUR.tree.leaves, FOUR.label_sets, form="printed")
    assert float(sigmoids([best], rows)) < 1e-3  # sigmoids do


# ---------------------------------------------------------------------------- the terms

PRINTED = {"region": "printed", "complement": "printed"}


def forward(student, image):
    outputs = student(image)
    return outputs.first, outputs.second, outputs.mixed


@pytest.mark.parametrize("supervision", [False, True])
def test_pre_training_is_equations_5_to_7(supervision):
    context = build_context(FOUR, deep_supervision=supervision)
    method = make_method("cvbm", FOUR, ("leaves",), PRINTED)
    networks = method.build(context)
    batch = batch_of(context)
    torch.manual_seed(7)
    found = method.losses(networks, batch, PRE)
    assert set(found.terms) == {"fg", "fg_u", "bg", "bg_u", "mix", "mix_u"}
    assert set(found.weights.values()) == {1.0}

    torch.manual_seed(7)
    keep = box_mask(context.plan.patch_size)
    a, b = halves(batch)
    m = keep.float()
    image_a = a.image * m + b.image * (1 - m)
    image_b = a.image * (1 - m) + b.image * m
    first, second, mixed = forward(networks.student, torch.cat([image_a, image_b]))
    leaves, n = FOUR.tree.leaves, len(a)
    fg = SegmentationLoss((leaves,), leaves, FOUR.label_sets)
    bg = Complement(leaves, FOUR.label_sets, form="printed")
    inside, outside = keep.long(), (~keep).long()
    for name, branch, levels in (("fg", fg, first), ("bg", bg, second), ("mix", fg, [mixed])):
        one = [level[:n] for level in levels]
        two = [level[n:] for level in levels]
        own = branch(one, a.annotation * inside) + branch(two, a.annotation * outside)
        other = branch(one, b.annotation * outside) + branch(two, b.annotation * inside)
        assert torch.allclose(found.terms[name], own, rtol=1e-5)
        assert torch.allclose(found.terms[f"{name}_u"], other, rtol=1e-5)
    literal = replace(method, second_weight=0.0).losses(networks, batch, PRE)
    assert literal.weights["fg_u"] == literal.weights["bg_u"] == literal.weights["mix_u"] == 0


def test_self_training_is_equations_17_to_20():
    context = build_context(FOUR, deep_supervision=False)
    method = make_method("cvbm", FOUR, ("leaves",), {"alpha": 0.3, **PRINTED})
    networks = method.build(context)
    batch = batch_of(context, labelled=2, unlabelled=2)
    # A teacher whose decoders differ from the student's, and from each other.
    networks.teacher.load_state_dict(method.build(replace(context, seed=2)).student.state_dict())
    torch.manual_seed(7)
    found = method.losses(networks, batch, SELF)
    assert set(found.terms) == {"fg", "fg_u", "bg", "bg_u", "bcl"}
    assert found.weights["fg_u"] == found.weights["bg_u"] == 0.3
    assert found.weights["bcl"] == pytest.approx(0.1 * math.exp(-5 * 0.25))

    torch.manual_seed(7)
    m = box_mask(context.plan.patch_size).float()
    x_l, x_u = batch.image[:2], batch.image[2:]
    image = torch.cat([x_l * m + x_u * (1 - m), x_l * (1 - m) + x_u * m])
    first, second, mixed = forward(networks.student, image)
    p, q, p_mixed = first[0].softmax(1), second[0].sigmoid(), mixed.softmax(1)
    bcl = sum(
        F.mse_loss(p_mixed[i], p[i]) + F.mse_loss(1 - q[i], p[i])
        for i in (slice(0, 2), slice(2, 4))
    )
    assert torch.allclose(found.terms["bcl"], bcl, rtol=1e-5)

    taught = networks.teacher.eval()(x_u)
    guesses = {"fg": taught.first[0].softmax(1), "bg": 1 - taught.second[0].sigmoid()}
    cells = {name: guess.argmax(1) for name, guess in guesses.items()}
    kept = {name: keep_largest(c, FOUR.tree.leaves.background) for name, c in cells.items()}
    assert (kept["fg"] != kept["bg"]).float().mean() > 0.1
    assert all((kept[name] != cells[name]).any() for name in cells)
    leaves, table = FOUR.tree.leaves, networks.pseudo.label_sets
    branches = {
        "fg": SegmentationLoss((leaves,), leaves, table),
        "bg": Complement(leaves, table, form="printed"),
    }
    y_l, inside, outside = batch.annotation[:2], m.long(), (1 - m).long()
    for name, levels in (("fg", first), ("bg", second)):
        branch, y_u = branches[name], networks.pseudo.first + kept[name]
        one, two = levels[0][:2], levels[0][2:]
        own = branch([one], y_l * inside) + branch([two], y_l * outside)
        other = branch([one], y_u * outside) + branch([two], y_u * inside)
        assert torch.allclose(found.terms[name], own, rtol=1e-5)
        assert torch.allclose(found.terms[f"{name}_u"], other, rtol=1e-5)
    expected = sum(found.weights[n] * t for n, t in found.terms.items())
    assert torch.allclose(found.total, expected)
    # The pseudo-labels are the teacher's: with another teacher only their terms change.
    with torch.no_grad():
        for parameter in networks.teacher.parameters():
            parameter.copy_(torch.randn_like(parameter))
    torch.manual_seed(7)
    other = method.losses(networks, batch, SELF)
    for name in ("fg", "bg", "bcl"):
        assert torch.equal(other.terms[name], found.terms[name])
    for name in ("fg_u", "bg_u"):
        assert not torch.equal(other.terms[name], found.terms[name])


def test_code_schedules():
    context = build_context(TWO)
    method = make_method("cvbm", TWO, (), {"consistency": 1.0, "ramp": "none"})
    networks = method.build(context)
    losses = method.losses(networks, batch_of(context, 2, 2), SELF)
    assert losses.weights["bcl"] == 1.0


OFF = {"alpha": 0.0, "consistency": 0.0, "cutmix": False, "background_weight": 0.0,
       "mixed_weight": 0.0}  # fmt: skip


@pytest.mark.parametrize(
    ("network", "dims"), [("unet", 2), ("unet", 3), ("unet-ssl4mis", 2)]
)  # the last one has batch norms
def test_without_all_that_is_its_own_it_is_supervised_training(network, dims):
    """alpha = lambda = 0, no mixing, background weight 0: the same losses, at every step."""
    context = build_context(FOUR, dims, network)
    on, own = ("leaves", "target"), OFF
    method, plain = make_method("cvbm", FOUR, on, own), make_method("supervised", FOUR, on)
    assert isinstance(plain, Supervised)
    one, other = method.build(context), plain.build(context)
    for module in (*one.modules(), *other.modules()):
        if isinstance(module, DROPOUT):
            module.p = 0.0
    optimisers = [
        torch.optim.SGD(m.parameters(n, "main"), 0.05) for m, n in ((method, one), (plain, other))
    ]
    for step in range(6):
        phase = "pre-train" if step < 3 else "self-train"
        progress = Progress(phase, step, 6)
        full = batch_of(context, 0 if step < 3 else 2, 2, seed=step)
        losses = method.losses(one, full, progress)
        expected = plain.losses(other, full.stream("labelled"), progress)
        assert torch.allclose(losses.total, expected.total, rtol=1e-6)
        for optimiser, total in zip(optimisers, (losses.total, expected.total), strict=True):
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
        method.after_step(one, progress)
    found, expected = method.deployed(one).state_dict(), plain.deployed(other).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)


def test_what_is_learnt_from_unlabelled_images():
    """They are shown to the student only where a term or a mixture has a use for them."""
    uses = {"alpha": 0.5, "consistency": 0.1, "cutmix": True}
    for field, value in uses.items():
        assert make_method("cvbm", FOUR, ("leaves",), {**OFF, field: value}).uses_unlabelled
    for none in ({}, {"consistency": 0.1, "views": "foreground"},
                 {"consistency": 0.1, "inverse": False, "mixing_layer": False}):  # fmt: skip
        assert not make_method("cvbm", FOUR, ("leaves",), {**OFF, **none}).uses_unlabelled


# ---------------------------------------------------------------------------- teacher


def test_teacher_follows_exactly():
    context = build_context(TWO)
    method = CVBM((TWO.target,), ema=0.9)
    networks = method.build(context)
    student, teacher = networks.student, networks.teacher
    assert not any(p.requires_grad for p in teacher.parameters())
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    method.after_step(networks, PRE)  # while pre-training it is the student
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    for name, value in student.state_dict().items():
        assert torch.equal(before[name], value)
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    method.after_step(networks, SELF)
    for name, value in student.state_dict().items():
        assert torch.allclose(teacher.state_dict()[name], 0.9 * before[name] + 0.1 * value)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_teacher_predicts_in_the_mode_asked_for(mode):
    context = build_context(TWO, network="unet-ssl4mis")
    method = make_method("cvbm", TWO, (), {"teacher": mode})
    networks = method.build(context).train()
    seen = []
    networks.teacher.register_forward_hook(lambda m, *_: seen.append(m.training))
    before = {k: v.clone() for k, v in networks.teacher.named_buffers()}
    losses = method.losses(networks, batch_of(context, 2, 2), SELF)
    assert seen == [mode == "train"]
    assert losses.total.requires_grad
    assert networks.teacher.training
    moved = any(not torch.equal(v, before[k]) for k, v in networks.teacher.named_buffers())
    assert moved == (mode == "train")


# ---------------------------------------------------------------------------- variants

VARIANTS = {
    "cross": {},
    "foreground only": {"views": "foreground"},
    "background": {"mixing_layer": False, "direct": False, "inverse": False},
    "direct": {"inverse": False},
    "inverse": {"direct": False},
    "dual foreground": {"views": "dual-foreground"},
    "dual background": {"views": "dual-background"},
    "softmax": {"complement": "softmax"},
    "dual background softmax": {"views": "dual-background", "complement": "softmax"},
    "no mix loss": {"mixed_weight": 0.0},
    "no cut-mix": {"cutmix": False},
    "mix output": {"output": "mix"},
    "average output": {"output": "average"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns_and_predicts(variant):
    context = build_context(FOUR)
    method = make_method("cvbm", FOUR, ("leaves",), VARIANTS[variant])
    networks = method.build(context)
    batch = batch_of(context, 2, 2)
    optimiser = torch.optim.Adam(method.parameters(networks, "main"), 0.01)
    for progress, share in ((PRE, batch.stream("labelled")), (SELF, batch)):
        totals = []
        for step in range(12):
            torch.manual_seed(step % 3)
            losses = method.losses(networks, share, progress)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
            method.after_step(networks, progress)
            totals.append(float(losses.total.detach()))
        assert sum(totals[-3:]) < sum(totals[:3])
    networks.eval()
    p = method.probabilities(networks, batch.image)
    assert p.shape == (4, 4, 16, 16)
    assert torch.allclose(p.sum(dim=1), torch.ones(4, 16, 16), atol=1e-5)
    if method.output == "foreground":
        deployed = require_split(method.deployed(networks), "a test")
        assert torch.allclose(deployed(batch.image).softmax(dim=1), p, atol=1e-5)
        taps = deployed.feature_maps(
            features := deployed.encode(batch.image), deployed.decode(features)
        )
        assert taps.keys() == networks.student(batch.image).features.keys()


@pytest.mark.parametrize("complement", ["class-side", "printed", "softmax"])
def test_what_is_no_plain_network_is_not_exported_as_one(complement):
    options = {"views": "dual-background", "complement": complement}
    method = make_method("cvbm", FOUR, ("leaves",), options)
    weights = method.deployed(method.build(build_context(FOUR))).state_dict()
    with pytest.raises(HinterlandError, match="complement classes"):
        shape_of(weights)


def test_regularisers_see_the_ground_truth_and_no_pseudo_label():
    context = build_context(FOUR)
    method = make_method("cvbm", FOUR, ("leaves",))
    networks = method.build(context)
    (view,) = method.losses(networks, batch_of(context, 2, 2), SELF).views
    assert view.annotation is not None
    assert view.annotation.max() < len(FOUR.label_sets)
    inside = (view.annotation > 0).sum(dim=(1, 2))
    edge = int(2 / 3 * 16)
    assert inside.tolist() == [16**2 - edge**2] * 2 + [edge**2] * 2
    assert "bottleneck" in view.features


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"views": "sideways"}, "expected one of cross, foreground"),
        ({"beta": 1.5}, "beta=1.5; expected a number from 0 to 1"),
        ({"views": "foreground", "output": "average"}, "needs a second decoder"),
        ({"output": "mix", "mixing_layer": False}, "needs mixing_layer"),
        ({"temperature": 1.0}, "temperature"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, words):
    with pytest.raises(HinterlandError, match=words):
        make_method("cvbm", TWO, (), options)


# ---------------------------------------------------------------------------- what is deployed


@pytest.mark.parametrize(
    ("network", "dims"), [("unet", 2), ("unet", 3), ("unet-ssl4mis", 2), ("vnet", 3)]
)
def test_the_deployed_network_is_the_plain_one(network, dims):
    """Same type, names, shapes and number of parameters: same cost."""
    context = build_context(TWO, dims, network)
    method = make_method("cvbm", TWO)
    networks = method.build(context).eval()
    plain = create(
        network, context.plan, 2, context.deep_supervision, **context.network_options
    ).eval()
    deployed = method.deployed(networks)
    assert type(deployed) is type(plain)
    shapes = {n: v.shape for n, v in plain.state_dict().items()}
    assert {n: v.shape for n, v in deployed.state_dict().items()} == shapes
    image = torch.randn(1, 1, *context.plan.patch_size)
    assert torch.allclose(
        deployed(image).softmax(dim=1), method.probabilities(networks, image), atol=1e-6
    )
    operations = []
    for model in (deployed, plain):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(image)
        operations.append(counter.get_total_flops())
    assert operations[0] == operations[1] > 0
    trained = sum(p.numel() for p in networks.student.parameters())
    assert trained > sum(p.numel() for p in deployed.parameters())
    decoders = [networks.student.network.upsampling, *("transposed", "interpolate")]
    assert len(set(decoders)) == 2
