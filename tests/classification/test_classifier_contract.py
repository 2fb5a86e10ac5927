"""What every classifier promises, in 2D and 3D."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from factories import batch_of, plan_of, spec_of
from recipe_steps import trained

from hinterland.classification.methods import (
    UNKNOWN,
    Classifier,
    ClassifierContext,
    ClassTargets,
    ImageClassifier,
    YNet,
    class_loss,
)
from hinterland.classification.networks import IMAGE_CLASSIFIERS, SUMMARISERS, create_classifier
from hinterland.networks.recipes import classifier_recipe
from hinterland.training.config import make_config
from hinterland.training.optimisation.recipes import RECIPES
from hinterland.types import Batch, HinterlandError, Progress

SPEC = spec_of({"background": {}, "lesion": {}}, ["lesion"])
STEPS = 20
CASES = tuple("abcdef")
LIGHT = ("small", "squeezenet", *SUMMARISERS)


def context_for(dims: int, edge: int = 16) -> ClassifierContext:
    plan = plan_of((edge,) * dims, batch_size=4, batch_dice=True)
    return ClassifierContext(
        plan, SPEC, SPEC.label_sets, deep_supervision=False, channels=1,
        classes=("no lesion", "small", "large"), targets={c: i % 3 for i, c in enumerate(CASES)},
    )  # fmt: skip


def batch_for(context: ClassifierContext) -> Batch:
    """One image of every case: a bright square whose size is the class."""
    size = context.plan.patch_size
    image = 0.3 * torch.randn((len(CASES), 1, *size), generator=torch.Generator().manual_seed(0))
    truth = torch.zeros((len(CASES), *size), dtype=torch.long)
    for i in range(len(CASES)):
        width = (0, 4, 9)[i % 3]
        truth[(i, *(slice(2, 2 + width),) * len(size))] = 1
    rows = torch.tensor([SPEC.label_sets.label_set_ids(SPEC.scheme("full"))[v] for v in (0, 1)])[
        truth
    ]
    return batch_of(
        image + 2 * truth[:, None].float(), rows, nodes=len(SPEC.tree.nodes),
        covers=torch.ones(len(CASES), dtype=torch.bool), case=CASES, group=CASES,
    )  # fmt: skip


def recipes() -> list[Classifier]:
    return [*(ImageClassifier(name) for name in LIGHT), YNet((SPEC.target,))]


@pytest.fixture(
    params=[(c, d) for c in recipes() for d in (2, 3)],
    ids=lambda p: f"{getattr(p[0], 'network', p[0].name)}-{p[1]}D",
)
def built(request: pytest.FixtureRequest) -> tuple[Classifier, ClassifierContext]:
    recipe, dims = request.param
    return recipe, context_for(dims)


def test_loss_falls_and_gradients_reach_everything(built):
    recipe, context = built
    networks, batch = recipe.build(context), batch_for(context)
    optimiser = torch.optim.Adam(list(recipe.parameters(networks, "main")), 3e-3)
    losses, reached = [], {name: False for name, _ in networks.named_parameters()}
    for step in range(STEPS):
        torch.manual_seed(0)  # the same dropout, so that steps compare
        total = recipe.losses(networks, batch, Progress("train", step, STEPS)).total
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(float(total.detach()))
        for name, parameter in networks.named_parameters():
            reached[name] |= parameter.grad is not None and bool(parameter.grad.any())
    assert sum(losses[-3:]) / 3 < losses[0], losses
    assert not [name for name, hit in reached.items() if not hit]


def test_probabilities_sum_to_one_and_state_survives(built):
    recipe, context = built
    networks, batch = recipe.build(context), batch_for(context)
    recipe.losses(networks, batch, Progress("train", 0, STEPS)).total.backward()
    networks.eval()
    p = recipe.probabilities(networks, batch.image)
    assert p.shape == (len(CASES), 3)
    assert p.dtype == torch.float32
    assert torch.allclose(p.sum(dim=1), torch.ones(len(CASES)), atol=1e-5)
    other = recipe.build(replace(context, seed=1)).eval()
    assert not torch.equal(recipe.probabilities(other, batch.image), p)
    other.load_state_dict(networks.state_dict())
    assert torch.equal(recipe.probabilities(other, batch.image), p)


def test_the_seed_decides_the_weights(built):
    recipe, context = built
    one, two = (recipe.build(context).state_dict() for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("name", IMAGE_CLASSIFIERS)
@pytest.mark.parametrize("size", [(32, 32), (32, 32, 32)], ids=["2D", "3D"])
def test_large_networks_take_any_number_of_channels(name, size):
    with torch.device("meta"):
        network = create_classifier(name, 5, 4, size)
        logits = network(torch.empty(2, 5, *size))
    assert logits.shape == (2, 4)


def test_a_canvas_that_is_too_small_is_refused():
    with pytest.raises(HinterlandError, match="32 or more"):
        create_classifier("densenet121", 1, 2, (8, 64, 64))
    with pytest.raises(HinterlandError, match="expected one of"):
        create_classifier("resnet", 1, 2, (64, 64))


def test_cases_without_a_class_count_for_nothing():
    logits = torch.tensor([[2.0, 0.0], [0.0, 9.0]])
    known = class_loss(logits[:1], torch.tensor([1]))
    assert class_loss(logits, torch.tensor([1, UNKNOWN])) == known
    assert known == pytest.approx(float(torch.log1p(torch.exp(torch.tensor(2.0)))))
    assert class_loss(logits, torch.tensor([UNKNOWN, UNKNOWN])) == 0
    assert ClassTargets({"a": 1})(("a", "z")).tolist() == [1, UNKNOWN]


def test_y_net_learns_voxels_of_cases_without_a_class():
    context = replace(context_for(2), targets={})
    recipe = YNet((SPEC.target,), segmentation_weight=0.5)
    losses = recipe.losses(recipe.build(context), batch_for(context), Progress("train", 0, 1))
    assert losses.terms["ce"] == 0
    assert losses.terms["voxels"] > 0
    assert float(losses.total) == pytest.approx(0.5 * float(losses.terms["voxels"]))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("by", ["small", "squeezenet", "pool", "simple", "complex"])
def test_classifiers_learn_with_every_recipe(by, name):
    classifier, context = ImageClassifier(by), context_for(2)
    networks = classifier.build(context)
    losses = trained(
        classifier, networks, classifier.phases()[0], batch_for(context),
        make_config({"recipe": name}), classifier_recipe(by),
    )  # fmt: skip
    assert all(torch.isfinite(torch.tensor(losses)))
    assert min(losses[-3:]) < losses[0], losses
