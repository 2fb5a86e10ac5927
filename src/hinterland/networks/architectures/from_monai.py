"""Networks taken from MONAI whole: no division into encoder, decoder and head.

MONAI is loaded when one of them is made: see `layers`.
"""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor, nn

from hinterland.networks.architectures.blocks import norm_layer
from hinterland.networks.base import Network
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
        if find_spec("einops") is None:
            raise HinterlandError("swinunetr needs the package einops: pip install einops")
        from monai.networks.nets import SwinUNETR as MonaiSwinUNETR

        _make_norm_known()
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


def _make_norm_known() -> None:
    """Tell MONAI's layers what "swift_instance" is."""
    from monai.networks.layers import Norm

    if "SWIFT_INSTANCE" not in Norm.names:
        kinds: tuple[type[nn.Module], ...] = (nn.InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)
        Norm.add_factory_callable("swift_instance", lambda dim: kinds[dim - 1])
