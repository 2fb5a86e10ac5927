"""Cuts of a tree, the heads that answer at them, and what each annotation supervises."""

from __future__ import annotations

import pytest
import torch
from factories import batch_of, spec_of
from torch import cat, nn

from hinterland.labels import LabelSpec
from hinterland.losses.levels import LevelLosses, label_sets_known_at
from hinterland.losses.negative import NegativeLoss
from hinterland.methods import make_method
from hinterland.methods.subclass import negative_learning as module
from hinterland.methods.subclass.heads import PlainHead, SeparateHead, make_level_head
from hinterland.methods.subclass.levels import Node, schemes_known_at, tree_levels
from hinterland.methods.subclass.method import Subclass, SubclassNetworks
from hinterland.types import Batch, HinterlandError, Progress

PAPER = spec_of(
    {"background": {}, "heart": {"RV": {}, "MYO": {}, "LV": {}}},
    schemes={
        "full": {0: "background", 1: "RV", 2: "MYO", 3: "LV"},
        "coarse": {0: "background", 1: "heart"},
    },
)
DEEP = spec_of(
    {
        "rest": {},
        "lung": {"left": {}, "right": {}},
        "heart": {"LV": {}, "RV": {}, "myocardium": {"normal": {}, "scar": {}}},
    },
    schemes={
        "full": {0: "rest", 1: "left", 2: "right", 3: "LV", 4: "RV", 5: "normal", 6: "scar"},
        "parts": {0: "rest", 1: "left", 2: "right", 3: "LV", 4: "RV", 5: "myocardium"},
        "top": {0: "rest", 1: "lung", 2: "heart"},
        "odd": {0: "not scar", 1: "scar"},
    },
)


def batch(spec: LabelSpec, streams: dict[str, str], size: int = 8, dims: int = 2) -> Batch:
    """Random items; streams: quota -> scheme of its two items."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for scheme in streams.values():
        own = list(spec.label_sets.label_set_ids(spec.scheme(scheme)).values())
        pick = torch.randint(len(own), (2, *[size] * dims), generator=generator)
        rows.append(torch.tensor(own)[pick])
    n = 2 * len(streams)
    return batch_of(
        torch.randn(n, 1, *[size] * dims, generator=generator),
        cat(rows),
        image_labels=torch.zeros(n, 1, dtype=torch.int8),
        covers=torch.ones(n, dtype=torch.bool),
        case=("c",) * n,
        group=("g",) * n,
        streams=tuple(s for s in streams for _ in range(2)),
    )


class Toy(nn.Module):
    """A decoder of one convolution, so that a method can be stepped without a plan."""

    def __init__(self, head: nn.Module, dims: int = 2) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.body, self.head = conv(1, 4, 3, padding=1), head

    def encode(self, x):
        return [x]

    def decode(self, features):
        return [self.body(features[0])]

    def forward(self, x):
        return self.head(self.decode(self.encode(x)))[0]

    def feature_maps(self, features, decoded):
        return {}


def toy(method: Subclass, spec: LabelSpec, dims: int = 2) -> SubclassNetworks:
    from hinterland.methods.subclass.hierarchical_mix import HierarchicalMix

    head = make_level_head(method.heads, 4, dims, pc=method.pc, sn=method.sn, seed=1)
    torch.manual_seed(0)
    return SubclassNetworks(
        network=Toy(head, dims),
        supervision=LevelLosses(
            method.on, spec.label_sets, cells=method.cells if method.marginal else None
        ),
        mix=HierarchicalMix(method.cells, spec.label_sets),
    )


def test_cuts_of_a_tree():
    assert [c.names for c in tree_levels(PAPER.tree)] == [
        ("background", "heart"),
        ("background", "RV", "MYO", "LV"),
    ]
    top, parts, leaves = tree_levels(DEEP.tree)
    assert top == DEEP.tree.top
    assert parts.names == ("rest", "left", "right", "LV", "RV", "myocardium")
    assert leaves == DEEP.tree.leaves
    flat = spec_of({"a": {}, "b": {}})
    assert tree_levels(flat.tree) == (flat.tree.leaves,)
    root = Node.of(tree_levels(DEEP.tree))
    assert [len(c.children) for c in root.children] == [0, 2, 3]
    assert [len(c.children) for c in root.children[2].children] == [0, 0, 2]


def test_which_schemes_know_which_cut():
    top, parts, leaves = tree_levels(DEEP.tree)
    assert schemes_known_at(DEEP, top) == (("full", "parts", "top"), ("odd",))
    assert schemes_known_at(DEEP, parts) == (("full", "parts"), ("top", "odd"))
    assert schemes_known_at(DEEP, leaves) == (("full",), ("parts", "top", "odd"))
    assert not label_sets_known_at(DEEP.label_sets, top)[0]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("pc", [True, False])
def test_one_foreground_is_the_papers_head(dims, pc):
    """Both branches and both heads written out with the head's own weights."""
    head = make_level_head(tree_levels(PAPER.tree), 6, dims, pc=pc, sn=True, seed=3)
    assert isinstance(head, SeparateHead)
    x = torch.randn(2, 6, *[5] * dims)
    background, foreground = head.root.branches
    for branch in (background, foreground):
        kinds = [type(m).__name__ for m in branch]
        assert kinds == [f"BatchNorm{dims}d", "ReLU", f"Conv{dims}d", "ReLU"]
    features = foreground(x)
    bg, fg = head.root.logits[0](background(x)), head.root.logits[1](features)
    classifier = head.root.below["1"].logits[0]
    nn.init.normal_(classifier.weight)  # priors begin at 0
    subs = classifier(cat((features, fg), 1) if pc else features)
    assert classifier.in_channels == 6 + pc
    superclass, subclass = head.levels([x])
    assert torch.equal(superclass, cat((bg, fg), 1))
    assert torch.equal(subclass, cat((bg, subs), 1))
    assert torch.equal(head([x])[0], subclass)


