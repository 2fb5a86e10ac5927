"""The value types every room speaks: Case, Plan, Batch, View. Immutable, hardly any behaviour."""

from hinterland.errors import HinterlandError
from hinterland.types.batch import Batch, Progress, View
from hinterland.types.case import Case, Dataset
from hinterland.types.plan import NetworkPlan, Normalisation, Plan
from hinterland.types.reporting import Report, Tick

__all__ = [
    "Batch",
    "Case",
    "Dataset",
    "HinterlandError",
    "NetworkPlan",
    "Normalisation",
    "Plan",
    "Progress",
    "Report",
    "Tick",
    "View",
]
