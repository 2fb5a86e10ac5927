"""Networks by name: sizes against the references, and what is refused."""

from __future__ import annotations

from math import prod

import pytest
import torch
from monai.networks.nets import DynUNet

from hinterland.networks import create, network_names, recipe
from hinterland.types import HinterlandError

# nnU-Net's own 3D plan for large scans, as paper 1 trained it: 6 levels, 32 to 320 channels.
WIDTHS = (32, 64, 128, 256, 320, 320)


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_unet_has_the_parameters_of_dynunet(dims, plan_of):
    plan = plan_of(dims, (64,) * dims, WIDTHS)
    ours = create("unet", plan, 3)
    net = plan.network
    theirs = DynUNet(
        dims, 1, 3, net.kernels, net.strides, net.strides[1:], filters=WIDTHS, trans_bias=True
    )
    # DynUNet registers its layers a second time in its skip layers; `parameters` counts once.
    assert count(ours) == count(theirs)
    shapes = [sorted(tuple(p.shape) for p in n.parameters()) for n in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_unet_computes_what_dynunet_computes(plan_of):
    plan = plan_of(3, (16, 16, 16), channels=2)
    ours = create("unet", plan, 3).eval()
    net = plan.network
    theirs = DynUNet(
        3, 2, 3, net.kernels, net.strides, net.strides[1:], filters=net.features, trans_bias=True
    ).eval()
    theirs.input_block.load_state_dict(_block(ours.encoder.stages[0]))
    theirs.downsamples[0].load_state_dict(_block(ours.encoder.stages[1]))
    theirs.bottleneck.load_state_dict(_block(ours.encoder.stages[2]))
    for theirs_up, ours_up, stage in zip(
        theirs.upsamples,
        reversed(ours.decoder.upsample),
        reversed(ours.decoder.stages),
        strict=True,
    ):
        theirs_up.transp_conv.load_state_dict(ours_up.state_dict())
        theirs_up.conv_block.load_state_dict(_block(stage))
    theirs.output_block.conv.conv.load_state_dict(ours.head.layers[0].state_dict())
    x = torch.randn(1, 2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def _block(stage: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of a pair of our convolutions under the names of DynUNet's basic block."""
    names = {"conv.": "conv{}.conv.", "adn.N.": "norm{}."}
    state = {}
    for key, value in stage.state_dict().items():
        i, rest = key.split(".", 1)
        ours = next(n for n in names if rest.startswith(n))
        state[names[ours].format(int(i) + 1) + rest.removeprefix(ours)] = value
    return state


def test_segresnet_has_the_size_paper_1_prints(plan_of):
    # Table 1 prints 18.79M; a binary head on one channel.
    network = create("segresnet", plan_of(3, (16, 16, 16), (32, 64, 128)), 2)
    assert count(network) == pytest.approx(18.79e6, abs=1e4)


@pytest.mark.parametrize(
    ("name", "printed", "channels"), [("unet", 30.70e6, 1), ("resenc-m", 101.86e6, 1)]
)
def test_unets_have_about_the_size_paper_1_prints(name, printed, channels, plan_of):
    # Two data sets' plans of the paper: strides and anisotropic kernels move the last digits.
    network = create(name, plan_of(3, (64, 64, 64), WIDTHS, channels=channels), 2)
    assert count(network) == pytest.approx(printed, rel=0.02)


@pytest.mark.parametrize("name", ["unet", "resenc-m"])
def test_features_shrink_a_network(name, plan_of):
    plan = plan_of(2, (64, 64), WIDTHS)
    small = create(name, plan, 2, features=(16, 128))
    assert small.widths == (16, 32, 64, 128, 128, 128)
    assert count(small) < count(create(name, plan, 2)) / 4


def test_swinunetr_width_follows_the_plan(plan_of):
    network = create("swinunetr", plan_of(2, (64, 64), (32, 64, 128)), 2)
    assert network.net.swinViT.embed_dim == 48


def test_initialisation_is_he_for_a_leaky_relu(plan_of):
    network = create("unet", plan_of(3, (64, 64, 64), WIDTHS), 2)
    for name, p in network.named_parameters():
        if name.endswith("conv.weight") and p.numel() > 1e5:
            fan_in = prod(p.shape[1:])  # torch counts the second axis, also when transposed
            assert p.std().item() == pytest.approx((2 / 1.0001 / fan_in) ** 0.5, rel=0.02), name
        if name.endswith("conv.bias"):
            assert not p.any()


@pytest.mark.parametrize(
    ("name", "dims", "patch", "multiple"),
    [
        ("unet", 2, (16, 18), "(4, 4)"),
        ("resenc-m", 3, (16, 16, 10), "(4, 4, 4)"),
        ("segresnet", 3, (12, 16, 16), "(8, 8, 8)"),
        ("swinunetr", 2, (48, 64), "(32, 32)"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_the_multiple(
    name, dims, patch, multiple, plan_of
):
    with pytest.raises(HinterlandError) as refused:
        create(name, plan_of(dims, patch), 2)
    assert multiple in str(refused.value)
    assert str(patch) in str(refused.value)


def test_other_refusals(plan_of):
    plan = plan_of(2)
    with pytest.raises(HinterlandError, match="bottleneck of one voxel"):
        create("unet", plan_of(2, (4, 4)), 2)
    with pytest.raises(HinterlandError, match="expected one of unet, "):
        create("vnet5000", plan, 2)
    with pytest.raises(HinterlandError, match="instance, batch"):
        create("unet", plan, 2, norm="layer")
    with pytest.raises(HinterlandError, match="no deep supervision"):
        create("segresnet", plan, 2, True)
    with pytest.raises(HinterlandError, match="base <= maximum"):
        create("unet", plan, 2, features=(32, 16))
    with pytest.raises(HinterlandError, match="2 strides"):
        create("unet", plan_of(2, strides=((1, 1), (2, 2))), 2)
    with pytest.raises(HinterlandError, match="first stride must be all ones"):
        create("unet", plan_of(2, strides=((2, 2), (2, 2), (1, 1))), 2)


def test_recipes_are_those_of_paper_1():
    assert [recipe(n).optimiser for n in network_names()] == ["sgd"] * 5 + [
        "adam",
        "adamw",
        *["adam"] * 3,
        *["sgd"] * 2,
        *["adam"] * 3,
    ]
    unet, seg, swin = recipe("unet"), recipe("segresnet"), recipe("swinunetr")
    assert (unet.lr, unet.weight_decay, unet.momentum, unet.nesterov) == (0.01, 3e-5, 0.99, True)
    assert (unet.schedule, unet.power, unet.deep_supervision) == ("poly", 0.9, True)
    assert (seg.lr, seg.weight_decay, seg.eps, seg.schedule) == (1e-4, 1e-5, 1e-5, "poly")
    assert (swin.lr, swin.weight_decay, swin.eps) == (8e-4, 0.01, 1e-5)
    assert (swin.schedule, swin.min_lr) == ("cosine", 1e-6)
    assert not seg.deep_supervision
    assert not swin.deep_supervision
    with pytest.raises(HinterlandError, match="expected one of"):
        recipe("vnet5000")
