"""What each support structure's split adds to a probe model, by Fisher information."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from hinterland.data.sampling.cropping import cut, foreground_voxel, patch_corner
from hinterland.data.sampling.label_sets import foreground_values
from hinterland.labels import Coarsening
from hinterland.theory.fisher_network import (
    Information,
    estimate_information,
    estimate_sensitivity,
)

if TYPE_CHECKING:
    from hinterland.data.preprocessing.cache import Prepared
    from hinterland.training.runs.run import Run
    from hinterland.types import Case

_RIDGE = 1e-3  # of the mean information: a prior that keeps directions nobody informs about finite


@dataclass(frozen=True)
class Added:
    """What supports add for each case, (cases, supports) each.

    Attributes:
        information: trace of what {target, support, rest} adds to {target, rest}, as a share of the
            latter's.
        variance: by how much the variance of the target's probability falls, predicted from
            diagonals (delta method), as a share of it.
    """

    information: np.ndarray
    variance: np.ndarray


def added_information(
    probe: Run,
    cases: Sequence[Case],
    prepared: Prepared,
    splits: Sequence[Coarsening],
    *,
    probes: int = 4,
    patches: int = 2,
    seed: int = 0,
) -> Added:
    """Estimate what each of `splits` adds to a case's label, on patches around its target.

    Args:
        probe: a run whose cells refine all splits.
        cases: labelled cases.
        prepared: their preprocessed images and labels.
        splits: the coarsenings {target, support, rest}.
        probes: random signs of each estimate.
        patches: of each case.
        seed: of patches and signs.

    Returns:
        What each split adds, by case.
    """
    method, spec = probe.method, probe.record.spec
    network = method.deployed(probe.networks()).eval()
    target = spec.target
    coarse = torch.tensor(target.over(method.cells))
    fine = [torch.tensor(s.over(method.cells)) for s in splits]
    inside = coarse[list(target.foreground)].any(0)
    rows: list[tuple[list[float], list[float]]] = []
    for number, case in enumerate(cases):
        image = _patches(probe, case, prepared, patches, np.random.default_rng([seed, number]))

        def look(at: torch.Tensor, base: torch.Tensor | None, image: torch.Tensor = image):  # type: ignore[no-untyped-def]
            return estimate_information(network, image, at, base, probes=probes, seed=seed)

        known = look(coarse, None)
        sensitivity = estimate_sensitivity(network, image, inside, probes=probes, seed=seed)
        gains = [look(f, coarse) for f in fine]
        before = _variance(sensitivity, known, None)
        rows.append(
            (
                [g.trace / max(known.trace, 1e-12) for g in gains],
                [1 - _variance(sensitivity, known, g) / before for g in gains],
            )
        )
    return Added(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))


def _variance(sensitivity: Information, known: Information, gain: Information | None) -> float:
    """Return the sum over parameters G^2 / (I + ridge), all three as diagonals."""
    size = sum(d.numel() for d in known.diagonal.values())
    ridge = _RIDGE * known.trace / size
    total = 0.0
    for name, g in sensitivity.diagonal.items():
        information = known.diagonal[name] + ridge
        if gain is not None:
            information = information + gain.diagonal[name]
        total += float((g / information).double().sum())
    return total


def _patches(
    probe: Run, case: Case, prepared: Prepared, count: int, rng: np.random.Generator
) -> torch.Tensor:
    """Draw (count, C, *patch) around voxels of the target."""
    plan, spec = probe.record.plan, probe.record.spec
    stored = prepared[case.name]
    values = foreground_values(spec.scheme(case.scheme), spec.target)
    found = []
    for _ in range(count):
        centre = foreground_voxel(rng, stored.locations, values)
        image = stored.image
        if plan.dims == 2:
            z = int(rng.integers(image.shape[1])) if centre is None else int(centre[0])
            image, centre = image[:, z], None if centre is None else centre[1:]
        corner = patch_corner(rng, image.shape[1:], plan.patch_size, centre)
        found.append(cut(image, corner, plan.patch_size, 0.0))
    return torch.tensor(np.stack(found))
