"""Starting from a trained run: its network, grown to the classes of the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hinterland.data.preprocessing.cache import Prepared
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.labels import Coarsening, LabelSpec
from hinterland.labels.growth import parents
from hinterland.methods import Method
from hinterland.networks.surgery import grow
from hinterland.training.config import TrainConfig
from hinterland.training.optimisation.optimisers import resolve_recipe
from hinterland.training.runs.run import Run
from hinterland.types import Case, Plan

FINE_TUNING = 0.1
"""Share of the recipe's learning rate: 1e-3 instead of 1e-2 for nnU-Net's SGD, as in paper 1."""


def inherit_config(source: Run, config: TrainConfig) -> TrainConfig:
    """Fill the settings that were left open in a run that goes on from `source`.

    Network, its options and deep supervision are the source's; the learning rate is a tenth of the
    recipe's.
    """
    known = source.record.train
    left = {
        name: getattr(known, name)
        for name in ("network", "network_options", "deep_supervision")
        if name not in config.model_fields_set
    }
    config = config.model_copy(update=left)
    if config.optimiser.lr is None:
        rate = resolve_recipe(config).lr * FINE_TUNING
        config = config.model_copy(
            update={"optimiser": config.optimiser.model_copy(update={"lr": rate})}
        )
    return config


def inherit_plan(source: Run, plan: Plan) -> Plan:
    """Return the plan with the preprocessing and topology that `source`'s weights belong to."""
    same = {
        name: getattr(source.record.plan, name)
        for name in (
            "dims", "normalisation", "spacing", "unit", "transpose", "patch_size", "network",
        )
    }  # fmt: skip
    return replace(plan, **same)


def tuned_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for fine-tuning a run of these settings: a tenth of their learning rate.

    Where they name none, `inherit_config` takes a tenth of the recipe's.
    """
    optimiser = settings.get("optimiser", {})
    if not optimiser.get("lr"):
        return dict(settings)
    return {**settings, "optimiser": {**optimiser, "lr": optimiser["lr"] * FINE_TUNING}}


def cell_counts(cases: Sequence[Case], prepared: Prepared, spec: LabelSpec, cells: Coarsening
) -> list[float]:  # fmt: skip
    """Return in how many voxels of the cases each cell is annotated.

    Args:
        cases: those without a label count nothing.
        prepared: their preprocessed labels.
        spec: the labels of the run.
        cells: what is counted.

    Returns:
        Voxels, in the order of the cells.
    """
    table = spec.label_sets
    seen = np.zeros(len(table))
    for case in cases:
        label = prepared[case.name].label if case.labelled else None
        if label is not None:
            lookup = LabelSetLookup(table, spec.scheme(case.scheme))
            sets = lookup(np.asarray(label), case.name)
            seen += np.bincount(sets.ravel(), minlength=len(table))
    return (seen @ table.member(cells)).tolist()


@torch.no_grad()
def start_from(
    source: Run,
    networks: nn.Module,
    method: Method,
    counts: Sequence[float] | None = None,
    *,
    fresh: bool = False,
) -> None:
    """Give the network that `method` deploys the weights of `source`'s, grown to its cells.

    Modules that equal the one it is part of (a teacher, its moving average) follow it.

    Args:
        source: the trained run.
        networks: what `method` has built.
        method: the one that goes on.
        counts: voxels of each cell in the training cases; see `networks.surgery.grow`.
        fresh: whether growing layers begin anew; see `networks.surgery.grow`.

    Raises:
        HinterlandError: the networks differ in more than their classes (LabelError: a class has no
            parent).
    """
    old = source.method
    origin = parents(method.cells, old.cells)
    trained = old.deployed(source.networks()).state_dict()
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in networks.children()]
    grow(method.deployed(networks), trained, origin, counts, fresh=fresh)
    for module, old_state in zip(networks.children(), before, strict=True):
        if not _equal(module.state_dict(), old_state):  # it holds the network that has grown
            for other, state in zip(networks.children(), before, strict=True):
                if other is not module and _equal(state, old_state):
                    other.load_state_dict(module.state_dict())


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
