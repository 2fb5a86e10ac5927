"""Label trees, their coarsenings, and annotations that point at nodes.

A `LabelTree` has mutually exclusive leaves. A `Coarsening` partitions them into groups. A `Scheme`
says which set of leaves each integer of a label file means. `LabelSpec` is what labels.yaml holds.
"""

from hinterland.errors import LabelError
from hinterland.labels.coarsening import Coarsening, common_refinement
from hinterland.labels.decode import decode, group_values
from hinterland.labels.label_sets import LabelSetTable
from hinterland.labels.parsing import CaseSettings
from hinterland.labels.scheme import UNLABELLED, Scheme
from hinterland.labels.spec import LabelSpec, spec_from_dataset_json
from hinterland.labels.tree import LabelTree

__all__ = [
    "UNLABELLED",
    "CaseSettings",
    "Coarsening",
    "LabelError",
    "LabelSetTable",
    "LabelSpec",
    "LabelTree",
    "Scheme",
    "common_refinement",
    "decode",
    "group_values",
    "spec_from_dataset_json",
]
