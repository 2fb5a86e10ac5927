"""A network of somebody else's: two convolutions."""

from torch import Tensor, nn

from hinterland.networks import Network, NetworkEntry, OptimiserRecipe, seeded
from hinterland.types import Plan


class TwoConvolutions(Network):
    def __init__(self, plan: Plan, out_channels: int, seed: int) -> None:
        super().__init__(plan.dims, len(plan.channels), out_channels)
        conv = nn.Conv2d if plan.dims == 2 else nn.Conv3d
        with seeded(seed):
            self.layers = nn.Sequential(
                conv(self.in_channels, 8, 3, padding=1), nn.ReLU(), conv(8, out_channels, 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def make(plan, out_channels, *, features, norm, deep_supervision, seed):
    return TwoConvolutions(plan, out_channels, seed)


NETWORK = NetworkEntry(
    make, OptimiserRecipe("adam", 1e-2, 0.0, deep_supervision=False),
    patch_multiple=lambda plan: (1,) * plan.dims, splits=False,
)  # fmt: skip
