"""FCN and DeepLabv3 on a dilated ResNet-50: sizes as published, maps an eighth of the image."""

from __future__ import annotations

import sys

import pytest
import torch

from hinterland.classification.networks import create_classifier
from hinterland.networks import create
from hinterland.networks.architectures.dilated import DeepLabV3, FCNResNet50, FCNSEResNet50
from hinterland.networks.pretrained import load_pretrained
from hinterland.types import HinterlandError


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("kind", "published", "auxiliary", "other"), [
    # torchvision's counts for 21 classes, without their auxiliary head of 1024 channels
    (FCNResNet50, 35_322_218, 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21, 0),
    # whose pooled branch has a norm (512) and no bias (256)
    (DeepLabV3, 42_004_074, 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21, 256 - 512),
])  # fmt: skip
def test_parameters_are_torchvisions(kind, published, auxiliary, other):
    assert parameters(kind(2, 3, 21)) == published - auxiliary + other


def test_squeeze_and_excitation_add_two_layers_a_block():
    plain, squeezed = (kind(2, 1, 2, widths=(16,)) for kind in (FCNResNet50, FCNSEResNet50))
    blocks = [(64, 3), (128, 4), (256, 6), (512, 3)]
    added = sum(n * (2 * c * (c // 16) + c + c // 16) for c, n in blocks)
    assert parameters(squeezed) - parameters(plain) == added


@pytest.mark.parametrize("dims", [2, 3])
def test_maps_are_an_eighth_and_the_last_stages_see_further(dims):
    backbone = FCNResNet50(dims, 1, 2, widths=(4,)).backbone.eval()
    image = torch.zeros(1, 1, *(64,) * dims)
    assert backbone(image).shape[2:] == (8,) * dims
    dilations = [
        m.dilation[0] for m in backbone.modules()
        if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d) and m.kernel_size[0] == 3
    ]  # fmt: skip
    assert dilations == [1] * 7 + [1] + [2] * 5 + [2] + [4] * 2


def weights_of(width: int = 64) -> dict[str, torch.Tensor]:
    """What torchvision would have for a ResNet-50, by its names."""
    made = FCNResNet50(2, 3, 2, widths=(width,), seed=5).backbone
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.is_floating_point():
                value.add_(0.01)
    return {**made.state_dict(), "fc.weight": torch.zeros(1000, 2048)}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_imagenet_weights_fit_and_a_grey_image_means_the_same(channels, tmp_path, plan_of):
    weights = weights_of()
    torch.save(weights, tmp_path / "resnet50.pth")
    network = create("deeplabv3", plan_of(2, (32, 32), channels=channels), 2)
    taken = load_pretrained(network, str(tmp_path / "resnet50.pth"))
    backbone = network.backbone
    assert taken > 23_000_000
    torch.testing.assert_close(backbone.layer3[2].conv2.weight, weights["layer3.2.conv2.weight"])
    torch.testing.assert_close(backbone.bn1.running_mean, weights["bn1.running_mean"])
    grey = torch.rand(1, 1, 32, 32)
    expected = torch.conv2d(grey.expand(-1, 3, -1, -1), weights["conv1.weight"], None, 2, 3)
    found = backbone.conv1(grey.expand(-1, channels, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_classifier_takes_them_too(tmp_path):
    torch.save(weights_of(), tmp_path / "resnet50.pth")
    network = create_classifier("resnet50", 1, 3, (64, 64))
    before = network.fc.weight.clone()
    load_pretrained(network, str(tmp_path / "resnet50.pth"))
    torch.testing.assert_close(network.layer4[1].conv3.weight,
                               weights_of()["layer4.1.conv3.weight"])  # fmt: skip
    assert torch.equal(network.fc.weight, before)


def test_what_does_not_fit_is_one_message(tmp_path, plan_of, monkeypatch):
    file = tmp_path / "resnet50.pth"
    torch.save(weights_of(8), file)
    plan = plan_of(2, (32, 32))
    for network, source, message in (
        (create("unet", plan, 2), str(file), "has no part that ImageNet weights fit"),
        (create("deeplabv3", plan, 2), str(file), "for 2D and full width"),
        (create("deeplabv3", plan, 2), str(tmp_path / "none.pth"), "No such file"),
        (
            create("fcn-seresnet50", plan, 2, features=(8, 8)),
            str(file),
            "has no layer1.0.weighting",
        ),
    ):
        with pytest.raises(HinterlandError, match=message):
            load_pretrained(network, source)
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    for name, message in (("text.pth", "expected a file of"), ("other.pth", "holds no weights")):
        with pytest.raises(HinterlandError, match=message):
            load_pretrained(create("deeplabv3", plan, 2), str(tmp_path / name))
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(HinterlandError, match=r"needs torchvision.*--set pretrained=FILE"):
        load_pretrained(create("deeplabv3", plan, 2), "imagenet")


def test_convnext_has_the_published_size():
    assert parameters(create_classifier("convnext", 3, 1000, (64, 64))) == 28_589_128


@pytest.mark.parametrize(("name", "levels"), [("unet-encoder", 5), ("resenc-encoder", 5)])
def test_encoders_are_those_of_the_canvas(name, levels):
    network = create_classifier(name, 1, 2, (64, 64))
    assert len(network.encoder.stages) == levels
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 2)
    with pytest.raises(HinterlandError, match="too small for an encoder"):
        create_classifier(name, 1, 2, (7, 7))
