"""Networks taken from MONAI whole: their maps can be seen, but no part be had by itself.

MONAI is loaded when one of them is made: see `layers`.
"""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor, nn

from hinterland.networks.architectures.blocks import norm_layer
from hinterland.networks.base import Network, map_widths
from hinterland.networks.initialise import seeded
from hinterland.networks.norms import InstanceNorm2d, InstanceNorm3d
from hinterland.types import HinterlandError


class SegResNet(Network):
    """MONAI's SegResNet with blocks (1, 2, 2, 4); group norm of 8 groups unless `norm` is given."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: int = 32,
        norm: str | None = None,
        seed: int = 0,
    ) -> None:
        from monai.networks.nets import SegResNet as MonaiSegResNet

        super().__init__(dims, in_channels, out_channels)
        _make_norm_known()
        with seeded(seed):
            self.net = MonaiSegResNet(
                spatial_dims=dims,
                init_filters=filters,
                in_channels=in_channels,
                out_channels=out_channels,
                blocks_down=(1, 2, 2, 4),
                blocks_up=(1, 1, 1),
                norm=norm_layer(norm) if norm else ("group", {"num_groups": 8}),
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def logits_and_maps(self, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        net = self.net
        below, encoded = net.encode(x)
        decoded: list[Tensor] = []
        skips = encoded[-2::-1]
        for raise_, join, skip in zip(net.up_samples, net.up_layers, skips, strict=True):
            below = join(raise_(below) + skip)
            decoded.append(below)
        maps = dict(zip(self.feature_widths(), (*encoded, *decoded[::-1]), strict=True))
        return [net.conv_final(below)], maps

    def feature_widths(self) -> dict[str, int]:
        widths = [self.net.init_filters * 2**i for i in range(4)]
        return map_widths(widths, widths[:-1])


class SwinUNETR(Network):
    """MONAI's SwinUNETR, depths (2, 2, 2, 2), window 7; instance norm unless `norm` is given."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: int = 48,
        norm: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(dims, in_channels, out_channels)
        need_einops("swinunetr")
        from monai.networks.nets import SwinUNETR as MonaiSwinUNETR

        _make_norm_known()
        self.filters = filters
        with seeded(seed):
            self.net = MonaiSwinUNETR(
                in_channels=in_channels,
                out_channels=out_channels,
                feature_size=filters,
                norm_name=norm_layer(norm or "instance"),
                spatial_dims=dims,
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def logits_and_maps(self, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        net = self.net
        half, quarter, eighth, sixteenth, lowest = net.swinViT(x, net.normalize)
        encoded = [
            net.encoder1(x), net.encoder2(half), net.encoder3(quarter), net.encoder4(eighth),
            sixteenth, net.encoder10(lowest),
        ]  # fmt: skip
        below, decoded = encoded[-1], []
        raisers = (net.decoder5, net.decoder4, net.decoder3, net.decoder2, net.decoder1)
        for raise_, skip in zip(raisers, encoded[-2::-1], strict=True):
            below = raise_(below, skip)
            decoded.append(below)
        maps = dict(zip(self.feature_widths(), (*encoded, *decoded[::-1]), strict=True))
        return [net.out(below)], maps

    def feature_widths(self) -> dict[str, int]:
        widths = [self.filters * n for n in (1, 1, 2, 4, 8, 16)]
        return map_widths(widths, widths[:-1])


def need_einops(name: str) -> None:
    """Refuse a network whose blocks need einops, where that is not installed.

    Raises:
        HinterlandError: it is not.
    """
    if find_spec("einops") is None:
        raise HinterlandError(f"{name} needs the package einops: pip install einops")


def _make_norm_known() -> None:
    """Tell MONAI's layers what "swift_instance" is."""
    from monai.networks.layers import Norm

    if "SWIFT_INSTANCE" not in Norm.names:
        kinds: tuple[type[nn.Module], ...] = (nn.InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)
        Norm.add_factory_callable("swift_instance", lambda dim: kinds[dim - 1])
