"""Networks by name, from a plan."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hinterland.networks.architectures.classic import UNetSSL4MIS, VNet
from hinterland.networks.architectures.dilated import DeepLabV3, FCNResNet50, FCNSEResNet50
from hinterland.networks.architectures.gated import AttentionUNet, CMUNet, NucleiSegNet
from hinterland.networks.base import Network, SplitNetwork
from hinterland.networks.entry import NetworkEntry, always
from hinterland.networks.factories import (
    Fixed,
    PlannedUNet,
    segresnet,
    swinunet,
    swinunetr,
    transunet,
)
from hinterland.networks.recipes import (
    ATTENTION_UNET,
    CLASSIC,
    CMUNET,
    DILATED,
    NNUNET,
    NUCLEISEGNET,
    SEGRESNET,
    SWINUNETR,
    TRANSFORMER,
    OptimiserRecipe,
)
from hinterland.networks.roles import mark_ends
from hinterland.types import HinterlandError, NetworkPlan, Plan
from hinterland.types.registry import Registry

_RESIDUAL = NetworkEntry(PlannedUNet(residual=True), NNUNET)
NETWORKS: Registry[NetworkEntry] = Registry(
    "network",
    "hinterland.networks",
    {
        "unet": NetworkEntry(PlannedUNet(residual=False), NNUNET),
        # One network: they differ in the memory that is planned for.
        "resenc-m": _RESIDUAL,
        "resenc-l": _RESIDUAL,
        "vnet": NetworkEntry(Fixed(VNet), CLASSIC, always(16)),
        "unet-ssl4mis": NetworkEntry(Fixed(UNetSSL4MIS), CLASSIC, always(16)),
        "segresnet": NetworkEntry(segresnet, SEGRESNET, always(8), splits=False, maps=True),
        "swinunetr": NetworkEntry(swinunetr, SWINUNETR, always(32), splits=False, maps=True),
        "attention-unet": NetworkEntry(Fixed(AttentionUNet), ATTENTION_UNET, always(16)),
        "nucleisegnet": NetworkEntry(Fixed(NucleiSegNet), NUCLEISEGNET, always(16)),
        "cmunet": NetworkEntry(Fixed(CMUNet), CMUNET, always(16)),
        "transunet": NetworkEntry(transunet, TRANSFORMER, always(16), splits=False, maps=True),
        "swinunet": NetworkEntry(swinunet, TRANSFORMER, always(32), splits=False, maps=True),
        "fcn-resnet50": NetworkEntry(Fixed(FCNResNet50), DILATED, always(8), splits=False),
        "fcn-seresnet50": NetworkEntry(Fixed(FCNSEResNet50), DILATED, always(8), splits=False),
        "deeplabv3": NetworkEntry(Fixed(DeepLabV3), DILATED, always(8), splits=False),
    },
)
register = NETWORKS.register


def network_names() -> tuple[str, ...]:
    """Return the names that `create` knows."""
    return NETWORKS.names()


def recipe(name: str) -> OptimiserRecipe:
    """Return how a network is trained unless the user says otherwise.

    Raises:
        HinterlandError: no network has this name.
    """
    return NETWORKS.get(name).recipe


def patch_multiple(name: str, plan: Plan) -> tuple[int, ...]:
    """Return what each edge of a patch must be a multiple of.

    Raises:
        HinterlandError: no network has this name.
    """
    return NETWORKS.get(name).patch_multiple(plan)


def create(
    name: str,
    plan: Plan,
    out_channels: int,
    deep_supervision: bool = False,
    *,
    norm: str | None = None,
    features: Sequence[int] | None = None,
    seed: int = 0,
) -> Network:
    """Return a freshly initialised network for a plan.

    Args:
        name: one of `network_names`.
        plan: axes, channels, patch size and topology.
        out_channels: channels of the logits.
        deep_supervision: whether there are logits at lower resolutions, too.
        norm: "instance" or "batch"; default, the network's own.
        features: (base, maximum) instead of the plan's widths: level i has min(base 2^i, maximum)
            channels; SegResNet starts with `base` filters, SwinUNETR and Swin-Unet with the
            multiple of 12 nearest to 1.5 base (32 and 64 give their usual 48 and 96), TransUNet
            with `base` (64), its transformer 12 base wide. Five levels whatever the plan says:
            `vnet` and `unet-ssl4mis` (16, 256), `attention-unet` and `cmunet` (64, 1024),
            `nucleisegnet` (32, 512). The ResNets of `fcn-resnet50`, `fcn-seresnet50` and
            `deeplabv3` begin with `base` channels (64) and double them three times.
        seed: of the initial weights.

    Returns:
        The network, named `name`.

    Raises:
        HinterlandError: unknown name or norm, a patch that does not fit the network, a network plan
            that contradicts itself, deep supervision of a network that has none.
    """
    entry = NETWORKS.get(name)
    _check_topology(plan.network, plan.dims)
    _check_patch(name, plan)
    if deep_supervision and not entry.recipe.deep_supervision:
        raise HinterlandError(f"{name} has no deep supervision: set deep_supervision to false")
    if features is not None and (len(features) != 2 or not 0 < features[0] <= features[1]):
        raise HinterlandError(f"features {features!r}: expected two numbers, base <= maximum")
    network = entry.factory(
        plan, out_channels, features=(features[0], features[1]) if features else None, norm=norm,
        deep_supervision=deep_supervision, seed=seed,
    )  # fmt: skip
    network.name = name
    mark_ends(network, len(plan.channels))
    return network


def require_split(network: Network, method: str) -> SplitNetwork:
    """Return the network itself, if its encoder, decoder and head can be had apart.

    Raises:
        HinterlandError: it is one that nests them, such as SegResNet.
    """
    if isinstance(network, SplitNetwork):
        return network
    fitting = [name for name in NETWORKS.names() if NETWORKS.get(name).splits]
    raise HinterlandError(
        f"method {method!r} needs a network with separate encoder, decoder and head; "
        f"{network.name or type(network).__name__!r} has none. "
        f"Choose --set network={', '.join(fitting[:-1])} or {fitting[-1]}, or another method."
    )


def require_maps(network: Network, asker: str) -> Network:
    """Return the network itself, if it shows named feature maps.

    Raises:
        HinterlandError: it shows none, such as DeepLabv3.
    """
    if network.feature_widths():
        return network
    entries = {name: NETWORKS.get(name) for name in NETWORKS.names()}
    fitting = [name for name, entry in entries.items() if entry.splits or entry.maps]
    raise HinterlandError(
        f"{asker!r} needs a network that shows its feature maps; "
        f"{network.name or type(network).__name__!r} shows none. "
        f"Choose --set network={', '.join(fitting[:-1])} or {fitting[-1]}."
    )


def _check_patch(name: str, plan: Plan) -> None:
    multiple, patch = patch_multiple(name, plan), plan.patch_size
    if len(patch) != plan.dims or any(p % m for p, m in zip(patch, multiple, strict=True)):
        raise HinterlandError(
            f"patch size {tuple(patch)} does not fit {name}: each edge must be a multiple of "
            f"{multiple}. Change plan.patch_size, or take another network."
        )
    if prod(patch) == prod(multiple):
        raise HinterlandError(
            f"patch size {tuple(patch)} leaves {name} a bottleneck of one voxel, which cannot be "
            f"normalised. Double at least one edge (multiples of {multiple})."
        )


def _check_topology(network: NetworkPlan, dims: int) -> None:
    levels = len(network.features)
    if not levels == len(network.strides) == len(network.kernels) or levels < 2:
        raise HinterlandError(
            f"network plan with {levels} widths, {len(network.strides)} strides and "
            f"{len(network.kernels)} kernels: expected the same number of each, at least two"
        )
    if any(len(axis) != dims for axis in (*network.strides, *network.kernels)):
        raise HinterlandError(f"network plan: each stride and kernel must have {dims} entries")
    if prod(network.strides[0]) != 1 or any(k % 2 == 0 for ks in network.kernels for k in ks):
        raise HinterlandError(
            "network plan: the first stride must be all ones and kernels odd, "
            f"got {network.strides[0]} and {network.kernels}"
        )
