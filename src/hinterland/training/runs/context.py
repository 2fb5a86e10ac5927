"""From a run's settings to what its method is built for; nothing here loads Lightning."""

from __future__ import annotations

from hinterland.methods import BuildContext, Teacher
from hinterland.training.optimisation.optimisers import resolve_recipe
from hinterland.training.runs.record import RunRecord


def build_context(record: RunRecord, teachers: tuple[Teacher, ...] = ()) -> BuildContext:
    """Return the context that the method of a run is built in.

    Args:
        record: of the run.
        teachers: the trained models it learns from; none are needed to predict.

    Returns:
        The context.
    """
    config = record.train
    supervision = config.deep_supervision
    return BuildContext(
        plan=record.plan,
        spec=record.spec,
        label_sets=record.spec.label_sets,
        network=config.network,
        network_options=config.network_options,
        deep_supervision=resolve_recipe(config).deep_supervision
        if supervision is None
        else supervision,
        batch_dice=record.plan.batch_dice,
        seed=config.seed,
        loss=config.loss,
        virtual_dice=config.virtual_dice,
        teachers=teachers,
    )
