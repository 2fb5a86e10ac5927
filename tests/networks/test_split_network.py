"""Encoder, decoder and head apart: what methods with several decoders and feature taps rely on."""

from __future__ import annotations

import pytest
import torch

from hinterland.networks import create, require_maps, require_split
from hinterland.networks.architectures.gated import Mixer
from hinterland.networks.architectures.gates import AttentionGate, ChannelGate, MultiScaleGate
from hinterland.networks.architectures.stages import Shape
from hinterland.types import HinterlandError


@pytest.fixture(params=["unet", "resenc-m"])
def network(request, plan_of):
    return create(request.param, plan_of(2), 3, True)


def test_taps_name_every_map_with_its_width(network):
    features = network.encode(torch.zeros(2, 1, 16, 16))
    decoded = network.decode(features)
    taps = network.feature_maps(features, decoded)
    assert list(taps) == ["encoder.0", "encoder.1", "bottleneck", "decoder.0", "decoder.1"]
    assert {n: t.shape[1] for n, t in taps.items()} == network.feature_widths()
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


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["segresnet", "swinunetr"])
def test_networks_that_nest_their_parts_show_their_maps(name, dims, plan_of):
    patch = (64, *(32,) * (dims - 1)) if name == "swinunetr" else (16,) * dims
    network = require_maps(create(name, plan_of(dims, patch), 3, features=(8, 8)), "discrepancy")
    image = torch.randn(2, 1, *patch, generator=torch.Generator().manual_seed(0))
    (logits,), maps = network.logits_and_maps(image)
    assert torch.equal(logits, network(image))
    assert {n: m.shape[1] for n, m in maps.items()} == network.feature_widths()
    levels = len(maps) // 2
    for level in range(levels):
        size = tuple(n // 2**level for n in patch)
        assert maps[f"encoder.{level}"].shape[2:] == maps[f"decoder.{level}"].shape[2:] == size
    assert maps["bottleneck"].shape[2:] == tuple(n // 2**levels for n in patch)
    sum(m.square().mean() for m in maps.values()).backward()
    # every layer but the last is seen by some map
    silent = [n for n, p in network.named_parameters() if p.grad is None]
    assert all(n.startswith(("net.out.", "net.conv_final.")) for n in silent)


def test_networks_that_show_no_maps_are_refused_by_name(plan_of):
    network = create("deeplabv3", plan_of(2, (64, 64)), 2, features=(4, 4))
    with pytest.raises(HinterlandError, match=r"'discrepancy' needs .*'deeplabv3' .*segresnet"):
        require_maps(network, "discrepancy")


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
        assert list(network.feature_maps(features, decoded)) == list(network.feature_widths())
        assert [d.shape[1] for d in decoded] == [16, 32, 64, 128]


GATED = ("attention-unet", "nucleisegnet", "cmunet")


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", GATED)
def test_networks_of_paper_2_have_taps_and_further_decoders(name, dims, plan_of):
    network = require_split(
        create(name, plan_of(dims, (32,) * dims), 2, features=(4, 16)), "discrepancy"
    )
    features = network.encode(torch.randn(1, 1, *(32,) * dims))
    for upsampling in ("transposed", "interpolate"):
        decoded = network.make_decoder(upsampling, seed=1)(features)
        taps = network.feature_maps(features, decoded)
        assert {n: t.shape[1] for n, t in taps.items()} == network.feature_widths()
        assert [t.shape[2] for t in taps.values()] == [32, 16, 8, 4, 2, 32, 16, 8, 4]
    assert [o.shape[1] for o in network.make_head(5, seed=2)(decoded)] == [5]


def test_networks_of_paper_2_have_about_the_printed_size(plan_of):
    """CMUNet: 49.93 M in its paper. A bias that a norm cancels is left out here."""
    network = create("cmunet", plan_of(2, (32, 32), channels=3), 1)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(49.93e6, rel=1e-3)
    assert network.widths == (64, 128, 256, 512, 1024)


def shape_of(dims: int = 2) -> Shape:
    return Shape(dims, (4, 8), "batch")


def test_an_attention_gate_lets_through_a_share_between_nothing_and_all():
    gate = AttentionGate(shape_of(), 4, 8)
    skip, below = torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)
    for module in (gate.of_skip, gate.of_below):
        module.conv.weight.data.zero_()
    gate.of_below.conv.bias.data.fill_(1.0)
    gate.of_skip.conv.bias.data.zero_()
    gate.score.conv.weight.data.fill_(0.25)
    gate.score.conv.bias.data.fill_(-0.5)  # relu(0 + 1) on two channels: score 0
    torch.testing.assert_close(gate(skip, below), 0.5 * skip)
    gate.score.conv.bias.data.fill_(-100.0)
    torch.testing.assert_close(gate(skip, below), torch.zeros_like(skip))


def test_a_multi_scale_gate_adds_to_the_skip_and_ignores_what_lies_below():
    gate = MultiScaleGate(shape_of(), 4).eval()
    skip = torch.randn(2, 4, 8, 8)
    gate.vote.conv.weight.data.zero_()  # sigmoid(norm 0) = 1/2
    one, two = (gate(skip, torch.randn(2, 8, 4, 4)) for _ in range(2))
    assert torch.equal(one, two)
    torch.testing.assert_close(one, 1.5 * skip)
    views = [view.conv for view in gate.views]
    assert [(v.kernel_size, v.dilation) for v in views] == [
        ((1, 1), (1, 1)), ((3, 3), (1, 1)), ((3, 3), (2, 2)),
    ]  # fmt: skip


def test_a_channel_gate_weighs_each_channel():
    gate = ChannelGate(shape_of(), 4, 8).eval()
    skip = torch.randn(1, 4, 8, 8)
    gate.score.conv.weight.data.zero_()
    gate.score.conv.bias.data.copy_(torch.tensor([-3.0, 0.0, 1.0, 2.0]))
    kept = torch.sigmoid(torch.tensor([0.0, 0.0, 1.0, 2.0]))  # relu, then a norm that is identity
    expected = skip * kept[:, None, None]
    torch.testing.assert_close(gate(skip, torch.randn(1, 8, 4, 4)), expected, rtol=1e-4, atol=1e-4)


def test_a_mixer_mixes_space_and_channels_apart():
    mixer = Mixer(shape_of(), 4, 7).eval()
    assert (mixer.space.conv.groups, mixer.space.conv.kernel_size) == (4, (7, 7))
    x = torch.zeros(1, 4, 9, 9)
    x[0, 1, 4, 4] = 1
    spread = mixer.space(x) - mixer.space(torch.zeros_like(x))
    assert spread[0, 1].count_nonzero() > 20  # a 7x7 neighbourhood
    assert not spread[0, [0, 2, 3]].any()  # in its own channel only
