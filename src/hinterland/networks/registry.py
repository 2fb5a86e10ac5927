"""Networks by name, from a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from math import prod

from hinterland.networks.base import Network
from hinterland.networks.recipes import recipe
from hinterland.networks.roles import mark_ends
from hinterland.types import HinterlandError, NetworkPlan, Plan

NAMES = (
    "unet", "resenc-m", "resenc-l", "vnet", "unet-ssl4mis", "segresnet", "swinunetr",
    "attention-unet", "nucleisegnet", "cmunet",
)  # fmt: skip
FIVE_LEVELS = {  # name -> module, class
    "vnet": ("classic", "VNet"),
    "unet-ssl4mis": ("classic", "UNetSSL4MIS"),
    "attention-unet": ("gated", "AttentionUNet"),
    "nucleisegnet": ("gated", "NucleiSegNet"),
    "cmunet": ("gated", "CMUNet"),
}
_RESIDUAL_DEPTHS = (1, 3, 4, 6)


def residual_depths(levels: int) -> tuple[int, ...]:
    """Residual blocks of each encoder level of nnU-Net's ResEnc presets: 1, 3, 4, 6, 6, 6, ..."""
    return tuple(_RESIDUAL_DEPTHS[min(i, 3)] for i in range(levels))


def patch_multiple(name: str, plan: Plan) -> tuple[int, ...]:
    """What each edge of a patch must be a multiple of."""
    if name == "segresnet":
        return (8,) * plan.dims
    if name == "swinunetr":
        return (32,) * plan.dims
    if name in FIVE_LEVELS:
        return (16,) * plan.dims
    return tuple(prod(steps) for steps in zip(*plan.network.strides, strict=True))


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
    """A freshly initialised network for a plan.

    `norm` is "instance" or "batch" (default: the network's own). `features` = (base, maximum)
    overrides the plan's widths: level i has min(base 2^i, maximum) channels; SegResNet starts with
    `base` filters, SwinUNETR with the multiple of 12 nearest to 1.5 base (32 gives its usual 48).
    Five levels whatever the plan says: `vnet` and `unet-ssl4mis` (16, 256), `attention-unet` and
    `cmunet` (64, 1024), `nucleisegnet` (32, 512).
    `resenc-m` and `resenc-l` are one network: they differ in the memory that is planned for.

    Raises:
        HinterlandError: unknown name or norm, a patch that does not fit the network, a network plan
            that contradicts itself, deep supervision of a network that has none.
    """
    wants_supervision = recipe(name).deep_supervision
    _check_topology(plan.network, plan.dims)
    _check_patch(name, plan)
    if deep_supervision and not wants_supervision:
        raise HinterlandError(f"{name} has no deep supervision: set deep_supervision to false")
    widths: tuple[int, ...] | None = None
    if features is not None:
        if len(features) != 2 or not 0 < features[0] <= features[1]:
            raise HinterlandError(f"features {features!r}: expected two numbers, base <= maximum")
        base, top = features
        levels = range(5 if name in FIVE_LEVELS else len(plan.network.features))
        widths = tuple(min(base * 2**i, top) for i in levels)
    if name in FIVE_LEVELS:
        network = _five_levels(name, plan, out_channels, widths, norm, seed)
    else:
        if widths:
            plan = replace(plan, network=replace(plan.network, features=widths))
        network = _build(name, plan, out_channels, deep_supervision, norm, seed)
    network.name = name
    mark_ends(network, len(plan.channels))
    return network


def _five_levels(
    name: str, plan: Plan, out_channels: int, widths: Sequence[int] | None, norm: str | None,
    seed: int,
) -> Network:  # fmt: skip
    home, kind = FIVE_LEVELS[name]
    make = getattr(import_module(f"hinterland.networks.{home}"), kind)
    return make(plan.dims, len(plan.channels), out_channels, widths=widths, norm=norm, seed=seed)


def _build(
    name: str, plan: Plan, out_channels: int, deep_supervision: bool, norm: str | None, seed: int
) -> Network:
    net, channels = plan.network, len(plan.channels)
    if name in ("segresnet", "swinunetr"):
        from hinterland.networks.from_monai import SegResNet, SwinUNETR

        base = net.features[0]
        if name == "segresnet":
            return SegResNet(plan.dims, channels, out_channels, filters=base, norm=norm, seed=seed)
        filters = 12 * max(1, round(base / 8))
        return SwinUNETR(plan.dims, channels, out_channels, filters=filters, norm=norm, seed=seed)

    from hinterland.networks.blocks import Topology
    from hinterland.networks.unet import UNet

    residual, levels = name != "unet", len(net.features)
    topology = Topology(
        dims=plan.dims,
        features=net.features,
        strides=net.strides,
        kernels=net.kernels,
        depths=residual_depths(levels) if residual else (net.convolutions,) * levels,
        decoder_depth=1 if residual else net.convolutions,
        norm=norm or "instance",
    )
    return UNet(
        topology,
        channels,
        out_channels,
        residual=residual,
        deep_supervision=deep_supervision,
        seed=seed,
    )