def test_a_general_tree_branches_recursively():
    head = make_level_head(tree_levels(DEEP.tree), 4, 2, pc=True, sn=True)
    x = torch.randn(2, 4, 6, 6)
    top, parts, leaves = head.levels([x])
    assert (top.shape[1], parts.shape[1], leaves.shape[1]) == (3, 6, 7)
    assert torch.equal(top[:, 0], parts[:, 0])  # rest: one logit for all levels
    assert torch.equal(top[:, 0], leaves[:, 0])
    assert torch.equal(parts[:, 1:5], leaves[:, 1:5])  # left, right, LV, RV are leaves already
    heart = head.root.below["2"]
    assert len(head.root.branches) == len(heart.branches) == 3
    assert not head.root.below["1"].branches  # two leaves share one convolution
    assert heart.branches[0][0].num_features == 4
    assert heart.logits[0].in_channels == 4 + 1  # features of the branch, logit of the heart
    logits = heart.forward(torch.randn(2, 4, 6, 6), [torch.full((2, 1, 6, 6), 9.0)])
    assert [len(g) for g in logits] == [1, 1, 2, 1, 1]


def test_prior_concatenation_without_separate_normalization():
    x = torch.randn(1, 4, 5, 5)
    for pc in (True, False):
        head = make_level_head(tree_levels(PAPER.tree), 4, 2, pc=pc, sn=False)
        assert isinstance(head, PlainHead)
        nn.init.normal_(head.layers[1].weight)  # priors begin at 0
        superclass, subclass = head.levels([x])
        assert torch.equal(superclass, head.layers[0](x))
        assert torch.equal(subclass, head.layers[1](cat((x, superclass), 1) if pc else x))


