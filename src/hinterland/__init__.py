"""Hinterland: medical image segmentation in which labels have structure.

```python
import hinterland as hl

cases = hl.read_dataset("Dataset115_COVID19CT")
lesion = cases.labels.tree.coarsen("infection")
plan = hl.plan(cases)
run = hl.train(cases, plan, hl.methods.Supervised(on=lesion), fold=0, out="runs/binary")
```

Names are looked up when they are first used: `import hinterland` loads nothing heavy.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hinterland._version import __version__

if TYPE_CHECKING:
    from hinterland import methods
    from hinterland.api import compare, evaluate, plan
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.integrity.check import check_dataset
    from hinterland.evaluation.table import summarise
    from hinterland.labels import Coarsening, LabelError, LabelSpec, LabelTree, Scheme
    from hinterland.methods import make_method, method_names
    from hinterland.phantoms.dataset import make_phantoms
    from hinterland.training.config import TrainConfig, make_config
    from hinterland.training.runs.distil import distil
    from hinterland.training.runs.run import Run
    from hinterland.training.runs.run_training import resume, train
    from hinterland.types import Case, Dataset, HinterlandError, Plan

# Before torch loads: threads that wait actively take the cores of whatever else runs. Beside two
# busy processes the demo's steps then took fifty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_PLACES = {
    "api": ("compare", "evaluate", "plan"),
    "data.integrity.check": ("check_dataset",),
    "phantoms.dataset": ("make_phantoms",),
    "data.dataset.read": ("read_dataset",),
    "evaluation.table": ("summarise",),
    "labels": ("Coarsening", "LabelError", "LabelSpec", "LabelTree", "Scheme"),
    "methods": ("make_method", "method_names"),
    "training.config": ("TrainConfig", "make_config"),
    "training.runs.distil": ("distil",),
    "training.runs.run": ("Run",),
    "training.runs.run_training": ("resume", "train"),
    "types": ("Case", "Dataset", "HinterlandError", "Plan"),
}
_NAMES = {name: f"hinterland.{place}" for place, names in _PLACES.items() for name in names}

__all__ = [
    "Case",
    "Coarsening",
    "Dataset",
    "HinterlandError",
    "LabelError",
    "LabelSpec",
    "LabelTree",
    "Plan",
    "Run",
    "Scheme",
    "TrainConfig",
    "__version__",
    "check_dataset",
    "compare",
    "distil",
    "evaluate",
    "make_config",
    "make_method",
    "make_phantoms",
    "method_names",
    "methods",
    "plan",
    "read_dataset",
    "resume",
    "summarise",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    elif name == "methods":
        value = import_module("hinterland.methods")
    else:
        raise AttributeError(f"module 'hinterland' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
