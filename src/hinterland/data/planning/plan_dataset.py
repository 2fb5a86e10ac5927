"""Plan a data set: measure it (or find its measurements in the cache) and apply the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hinterland.data.io.files import dataset_hash
from hinterland.data.planning.fingerprint import fingerprint, training_cases
from hinterland.data.planning.nnunet import plan_with_nnunet
from hinterland.data.planning.plan import make_plan
from hinterland.data.preprocessing.cache import cache_root
from hinterland.types import Dataset, HinterlandError, Plan

PLANNERS = ("hinterland", "nnunet")


@dataclass(frozen=True)
class PlanOptions:
    """What a user may decide about a plan.

    Attributes:
        dims: 2 or 3; None decides by spacing and number of slices.
        memory_gb: What a training step may take, in GB (of a GPU, in mixed precision).
        planner: "hinterland", or "nnunet" (needs nnU-Net).
    """

    dims: Literal[2, 3] | None = None
    memory_gb: float = 8.0
    planner: str = "hinterland"

    def __post_init__(self) -> None:
        if self.planner not in PLANNERS:
            raise HinterlandError(f"planner {self.planner!r}: expected {' or '.join(PLANNERS)}.")
        if self.dims not in (None, 2, 3):
            raise HinterlandError(f"dims {self.dims}: expected 2 or 3.")


def plan_dataset(
    dataset: Dataset,
    options: PlanOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Measure a data set and plan preprocessing, patches and network by nnU-Net's rules.

    Args:
        dataset: Its cases outside the test split are measured, once: measurements are kept in the
            cache folder.
        options: Dimensions, memory and planner.
        progress: Called with (cases measured, cases).

    Returns:
        The plan. Its `fingerprint` names the files that it was made from.

    Raises:
        HinterlandError: A case cannot be read, or the memory does not suffice for any patch.
    """
    options = options or PlanOptions()
    if options.planner == "nnunet":
        return plan_with_nnunet(dataset, options.dims, options.memory_gb)
    measured = fingerprint(dataset, cache=cache_root() / "fingerprints", progress=progress)
    return make_plan(measured, options.dims, options.memory_gb, classes=len(dataset.labels.tree))


def data_fingerprint(dataset: Dataset) -> str:
    """Hash the files that a plan of the data set is made from; see `Plan.fingerprint`."""
    return dataset_hash(dataset, training_cases(dataset))


def read_plan(file: Path, dataset: Dataset) -> Plan:
    """Read a plan.json that was made for this data set.

    Raises:
        HinterlandError: There is no such file, it is no plan, or it belongs to other data.
    """
    try:
        plan = Plan.from_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HinterlandError(
            f"there is no plan {file}. Make one: hinterland plan DATASET"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise HinterlandError(
            f"{file} is no plan ({type(error).__name__}: {error}); expected what `hinterland plan` "
            "writes."
        ) from None
    now = data_fingerprint(dataset)
    if plan.fingerprint != now:
        raise HinterlandError(
            f"{file} was made for other data (fingerprint {plan.fingerprint}; {dataset.root} has "
            f"{now}). Plan again: hinterland plan {dataset.root}"
        )
    return plan


def resolve_plan(
    dataset: Dataset,
    plan: Plan | PlanOptions,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Return a plan as it is, or make the one that is asked for.

    Args:
        dataset: The data set to plan for.
        plan: A plan, or how to make one.
        progress: Called with (cases measured, cases).

    Returns:
        The plan.
    """
    return plan if isinstance(plan, Plan) else plan_dataset(dataset, plan, progress=progress)
