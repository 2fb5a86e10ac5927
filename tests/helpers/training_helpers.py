"""Quick settings."""

from __future__ import annotations

from hinterland.training.config import TrainConfig, make_config


def quick(**changes: object) -> TrainConfig:
    settings = {
        "steps": 12,
        "precision": "fp32",
        "network_options": {"features": (4, 8)},
        "validation": {"interval": 4, "mirror": False},
    }
    return make_config({**settings, **changes})
