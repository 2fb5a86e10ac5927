"""What every network must do, whichever it is."""

from __future__ import annotations

import pytest
import torch

from hinterland.data.sampling.growth import growing_sizes
from hinterland.networks import SplitNetwork, create, network_names, recipe
from hinterland.networks.registry import patch_multiple

OWN_WIDTHS = (
    "segresnet", "swinunetr", "vnet", "unet-ssl4mis", "attention-unet", "nucleisegnet", "cmunet",
    "transunet", "swinunet", "fcn-resnet50", "fcn-seresnet50", "deeplabv3",
)  # fmt: skip
BASE = dict.fromkeys(OWN_WIDTHS, (8, 8)) | dict.fromkeys(OWN_WIDTHS[-3:], (4, 4))
CASES = [(name, dims) for name in network_names() for dims in (2, 3)]


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0]}-{c[1]}d")
def made(request, plan_of):
    """A network of three outputs, its plan, and a batch of two images of its patch size."""
    name, dims = request.param
    patch = (
        (64, *(32,) * (dims - 1)) if patch_multiple(name, plan_of(dims))[0] > 8 else (16,) * dims
    )
    plan = plan_of(dims, patch, channels=2)
    network = create(name, plan, 3, recipe(name).deep_supervision, features=BASE.get(name))
    image = torch.randn(2, 2, *patch, generator=torch.Generator().manual_seed(0))
    return network, plan, image


def test_contract(made):
    network, plan, image = made
    assert (network.dims, network.in_channels, network.out_channels) == (plan.dims, 2, 3)

    # Training: logits of every level, and a gradient for every parameter. The residual branches
    # start silent (last norm zero), so the weights are moved off that point first.
    network.train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    outputs = network.logits(image)
    levels = len(plan.network.features) - 1 if recipe(network.name).deep_supervision else 1
    assert [o.shape for o in outputs] == [
        (2, 3, *(edge // 2**i for edge in plan.patch_size)) for i in range(levels)
    ]
    sum(o.square().mean() for o in outputs).backward()
    silent = [
        n
        for n, p in network.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    # SwinUNETR's keys have a bias to which a softmax over keys is blind; it shares one vector with
    # queries and values, so nothing is silent there either.
    assert silent == []

    # Growing patches: the smallest ones are trained on, too.
    small = growing_sizes(plan.patch_size, patch_multiple(network.name, plan))[0]
    part = image[(..., *(slice(edge) for edge in small))]
    assert network.logits(part)[0].shape == (2, 3, *small)

    # Evaluation: one output, the same in float32 through `forward` and `logits`, also after a
    # round trip of the state.
    network.eval()
    with torch.no_grad():
        expected = network(image)
        assert len(network.logits(image)) == 1
        twin = create(
            network.name, plan, 3, recipe(network.name).deep_supervision,
            features=BASE.get(network.name), seed=99,
        ).eval()  # fmt: skip
        assert not torch.equal(twin(image), expected)
        twin.load_state_dict(network.state_dict())
        assert torch.equal(twin(image), expected)
        with torch.autocast("cpu", torch.bfloat16):
            low = network(image).float()
    assert low.isfinite().all()
    error = (low - expected).norm() / expected.norm()
    assert error < 0.1, f"bf16 is {error:.3f} away from float32"


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_seed_decides_the_weights_and_leaves_the_generator_alone(name, dims, plan_of):
    plan = plan_of(dims, (64,) * dims)
    before = torch.get_rng_state()
    one, same, other = (create(name, plan, 2, features=(8, 8), seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in n.parameters()]) for n in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", sorted({*network_names()} - {"swinunet"}))
def test_norm_is_an_option(name, norm, plan_of):
    network = create(name, plan_of(2, (64, 64)), 2, features=(8, 8), norm=norm)
    kinds = {type(m).__name__ for m in network.modules()}
    assert {"instance": "InstanceNorm2d", "batch": "BatchNorm2d"}[norm] in kinds
    assert {"instance": "BatchNorm2d", "batch": "InstanceNorm2d"}[norm] not in kinds


@pytest.mark.parametrize("name", ["unet", "resenc-m"])
def test_anisotropic_strides_and_kernels(name, plan_of):
    plan = plan_of(
        3,
        (6, 24, 16),
        features=(8, 12, 16, 20),
        strides=((1, 1, 1), (1, 2, 2), (3, 2, 2), (1, 2, 1)),
        kernels=((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 1)),
    )
    network = create(name, plan, 2, True)
    assert isinstance(network, SplitNetwork)
    features = network.encode(torch.zeros(1, 1, *plan.patch_size))
    assert [f.shape[1:] for f in features] == [
        (8, 6, 24, 16), (12, 6, 12, 8), (16, 2, 6, 4), (20, 2, 3, 4)
    ]  # fmt: skip
    outputs = network.head(network.decode(features))
    assert [o.shape[2:] for o in outputs] == [f.shape[2:] for f in features[:-1]]
