"""BCP: with the same mask, its loss is the sum over both mixtures on the regions of each source."""

from __future__ import annotations

import pytest
import torch
from semi_phantoms import EDGE, LEAVES, SPEC, batch, context

from hinterland.methods import make_method
from hinterland.methods.parts.cutmix import box_mask
from hinterland.methods.semi.bcp import BidirectionalCopyPaste
from hinterland.types import Progress


def test_self_training_learns_from_both_mixtures():
    method = BidirectionalCopyPaste((LEAVES,), component="all", alpha=0.5, region="printed")
    networks, items = method.build(context()), batch()
    torch.manual_seed(5)
    found = method.losses(networks, items, Progress("self-train", 0, 10))
    torch.manual_seed(5)
    keep = box_mask((EDGE, EDGE), method.beta)
    labelled, unlabelled = items.image[:2], items.image[2:]
    rows = items.annotation[:2]
    pseudo = networks.pseudo.first + networks.teacher(unlabelled).argmax(dim=1)
    seg, taught = 0.0, 0.0
    for inside in (keep, ~keep):
        logits = networks.network(torch.where(inside, labelled, unlabelled))
        seg += networks.supervision([logits], torch.where(inside, rows, 0)).item()
        taught += networks.supervision([logits], torch.where(inside, 0, pseudo)).item()
    assert found.terms["seg"].item() == pytest.approx(seg, abs=1e-5)
    assert found.terms["pseudo"].item() == pytest.approx(taught, abs=1e-5)
    assert found.total.item() == pytest.approx(seg + taught / 2, abs=1e-5)


def test_pre_training_mixes_labelled_images_and_pseudo_label_does_not():
    images = {}
    for name in ("bcp", "pseudo-label"):
        method = make_method(name, SPEC)
        found = method.losses(method.build(context()), batch(4, 0), Progress("pre-train", 0, 10))
        images[name] = found.views[0].image
    given = batch(4, 0).image
    assert torch.equal(images["pseudo-label"], given)
    assert images["bcp"].shape == given.shape
    assert not torch.equal(images["bcp"], given)
