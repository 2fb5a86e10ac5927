"""MC-Net: sharpening, and the two decoders' mutual consistency."""

from __future__ import annotations

import math

import pytest
import torch
from semi_phantoms import LEAVES, SPEC, batch, context

from hinterland.losses.consistency import sharpen
from hinterland.methods import make_method
from hinterland.methods.semi.mc_net import MutualConsistency
from hinterland.types import HinterlandError, Progress


def test_sharpening_is_a_power_of_the_probabilities():
    p = torch.tensor([[0.6, 0.3, 0.1]])
    powered = p**2 / (p**2).sum()
    assert torch.allclose(sharpen(p.log(), 0.5), powered)
    two = torch.tensor([[0.6, 0.4]])
    assert sharpen(two.log(), 0.1)[0, 0].item() == pytest.approx(0.6**10 / (0.6**10 + 0.4**10))


def test_the_mutual_term_compares_each_decoder_with_the_other_sharpened():
    method = MutualConsistency((LEAVES,))
    networks, items = method.build(context()), batch()
    found = method.losses(networks, items, Progress("train", 5, 10))
    out = networks.network(items.image)
    p, q = (o[0].softmax(dim=1) for o in (out.first, out.second))
    sharp = [x**10 / (x**10).sum(dim=1, keepdim=True) for x in (p, q)]
    mutual = (p - sharp[1]).square().mean() + (q - sharp[0]).square().mean()
    assert found.terms["mutual"].item() == pytest.approx(mutual.item(), abs=1e-6)
    assert found.weights["mutual"] == pytest.approx(0.1 * math.exp(-5 / 4))


def test_one_decoder_is_deployed():
    method = MutualConsistency((LEAVES,))
    networks = method.build(context())
    plain = sum(p.numel() for p in context().create_network(3).parameters())
    assert sum(p.numel() for p in method.deployed(networks).parameters()) == plain


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(HinterlandError, match="temperature=0"):
        make_method("mc-net", SPEC, options={"temperature": 0.0})
