"""Small plans for tests of networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hinterland.types import NetworkPlan, Normalisation, Plan


def small_plan(
    dims: int,
    patch: tuple[int, ...] | None = None,
    features: tuple[int, ...] = (8, 12, 16),
    strides: tuple[tuple[int, ...], ...] | None = None,
    kernels: tuple[tuple[int, ...], ...] | None = None,
    channels: int = 1,
    convolutions: int = 2,
) -> Plan:
    levels = len(features)
    return Plan(
        dims=dims,  # type: ignore[arg-type]
        channels=tuple(f"channel{i}" for i in range(channels)),
        normalisation=(Normalisation("zscore"),) * channels,
        spacing=(1.0, 1.0, 1.0) if dims == 3 else (None, 1.0, 1.0),
        unit="mm",
        transpose=(0, 1, 2),
        median_shape=(64, 64, 64),
        patch_size=patch or (16,) * dims,
        batch_size=2,
        batch_dice=False,
        network=NetworkPlan(
            features,
            strides or ((1,) * dims, *((2,) * dims,) * (levels - 1)),
            kernels or ((3,) * dims,) * levels,
            convolutions,
        ),
        fingerprint="test",
    )


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., Plan]:
    """The factory of plans: `plan_of(dims, patch, features, strides, kernels, channels)`."""
    return small_plan
