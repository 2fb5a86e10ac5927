"""ImageNet weights of torchvision's ResNets, for networks whose parts have its names."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from hinterland.types import HinterlandError

IMAGENET = "imagenet"
_GET = (
    "Get the file elsewhere (https://download.pytorch.org/models/resnet50-11ad3fa6.pth), and give "
    "its path: --set pretrained=FILE."
)


def load_pretrained(networks: nn.Module, source: str) -> int:
    """Begin with the weights of a ResNet that was trained on ImageNet.

    Every ResNet-50 or -101 inside `networks` gets them, but for the layer that names classes. The
    first convolution was made for three colours: with another number of channels, each gets the
    mean over colours times 3 / channels, so that a grey image means what it meant as a colour
    image.

    Args:
        networks: in 2D; changed in place.
        source: a file of torchvision's weights, or "imagenet": torchvision, where it is installed,
            loads or has loaded them.

    Returns:
        How many values were taken.

    Raises:
        HinterlandError: the networks have no such part, or the weights do not fit it, cannot be
            read or cannot be had.
    """
    backbones = list(_backbones(networks))
    if not backbones:
        raise HinterlandError(
            f"pretrained={source}: this network has no part that ImageNet weights fit. Take "
            "fcn-resnet50 or deeplabv3 (classifiers: resnet50, resnet101), or leave it away."
        )
    weights = _weights(source)
    return sum(_fill(backbone, weights, source) for backbone in backbones)


def _backbones(networks: nn.Module) -> Iterator[nn.Module]:
    names = ("conv1", "bn1", "layer1", "layer4")
    for module in networks.modules():
        if all(hasattr(module, name) for name in names):
            yield module


def _weights(source: str) -> Mapping[str, Tensor]:
    if source == IMAGENET:
        try:
            from torchvision.models import ResNet50_Weights
        except (ImportError, RuntimeError) as error:  # the latter: built for another torch
            raise HinterlandError(
                f"pretrained=imagenet needs torchvision, which does not work here ({error}). {_GET}"
            ) from error
        try:
            found: Mapping[str, Tensor] = ResNet50_Weights.IMAGENET1K_V1.get_state_dict()
        except OSError as error:
            raise HinterlandError(
                f"pretrained=imagenet: the weights cannot be loaded ({error}). {_GET}"
            ) from error
        return found
    try:
        content = torch.load(Path(source).expanduser(), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.PickleError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HinterlandError(
            f"pretrained={source}: expected a file of torchvision's weights ({reason}). Give the "
            "path of one, such as resnet50-11ad3fa6.pth."
        ) from error
    if not isinstance(content, Mapping) or "layer4.0.conv1.weight" not in content:
        raise HinterlandError(
            f"pretrained={source} holds no weights of a ResNet of torchvision; expected entries "
            "such as layer4.0.conv1.weight. Give resnet50-11ad3fa6.pth or one like it."
        )
    return content


def _fill(backbone: nn.Module, weights: Mapping[str, Tensor], source: str) -> int:
    own = backbone.state_dict()
    taken = {}
    for name, value in own.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        if name not in weights and name.endswith(".bias") and f"{name[:-5]}.weight" in weights:
            taken[name] = torch.zeros_like(value)  # MONAI's shortcuts have a bias
            continue
        if name not in weights:
            raise HinterlandError(
                f"pretrained={source} has no {name}. The network has norms or parts that "
                "torchvision's has not, or more layers: leave its norm (batch) as it is, and take "
                "the file of the same ResNet."
            )
        given = weights[name]
        if name == "conv1.weight" and given.ndim == value.ndim and value.shape[1] != given.shape[1]:
            channels = value.shape[1]
            given = given.mean(1, keepdim=True).expand(-1, channels, -1, -1)
            given = given * (weights[name].shape[1] / channels)
        if given.shape != value.shape:
            raise HinterlandError(
                f"pretrained={source}: {name} is {tuple(given.shape)} and the network's is "
                f"{tuple(value.shape)}. ImageNet weights are for 2D and full width: leave "
                "network_options.features away, and plan in 2D (--dims 2)."
            )
        taken[name] = given
    backbone.load_state_dict(taken, strict=False)
    return sum(value.numel() for value in taken.values())