def test_coarse_items_say_nothing_about_subclasses():
    """Superclass loss for all, subclass loss for fine items alone: the paper's two losses."""
    losses = LevelLosses(tree_levels(PAPER.tree), PAPER.label_sets)
    both = batch(PAPER, {"fine": "full", "coarse": "coarse"})
    logits = [torch.randn(4, n, 8, 8, requires_grad=True) for n in (2, 4)]
    terms = losses(logits, both.annotation)
    sum(terms.values()).backward()
    assert logits[0].grad[2:].abs().sum() > 0
    assert logits[1].grad[:2].abs().sum() > 0
    assert logits[1].grad[2:].abs().sum() == 0
    fine = both.stream("fine")
    own = losses([x[:2] for x in logits], fine.annotation)
    assert torch.allclose(own["ce/2"], terms["ce/2"])
    assert torch.allclose(own["dice/2"], terms["dice/2"])


def test_one_head_answers_at_every_cut_by_summed_probabilities():
    """The marginal form: L_seg of the superclasses over sums of the cells' probabilities."""
    levels = tree_levels(PAPER.tree)
    one = LevelLosses(levels, PAPER.label_sets, cells=levels[-1])
    heads = LevelLosses(levels, PAPER.label_sets)
    items = batch(PAPER, {"fine": "full", "coarse": "coarse"})
    logits = torch.randn(4, 4, 8, 8, requires_grad=True)
    log_p = logits.log_softmax(1)
    summed = cat((log_p[:, :1], log_p[:, 1:].logsumexp(1, keepdim=True)), 1)
    terms = one([logits, logits], items.annotation)
    expected = heads([summed, logits], items.annotation)
    assert terms.keys() == expected.keys() == {"ce/1", "dice/1", "ce/2", "dice/2"}
    for name, value in expected.items():
        assert torch.allclose(terms[name], value), name
    (gradient,) = torch.autograd.grad(terms["dice/1"], logits)
    assert gradient[2:].abs().sum() > 0  # coarse items have Dice, too
    method = make_method("subclass", PAPER, options={"pc": False, "sn": False, "marginal": True})
    assert method.on == levels
    assert method.heads == levels[-1:]


def test_priors_begin_as_none():
    """A random column would grow with the superclass's logit and could close a subclass."""
    from hinterland.methods.subclass.heads import NodeHead

    head = make_level_head(tree_levels(DEEP.tree), 4, 2, pc=True, sn=True, seed=2)
    nodes = [m for m in head.modules() if isinstance(m, NodeHead)]
    assert sorted(n.prior for n in nodes) == [False, True, True, True]
    for node in nodes:
        for layer in node.logits:
            assert layer.weight[:, :4].abs().min() > 0
            assert layer.weight[:, 4:].abs().sum() == 0
    plain = make_level_head(tree_levels(PAPER.tree), 4, 2, pc=True, sn=False, seed=2)
    assert plain.layers[1].weight[:, :4].abs().min() > 0
    assert plain.layers[1].weight[:, 4:].abs().sum() == 0


def test_every_level_of_annotation_meets_its_cuts():
    losses = LevelLosses(tree_levels(DEEP.tree), DEEP.label_sets)
    expected = {"full": (1, 1, 1), "parts": (1, 1, 0), "top": (1, 0, 0), "odd": (0, 0, 1)}
    for scheme, levels in expected.items():
        assert supervised_cuts(losses, DEEP, scheme, (3, 6, 7)) == levels, scheme


def supervised_cuts(losses: LevelLosses, spec: LabelSpec, scheme: str, groups: tuple[int, ...]):
    """Which heads get a gradient from items of a scheme."""
    logits = [torch.randn(2, n, 8, 8, requires_grad=True) for n in groups]
    sum(losses(logits, batch(spec, {"x": scheme}).annotation).values()).backward()
    return tuple(int(x.grad.abs().sum() > 0) for x in logits)


