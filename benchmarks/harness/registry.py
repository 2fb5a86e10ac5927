"""Name every benchmark once: what the command line calls it, and the module that defines it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

BENCHMARKS = {
    "backsplit": "papers.backsplit",
    "backsplit_plateau": "papers.backsplit_plateau",
    "backsplit_map": "papers.backsplit_map",
    "budgets": "papers.backsplit_budgets",
    "nnunet_figures": "peers.nnunet_figures",
    "conventions": "peers.conventions",
    "speed": "peers.speed",
    "prediction_memory": "peers.prediction_memory",
    "prediction_shortcuts": "peers.prediction_shortcuts",
    "prediction_peers": "peers.prediction_peers",
    "prediction_backends": "peers.prediction_backends",
    "augmentation": "peers.augmentation",
    "race": "peers.race",
    "race_parts": "peers.race_parts",
    "export": "peers.export",
    "distil": "peers.distil",
    "gpu": "gpu.page",
    "metrics_speed": "peers.metrics_page",
    "discrepancy": "papers.discrepancy",
    "cvbm": "papers.cvbm",
    "semi_plateau": "papers.semi_plateau",
    "every_label": "papers.every_label",
    "leaderboard": "papers.leaderboard",
    "annotate": "papers.annotate",
    "subclass": "papers.subclass",
    "classify": "papers.classification",
    "classify_plateau": "papers.classification_plateau",
    "synthetic": "papers.synthetic",
    "supports": "papers.supports",
    "reliability": "reliability.campaign",
    "serving": "reliability.serving",
    "mutations": "reliability.mutations",
    "queue": "reliability.queue_kills",
}
"""Name -> module below `benchmarks`, in the order of RESULTS.md."""


def load_benchmark(name: str) -> ModuleType:
    """Import the module of a benchmark.

    Raises
    ------
    SystemExit: an unknown name, with those that there are.
    """
    if name not in BENCHMARKS:
        raise SystemExit(f"there is no benchmark {name!r}; expected one of {list(BENCHMARKS)}.")
    return import_module(f"benchmarks.{BENCHMARKS[name]}")
