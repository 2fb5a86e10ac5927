"""The beginning of a run: everything that can be checked is checked before anything is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hinterland.data.integrity.before_training import refuse_other_grids, refuse_unknown_values
from hinterland.data.io.limits import excess
from hinterland.data.planning.plan_dataset import data_fingerprint
from hinterland.data.planning.topology import topology
from hinterland.data.preprocessing.cache import prepare
from hinterland.evaluation.masks import MOST_GROUPS
from hinterland.labels import Coarsening
from hinterland.methods import Teacher, make_method
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.networks.pretrained import load_pretrained
from hinterland.training.checkpoint import save_checkpoint
from hinterland.training.config import TrainConfig
from hinterland.training.device import (
    git_state,
    hardware,
    refuse_missing_devices,
    versions,
)
from hinterland.training.loop.segmentation import INITIAL, streams_of_run
from hinterland.training.optimisation.optimisers import refuse_unknown_optimisers
from hinterland.training.runs.context import build_context
from hinterland.training.runs.fine_tuning import cell_counts, start_from
from hinterland.training.runs.record import RunRecord
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run_folder import new_folder
from hinterland.training.runs.supervision import split_cases
from hinterland.training.runs.teachers import (
    as_recorded,
    check_teachers,
    load_teachers,
    open_teachers,
    refuse_teachers,
)
from hinterland.training.trackers import refuse_missing_logger
from hinterland.types import Case, Dataset, HinterlandError, Plan

Stage = Callable[[str], None]
"""Takes a sentence about what is being done."""


def start_run(
    request: RunRequest,
    path: Path,
    overwrite: bool,
    progress: Callable[[int, int], None] | None,
    say: Stage,
    held: ExitStack,
) -> Dataset:
    """Check, plan and preprocess; only then make the folder of a run, all but its training.

    Args:
        request: The run to start.
        path: The run directory. What `refuse_taken` lets pass there is removed.
        overwrite: Whether a run that is there is replaced.
        progress: Called with (cases done, cases) while measuring and preprocessing.
        say: Called with the name of each stage as it begins.
        held: Keeps other processes out of the folder until it is closed.

    Returns:
        The data set as the run sees it, with the schemes and noise that it asked for.

    Raises:
        HinterlandError: The request cannot be carried out. Nothing is removed or written then.
    """
    request = request.with_virtual_classes()
    config, source = request.make_config(), request.source
    refuse_teachers(request.make_method(), request.teachers)  # a wrong name costs nothing yet
    teachers = open_teachers(request.teachers)
    _refuse_many_groups(request.dataset.labels.target)
    dataset, splits = split_cases(
        request.dataset, request.fold, config.seed, request.labelled, request.fine, request.naive
    )
    say("measuring")
    plan = request.make_plan(progress)
    record = record_of(request, dataset, plan, config, splits)
    if record.noise is not None:
        dataset = record.present(dataset)
        noisy = replace(record.plan, fingerprint=data_fingerprint(dataset))
        record = replace(record, plan=noisy)
    if teachers:
        record = replace(record, teachers=as_recorded(teachers))
        record = replace(record, seen_by_teachers=check_teachers(teachers, record))
    networks = _built(record, load_teachers(record))
    used = [c for part in record.split for c in record.cases(dataset, part)]
    refuse_other_grids(used)
    say("preprocessing")
    names = {c.name for c in used}
    cases = [c for c in dataset.cases if c.name in names]
    prepared = prepare(dataset, record.plan, cases=cases, progress=progress)
    refuse_unknown_values(used, record.spec.schemes, prepared)
    streams_of_run(record, dataset, prepared)
    if source:
        method = record.make_method()
        shown = record.cases(dataset, "train")
        counts = cell_counts(shown, prepared, record.spec, method.cells)
        fresh = record.train.init_head == "fresh"
        start_from(source, networks, method, counts, fresh=fresh)
    elif record.train.pretrained:
        load_pretrained(networks, record.train.pretrained)
    held.enter_context(new_folder(path, overwrite))
    if source or record.train.pretrained:
        save_checkpoint(path / INITIAL, {"networks": networks.state_dict()})
    record.write(path)
    return dataset


def record_of(
    request: RunRequest,
    dataset: Dataset,
    plan: Plan,
    config: TrainConfig,
    splits: Mapping[str, Sequence[Case]],
) -> RunRecord:
    """Make the record of a run that is about to start.

    Args:
        request: The run to record; its own data set, plan and settings are not looked at.
        dataset: The data set, its labels extended by the schemes that `splits` need.
        plan: The plan; overrides of batch and patch enter it here.
        config: The settings.
        splits: The cases of train, val and test.

    Returns:
        The record, with versions, hardware and git state of now.
    """
    plan = replace(
        with_patch(plan, config.patch_size) if config.patch_size else plan,
        batch_size=config.batch_size or plan.batch_size,
        batch_dice=plan.batch_dice if config.batch_dice is None else config.batch_dice,
    )
    method = make_method(request.method, dataset.labels, request.on, request.options)
    cases = [c for part in splits.values() for c in part]
    nodes = dataset.labels.tree.nodes
    known = {c.name: {n: int(c.image_labels[n]) for n in nodes if n in c.image_labels}
             for c in splits["train"]}  # fmt: skip
    return RunRecord(
        method=method.name,
        on=tuple(c.to_dict() for c in method.on),
        method_options=method.options,
        dataset={
            "path": str(dataset.root.resolve()),
            "name": dataset.name or dataset.root.name,
            "labels": request.labels,
            "fingerprint": plan.fingerprint,
        },
        dims=plan.dims,
        fold=str(request.fold),
        split={name: [c.name for c in part] for name, part in splits.items()},
        schemes={c.name: c.scheme if c.labelled else "none" for c in cases},
        groups={c.name: c.group for c in cases},
        selection="val" if request.fold == "fixed" and splits["val"] else "none",
        train=config,
        plan=plan,
        spec=dataset.labels,
        image_labels={name: labels for name, labels in known.items() if labels},
        labelled=request.labelled or "",
        fine=request.fine or "",
        naive=request.naive,
        noise=request.noise,
        init_from=request.init_from_text,
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        versions=versions(),
        hardware=hardware(),
        git=git_state(),
    )


def with_patch(plan: Plan, patch: tuple[int, ...]) -> Plan:
    """Return the plan with another patch and the network that nnU-Net's rules give for it.

    Edges are rounded up to what the network's pooling needs.

    Raises:
        HinterlandError: another number of edges than the plan has axes, or edges that are too
            short.
    """
    if len(patch) != plan.dims:
        raise HinterlandError(
            f"patch_size {list(patch)} has {len(patch)} edges, the plan is {plan.dims}D. "
            f"The plan's own patch is {list(plan.patch_size)}."
            " Give as many edges as the plan has axes."
        )
    spacing = [s for s in plan.spacing[3 - plan.dims :] if s is not None]
    fitted = topology(spacing, patch) if min(patch) > 0 else None
    if fitted is None or len(fitted.strides) < 2:
        raise HinterlandError(
            f"patch_size {list(patch)} is too small for a network with two levels: give positive "
            f"edges, at least 8 along two axes or 12 along one. The plan's own patch is "
            f"{list(plan.patch_size)}."
        )
    return replace(plan, patch_size=fitted.patch, network=fitted.network())


def _refuse_many_groups(question: Coarsening) -> None:
    """Refuse before the first step what the evaluation after the last one could not count."""
    if len(question) > MOST_GROUPS:
        raise HinterlandError(
            f"labels.yaml asks for {len(question)} groups at once by default; expected at most "
            f"{MOST_GROUPS}. Name fewer in `target`, such as the classes that matter."
        )


def _built(record: RunRecord, teachers: tuple[Teacher, ...]) -> torch.nn.Module:
    """Build everything once, before anything is deleted or written: a wrong name costs nothing.

    The networks as their seed makes them.
    """
    refuse_missing_devices(record.train)
    refuse_missing_logger(record.train.logger)
    plan = record.plan
    batch = (plan.batch_size, len(plan.channels), *plan.patch_size)
    if wrong := excess(batch, np.dtype(np.float32)):
        raise HinterlandError(f"a batch holds {wrong}. Take a smaller batch_size or patch_size.")
    context, method = build_context(record, teachers), record.make_method()
    if record.split["val"]:
        record.spec.target.over(method.cells)  # what validation will ask
    build_regularisers(record.train.regularisers, context, method)
    refuse_unknown_optimisers(record.train, method.phases())
    try:
        networks = method.build(context)
    except (TypeError, ValueError) as error:
        raise HinterlandError(
            f"network_options {dict(context.network_options)}: {error}. Expected options of "
            f"{context.network}, such as features and norm."
        ) from None
    return networks