def test_a_scheme_with_one_leaf_and_a_coarse_rest_keeps_its_leaf():
    data = {
        "tree": {"background": {}, "heart": {"RV": {}, "MYO": {}, "LV": {}}},
        "schemes": {
            "full": {0: "background", 1: "RV", 2: "MYO", 3: "LV"},
            "mixed": {0: "background", 1: "LV", 2: ["RV", "MYO"]},
            "coarse": {0: "background", 1: "heart"},
        },
    }
    spec = spec_of(**data)
    losses = LevelLosses(tree_levels(spec.tree), spec.label_sets)
    assert supervised_cuts(losses, spec, "mixed", (2, 4)) == (1, 1)
    assert supervised_cuts(losses, spec, "coarse", (2, 4)) == (1, 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sn": False},
        {"pc": False, "sn": False},
        {"pc": False, "sn": False, "marginal": True},
        {"parts": "mixup"},
        {"parts": "pseudo"},
        {"tau": "released"},
    ],
)
@pytest.mark.parametrize("dims", [2, 3])
def test_losses_fall_and_gradients_arrive(options, dims):
    spec = DEEP
    method = make_method("subclass", spec, options=options)
    networks = toy(method, spec, dims)
    items = batch(spec, {"fine": "full", "coarse": "top"}, 6, dims)
    optimiser = torch.optim.Adam(networks.parameters(), 0.02)
    totals = []
    for step in range(20):
        torch.manual_seed(step)
        total = method.losses(networks, items, Progress("train", step, 20)).total
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert sum(totals[-5:]) < sum(totals[:5])
    assert all(p.grad is not None for p in networks.parameters())
    p = method.probabilities(networks, items.image)
    assert torch.allclose(p.sum(1), torch.ones(()), atol=1e-5)
    assert p.shape[1] == len(method.cells) == 7


def test_gradient_of_the_mixture_on_and_off():
    items = batch(PAPER, {"fine": "full", "coarse": "coarse"})
    progress = Progress("train", 5, 10)
    for gradient in (True, False):
        method = make_method("subclass", PAPER, options={"hm_gradient": gradient})
        torch.manual_seed(4)
        terms = method.losses(toy(method, PAPER), items, progress).terms
        assert terms["mix/ce"].requires_grad is gradient
        assert float(terms["mix/ce"].detach()) > 0


def test_no_gradient_through_pseudo_labels():
    """At t = 1 many voxels carry pseudo-labels; the gradient is that of a fixed target."""
    method = make_method(
        "subclass", PAPER, options={"parts": "pseudo", "pc": False, "sn": False, "tau_floor": 0.3}
    )
    networks = toy(method, PAPER)
    items = batch(PAPER, {"fine": "full", "coarse": "coarse"})
    weight = networks.network.head.layers[1].weight

    def mix_terms():
        torch.manual_seed(0)
        return method.losses(networks, items, Progress("train", 99, 100)).terms

    terms = mix_terms()
    (gradient,) = torch.autograd.grad(terms["mix/ce"], weight)
    assert gradient.abs().sum() > 0
    own = items.stream("coarse")
    p = networks.network(own.image).softmax(1)
    torch.manual_seed(0)
    from hinterland.methods.subclass.hierarchical_mix import draw_turn, threshold

    turn = draw_turn((8, 8))
    other = turn.undo(networks.network(turn(own.image)).softmax(1))
    tau = threshold(0.99, 0.3)
    target = networks.mix.pseudo(p, other, own.annotation, tau).detach()
    assert target[:, 1:].sum() > 0
    fixed = -(target * p.log()).sum() / (target.sum(1) > 0).sum()
    (expected,) = torch.autograd.grad(fixed, weight)
    assert torch.allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_mixed_loss_by_hand(dims):
    """Partners, alpha, pseudo-labels, target, weight: every draw repeated in the same order."""
    from hinterland.methods.subclass.hierarchical_mix import draw_turn, ramp, threshold

    method = make_method("subclass", PAPER, options={"tau_floor": 0.3})
    networks = toy(method, PAPER, dims)
    network, mix = networks.network, networks.mix
    network.eval()  # running statistics: the hand computation sees other batches
    items = batch(PAPER, {"fine": "full", "coarse": "coarse"}, dims=dims)
    progress = Progress("train", 90, 100)
    torch.manual_seed(11)
    found = method.losses(networks, items, progress)

    torch.manual_seed(11)
    own = items.take([2, 3])
    turn = draw_turn(tuple(own.image.shape[2:]))
    with torch.no_grad():
        p = network(own.image).softmax(1)
        other = turn.undo(network(turn(own.image)).softmax(1))
        pseudo = mix.pseudo(p, other, own.annotation, threshold(0.9, 0.3))
        partners = items.take([int(torch.randint(2, ())) for _ in range(2)])
        assert set(partners.streams) == {"fine"}
        alpha = 0.5 + 0.5 * torch.rand(2)
        mixed = mix.mix(own.image, own.annotation, partners.image, partners.annotation, alpha)
        a = alpha.view(-1, 1, *[1] * dims)
        inside = (mixed.pasted >= 0)[:, None]
        pasted = torch.nn.functional.one_hot(mixed.pasted.clamp(min=0), 4).movedim(-1, 1)
        target = torch.where(inside, a * pasted + (1 - a) * pseudo, pseudo)
        assert 0 < pseudo[:, 1:].sum() < inside.sum()  # some voxels of the heart have one
        q = network(mixed.image).softmax(1)
        weight = target.sum(1)
        ce = -(target * q.log()).sum() / (weight > 0).sum()
        axes = (0, *range(2, 2 + dims))
        overlap = 2 * (q * target).sum(axes)
        total = (q * weight[:, None]).sum(axes) + target.sum(axes)
        dice = 1 - (overlap / total)[1:].mean()
    assert torch.allclose(found.terms["mix/ce"], ce, atol=1e-5)
    assert torch.allclose(found.terms["mix/dice"], dice, atol=1e-4)
    assert found.weights["mix/ce"] == found.weights["mix/dice"] == ramp(0.9)


