"""Build plans, label specifications, cases and batches: small ones, of which a test says what it
needs and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hinterland.labels import Coarsening, LabelSpec
from hinterland.methods import Teacher
from hinterland.networks import create
from hinterland.types import Batch, Case, NetworkPlan, Normalisation, Plan


def network_of(features: tuple[int, ...], dims: int) -> NetworkPlan:
    """Halve every axis from stage to stage, with kernels of 3."""
    levels = len(features)
    strides = ((1,) * dims, *((2,) * dims,) * (levels - 1))
    return NetworkPlan(features, strides, ((3,) * dims,) * levels)


def plan_of(
    patch_size: tuple[int, ...],
    features: tuple[int, ...] = (4, 8),
    channels: tuple[str, ...] = ("MR",),
    **changes: Any,
) -> Plan:
    """Plan z-scored images of 1 mm for patches of this size; `changes` are fields of a Plan."""
    plan = Plan(
        dims=len(patch_size),  # type: ignore[arg-type]
        channels=channels,
        normalisation=(Normalisation("zscore"),) * len(channels),
        spacing=(1.0, 1.0, 1.0),
        unit="mm",
        transpose=(0, 1, 2),
        median_shape=(32, 32, 32),
        patch_size=patch_size,
        batch_size=2,
        batch_dice=False,
        network=network_of(features, len(patch_size)),
        fingerprint="test",
    )
    return replace(plan, **changes)


def spec_of(
    tree: Mapping[str, Any],
    target: list[str] | None = None,
    schemes: Mapping[str, Any] | None = None,
    **more: Any,
) -> LabelSpec:
    """Specify labels: without `schemes`, `full` numbers the leaves as they stand in the tree."""
    content = {"tree": tree, "schemes": schemes or {"full": dict(enumerate(_leaves(tree)))}, **more}
    return LabelSpec.from_dict(content if target is None else {**content, "target": target})


def _leaves(tree: Mapping[str, Any]) -> list[str]:
    return [leaf for name, below in tree.items() for leaf in (_leaves(below) or [name])]


def case_of(name: str, **changes: Any) -> Case:
    """Make a case of its own patient, with paths of files that need not be there."""
    case = Case(name, (Path(f"{name}_0000.nii.gz"),), Path(f"{name}.nii.gz"), group=name)
    return replace(case, **changes)


def teachers_of(plan: Plan, *at: Coarsening) -> tuple[Teacher, ...]:
    """Make an untrained teacher for each of these questions."""
    found = []
    for seed, question in enumerate(at, start=1):
        network = create("unet", plan, len(question), seed=seed).eval().requires_grad_(False)
        found.append(
            Teacher(question, network, lambda x, network=network: network(x).float().softmax(dim=1))
        )
    return tuple(found)


def batch_of(image: Tensor, annotation: Tensor, *, nodes: int = 1, **changes: Any) -> Batch:
    """Make a batch of labelled items that show part of their image, of unknown image labels.

    image (B, C, *space), annotation (B, *space); `nodes` is the number of nodes of the tree.
    """
    n = len(image)
    batch = Batch(
        image=image,
        annotation=annotation.to(torch.int16),  # as the loader gives it
        labelled=torch.ones(n, dtype=torch.bool),
        image_labels=torch.full((n, nodes), -1, dtype=torch.int8),
        covers=torch.zeros(n, dtype=torch.bool),
        case=tuple(map(str, range(n))),
        group=("",) * n,
        domain=("",) * n,
        streams=("labelled",) * n,
    )
    return replace(batch, **changes)
