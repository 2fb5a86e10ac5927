"""Encoder, decoder and head apart: what methods with several decoders and feature taps rely on."""

from __future__ import annotations

import pytest
import torch

from hinterland.networks import create, require_split
from hinterland.types import HinterlandError


@pytest.fixture(params=["unet", "resenc-m"])
def network(request, plan_of):
    return create(request.param, plan_of(2), 3, True)


def test_taps_name_every_map_with_its_width(network):
    features = network.encode(torch.zeros(2, 1, 16, 16))
    decoded = network.decode(features)
    taps = network.taps(features, decoded)
    assert list(taps) == ["encoder.0", "encoder.1", "bottleneck", "decoder.0", "decoder.1"]
    assert {n: t.shape[1] for n, t in taps.items()} == network.tap_widths()
    assert taps["decoder.0"].shape == taps["encoder.0"].shape == (2, 8, 16, 16)
    assert taps["bottleneck"] is features[-1]


@pytest.mark.parametrize("upsampling", ["transposed", "interpolate"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_further_decoder_and_head_fit_the_same_encoder(upsampling, dims, plan_of):
    network = create("unet", plan_of(dims), 3, True)
    decoder, head = network.make_decoder(upsampling, seed=5), network.make_head(4, seed=6)
    features = network.encode(torch.randn(1, 1, *(16,) * dims))
    outputs = head(decoder(features))
    assert [o.shape for o in outputs] == [(1, 4, *(16,) * dims), (1, 4, *(8,) * dims)]
    assert len(head.eval()(decoder(features))) == 1
    sum(o.square().mean() for o in outputs).backward()
    for module in (network.encoder, decoder, head):
        assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_decoders_of_two_seeds_differ_and_a_bad_kind_is_refused(network):
    one, same, other = (network.make_decoder(seed=s) for s in (1, 1, 2))
    key = "upsample.0.conv.weight"
    assert torch.equal(one.state_dict()[key], same.state_dict()[key])
    assert not torch.equal(one.state_dict()[key], other.state_dict()[key])
    with pytest.raises(HinterlandError, match="transposed, interpolate"):
        network.make_decoder("cubic", seed=0)


def test_residual_blocks_start_as_their_shortcut(plan_of):
    network = create("resenc-m", plan_of(2), 3)
    block = network.encoder.stages[1][1]  # no stride, no change of width: the shortcut is identity
    x = torch.randn(1, 12, 8, 8).abs()
    assert torch.equal(block(x.clone()), x)


@pytest.mark.parametrize("name", ["segresnet", "swinunetr"])
def test_networks_without_the_split_are_refused_by_name(name, plan_of):
    network = create(name, plan_of(2, (64, 64)), 2, features=(8, 8))
    with pytest.raises(HinterlandError, match=rf"'cvbm' needs .*'{name}' has none"):
        require_split(network, "cvbm")


def test_split_networks_pass(network):
    assert require_split(network, "cvbm") is network


@pytest.mark.parametrize(
    ("name", "dims", "millions"), [("vnet", 3, 9.45), ("unet-ssl4mis", 2, 1.81)]
)
def test_backbones_of_the_semi_supervised_papers_have_the_printed_size(
    name, dims, millions, plan_of
):
    """Paper 3, tables I and III: V-Net 9.45 M, U-Net 1.81 M."""
    network = create(name, plan_of(dims, (32,) * dims), 2)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    assert network.widths == (16, 32, 64, 128, 256)
    features = network.encode(torch.randn(1, 1, *(32,) * dims))
    for upsampling in ("transposed", "interpolate"):
        decoded = network.make_decoder(upsampling, seed=1)(features)
        assert list(network.taps(features, decoded)) == list(network.tap_widths())
        assert [d.shape[1] for d in decoded] == [16, 32, 64, 128]
