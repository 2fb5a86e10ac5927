"""TransUNet and Swin-Unet: the published sizes, maps by resolution, and what their parts do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hinterland.networks import create, require_maps
from hinterland.networks.architectures.swinunet import SwinUNet, spread
from hinterland.networks.architectures.transunet import (
    Standardised2d,
    Tokens,
    TransformerLayer,
    TransUNet,
)
from hinterland.types import HinterlandError


def millions(network: nn.Module) -> float:
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 2)


def test_parameters_are_the_published_ones():
    # 224 x 224, three channels, nine classes, as in both papers' tables of Synapse
    assert millions(TransUNet(2, 3, 9, patch=(224, 224))) == 105.28
    assert millions(SwinUNet(2, 3, 9)) == 27.17


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("name", "missing"), [("transunet", {0}), ("swinunet", {0, 1})])
def test_maps_are_named_by_their_resolution(name, missing, dims, plan_of):
    patch = (64, *(32,) * (dims - 1))
    network = require_maps(create(name, plan_of(dims, patch), 3, features=(8, 8)), "discrepancy")
    image = torch.randn(2, 1, *patch, generator=torch.Generator().manual_seed(0))
    network.eval()
    with torch.no_grad():
        (logits,), maps = network.logits_and_maps(image)
        assert torch.equal(logits, network(image))
    assert {n: m.shape[1] for n, m in maps.items()} == network.feature_widths()
    levels = {"transunet": 4, "swinunet": 5}[name]
    encoder = [f"encoder.{i}" for i in range(levels) if i not in missing]
    assert [n for n in maps if n.startswith("encoder")] == encoder
    for key, value in maps.items():
        level = levels if key == "bottleneck" else int(key.split(".")[1])
        assert value.shape[2:] == tuple(n // 2**level for n in patch), key
    assert maps["decoder.0"].shape[2:] == patch


def test_standardised_weights_have_mean_zero_and_variance_one():
    torch.manual_seed(0)
    conv = Standardised2d(3, 5, 3, bias=False)
    patch = torch.randn(1, 3, 3, 3)
    weight = conv.weight.detach().flatten(1)
    expected = ((weight - weight.mean(1, keepdim=True)) / weight.std(1, correction=0, keepdim=True)
                ) @ patch.flatten()  # fmt: skip
    torch.testing.assert_close(conv(patch).flatten(), expected, rtol=1e-3, atol=1e-4)


def test_attention_is_torchs():
    torch.manual_seed(0)
    ours = TransformerLayer(8, 2, 16, 0.0).eval()
    theirs = nn.TransformerEncoderLayer(
        8, 2, 16, 0.0, activation="gelu", batch_first=True, norm_first=True, layer_norm_eps=1e-6
    ).eval()
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(ours.qkv.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.qkv.bias)
        theirs.self_attn.out_proj.load_state_dict(ours.project.state_dict())
        theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
        theirs.linear2.load_state_dict(ours.mlp[3].state_dict())
        x = torch.randn(2, 5, 8)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_places_fit_another_size_and_make_a_difference():
    torch.manual_seed(0)
    tokens = Tokens(2, 4, 24, (4, 2)).eval()
    with torch.no_grad():
        tokens.places.normal_()
        assert tokens(torch.randn(1, 4, 6, 4)).shape == (1, 24, 6, 4)
        # without places a transformer sees a set: the order of its voxels would not matter
        x = torch.randn(1, 4, 4, 2)
        turned = tokens(x.flip(2)).flip(2)
        assert not torch.allclose(turned, tokens(x), atol=1e-3)
        tokens.places.zero_()
        torch.testing.assert_close(tokens(x.flip(2)).flip(2), tokens(x), rtol=1e-4, atol=1e-5)


def test_channels_become_the_voxels_of_their_block():
    blocks = torch.arange(2 * 3 * 4 * 5.0).view(1, 2, 3, 20)
    laid = spread(blocks, 2)
    assert laid.shape == (1, 4, 6, 5)
    for y, x in ((0, 0), (1, 2)):
        block = laid[0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert torch.equal(block.flatten(), blocks[0, y, x])
    assert spread(torch.zeros(1, 2, 2, 2, 64), 4).shape == (1, 8, 8, 8, 1)


def test_swinunet_has_no_norm_to_choose(plan_of):
    with pytest.raises(HinterlandError, match=r"norm=batch.*layer norms"):
        create("swinunet", plan_of(2, (64, 64)), 2, norm="batch")
