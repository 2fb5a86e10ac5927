"""Small plans for tests of networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import factories
import pytest
from factories import network_of

from hinterland.types import Plan


def small_plan(
    dims: int,
    patch: tuple[int, ...] | None = None,
    features: tuple[int, ...] = (8, 12, 16),
    strides: tuple[tuple[int, ...], ...] | None = None,
    kernels: tuple[tuple[int, ...], ...] | None = None,
    channels: int = 1,
    convolutions: int = 2,
) -> Plan:
    network = network_of(features, dims)
    network = replace(
        network, strides=strides or network.strides, kernels=kernels or network.kernels,
        convolutions=convolutions,
    )  # fmt: skip
    return factories.plan_of(
        patch or (16,) * dims,
        channels=tuple(f"channel{i}" for i in range(channels)),
        spacing=(1.0, 1.0, 1.0) if dims == 3 else (None, 1.0, 1.0),
        median_shape=(64, 64, 64),
        network=network,
    )


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., Plan]:
    """The factory of plans: `plan_of(dims, patch, features, strides, kernels, channels)`."""
    return small_plan
