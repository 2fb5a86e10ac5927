"""How the project's own networks are built from a plan."""

from __future__ import annotations

from hinterland.networks.architectures.blocks import Topology
from hinterland.networks.architectures.dilated import DilatedSegmenter
from hinterland.networks.architectures.from_monai import SegResNet, SwinUNETR
from hinterland.networks.architectures.stages import LEVELS, FiveLevels
from hinterland.networks.architectures.swinunet import SwinUNet
from hinterland.networks.architectures.transunet import BASE, TransUNet
from hinterland.networks.architectures.unet import UNet
from hinterland.networks.base import Network
from hinterland.types import HinterlandError, Plan

Widths = tuple[int, int] | None
_RESIDUAL_DEPTHS = (1, 3, 4, 6)


def residual_depths(levels: int) -> tuple[int, ...]:
    """Return the residual blocks of each encoder level of nnU-Net's ResEnc presets.

    >>> residual_depths(6)
    (1, 3, 4, 6, 6, 6)
    """
    return tuple(_RESIDUAL_DEPTHS[min(i, 3)] for i in range(levels))


def widths_of(features: tuple[int, int], levels: int) -> tuple[int, ...]:
    """Return min(base 2^i, top) for each level i, features = (base, top)."""
    base, top = features
    return tuple(min(base * 2**i, top) for i in range(levels))


class PlannedUNet:
    """Builds U-Nets of the plan's topology."""

    def __init__(self, *, residual: bool) -> None:
        self.residual = residual

    def __call__(
        self, plan: Plan, out_channels: int, *, features: Widths, norm: str | None,
        deep_supervision: bool, seed: int,
    ) -> Network:  # fmt: skip
        """Return the network; see `NetworkFactory`."""
        net = plan.network
        levels = len(net.features)
        topology = Topology(
            dims=plan.dims,
            features=widths_of(features, levels) if features else net.features,
            strides=net.strides,
            kernels=net.kernels,
            depths=residual_depths(levels) if self.residual else (net.convolutions,) * levels,
            decoder_depth=1 if self.residual else net.convolutions,
            norm=norm or "instance",
        )
        return UNet(
            topology, len(plan.channels), out_channels, residual=self.residual,
            deep_supervision=deep_supervision, seed=seed,
        )  # fmt: skip


class Fixed:
    """Builds networks that are the same whatever the plan's topology; of it, axes and channels."""

    def __init__(self, kind: type[FiveLevels | DilatedSegmenter]) -> None:
        self.kind = kind

    def __call__(
        self, plan: Plan, out_channels: int, *, features: Widths, norm: str | None,
        deep_supervision: bool, seed: int,
    ) -> Network:  # fmt: skip
        """Return the network; see `NetworkFactory`."""
        del deep_supervision
        widths = widths_of(features, LEVELS) if features else None
        return self.kind(
            plan.dims, len(plan.channels), out_channels, widths=widths, norm=norm, seed=seed
        )


def segresnet(
    plan: Plan, out_channels: int, *, features: Widths, norm: str | None, deep_supervision: bool,
    seed: int,
) -> Network:  # fmt: skip
    """Return MONAI's SegResNet, beginning with `base` filters.

    Args:
        plan: axes, channels and width.
        out_channels: channels of the logits.
        features: (base, maximum), of which the base counts; None takes the plan's.
        norm: "instance" or "batch"; None is the network's own.
        deep_supervision: must be false, which `create` sees to.
        seed: of the initial weights.

    Returns:
        The network.
    """
    del deep_supervision
    base = features[0] if features else plan.network.features[0]
    return SegResNet(
        plan.dims, len(plan.channels), out_channels, filters=base, norm=norm, seed=seed
    )


def swinunetr(
    plan: Plan, out_channels: int, *, features: Widths, norm: str | None, deep_supervision: bool,
    seed: int,
) -> Network:  # fmt: skip
    """Return MONAI's SwinUNETR, with the multiple of 12 nearest to 1.5 base filters.

    A base of 32 gives its usual 48.

    Args:
        plan: axes, channels and width.
        out_channels: channels of the logits.
        features: (base, maximum), of which the base counts; None takes the plan's.
        norm: "instance" or "batch"; None is the network's own.
        deep_supervision: must be false, which `create` sees to.
        seed: of the initial weights.

    Returns:
        The network.
    """
    del deep_supervision
    base = features[0] if features else plan.network.features[0]
    filters = 12 * max(1, round(base / 8))
    return SwinUNETR(
        plan.dims, len(plan.channels), out_channels, filters=filters, norm=norm, seed=seed
    )


def transunet(
    plan: Plan, out_channels: int, *, features: Widths, norm: str | None, deep_supervision: bool,
    seed: int,
) -> Network:  # fmt: skip
    """Return TransUNet, beginning with `base` filters, its places learned for the plan's patch.

    Args:
        plan: axes, channels and patch.
        out_channels: channels of the logits.
        features: (base, maximum), of which the base counts; None is the published 64.
        norm: "instance" or "batch"; None is the network's own.
        deep_supervision: must be false, which `create` sees to.
        seed: of the initial weights.

    Returns:
        The network.
    """
    del deep_supervision
    base = features[0] if features else BASE
    return TransUNet(
        plan.dims, len(plan.channels), out_channels, patch=plan.patch_size, base=base, norm=norm,
        seed=seed,
    )  # fmt: skip


def swinunet(
    plan: Plan, out_channels: int, *, features: Widths, norm: str | None, deep_supervision: bool,
    seed: int,
) -> Network:  # fmt: skip
    """Return Swin-Unet, with the multiple of 12 nearest to 1.5 base filters.

    Args:
        plan: axes and channels.
        out_channels: channels of the logits.
        features: (base, maximum), of which the base counts; None is the published 64, 96 filters.
        norm: must be None: it has layer norms.
        deep_supervision: must be false, which `create` sees to.
        seed: of the initial weights.

    Returns:
        The network.

    Raises:
        HinterlandError: a norm was asked for.
    """
    del deep_supervision
    if norm is not None:
        raise HinterlandError(
            f"network_options.norm={norm}: swinunet has layer norms and no others. Leave it away."
        )
    filters = 12 * max(1, round((features[0] if features else 64) / 8))
    return SwinUNet(plan.dims, len(plan.channels), out_channels, filters=filters, seed=seed)