def test_negative_learning_trains_coarse_items_by_the_penalty_alone():
    method = make_method("negative-learning", PAPER)
    cells = method.cells
    networks = module.NegativeNetworks(
        network=Toy(make_level_head((cells,), 4, 2, pc=False, sn=False)),
        supervision=LevelLosses((cells,), PAPER.label_sets),
        negative=NegativeLoss(cells, PAPER.label_sets, "superclass"),
    )
    networks.network.logits = lambda x: [networks.network(x)]
    progress = Progress("train", 0, 10)

    def losses(streams):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "forward_with_features", lambda n, x: ([n(x)], {}))
            return method.losses(networks, batch(PAPER, streams), progress).terms

    coarse, fine = losses({"coarse": "coarse"}), losses({"fine": "full"})
    assert float(coarse["ce/1"].detach()) == float(coarse["dice/1"].detach()) == 0
    assert float(coarse["negative"].detach()) > 0
    assert float(fine["negative"].detach()) == 0
    assert float(fine["ce/1"].detach()) > 0
    with pytest.raises(HinterlandError, match="share"):
        make_method("negative-learning", PAPER, options={"share": 2.0})
    with pytest.raises(HinterlandError, match="weight"):
        make_method("negative-learning", PAPER, options={"weight": -1.0})


def test_quotas_follow_from_the_schemes():
    method = make_method("subclass", PAPER, options={"share": 0.25})
    (phase,) = method.phases()
    assert [(q.name, q.share, q.where) for q in phase.quotas] == [
        ("fine", 0.25, {"scheme": ("full",)}),
        ("coarse", 0.75, {"scheme": ("coarse",)}),
    ]
    again = make_method(method.name, PAPER, method.on, method.options)
    assert again == method


def test_refusals():
    with pytest.raises(HinterlandError, match="pc=false and sn=false"):
        make_method("subclass", PAPER, options={"marginal": True})
    with pytest.raises(HinterlandError, match="sn=false"):
        make_method("subclass", PAPER, options={"shared": True})
    with pytest.raises(HinterlandError, match="does not divide"):
        make_method("subclass", PAPER, ["leaves", "top"])
    with pytest.raises(HinterlandError, match="parts"):
        make_method("subclass", PAPER, options={"parts": "none"})
    only_coarse = LabelSpec(PAPER.tree, {"coarse": PAPER.schemes["coarse"]}, PAPER.questions)
    with pytest.raises(HinterlandError, match="no annotation scheme tells all subclasses apart"):
        make_method("subclass", only_coarse).phases()
