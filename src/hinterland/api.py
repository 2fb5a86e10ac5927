"""What `import hinterland as hl` offers beyond the names of single rooms: steps in one call."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hinterland.labels import Coarsening, LabelSpec
from hinterland.types import Case, Dataset, HinterlandError, Plan

if TYPE_CHECKING:
    import pandas as pd

    from hinterland.report.compare import Comparison
    from hinterland.training.run import Run

Question = str | Coarsening


def plan(dataset: Dataset, *, dims: Literal[2, 3] | None = None, memory_gb: float = 8.0) -> Plan:
    """Measure a data set and plan preprocessing, patches and network by nnU-Net's rules.

    dims: 2 or 3; None decides by spacing and number of slices. memory_gb: what a training step may
    take (of a GPU, in mixed precision). The measurements are kept in the cache folder.
    """
    from hinterland.data.planning.fingerprint import fingerprint
    from hinterland.data.planning.plan import make_plan
    from hinterland.data.preprocessing.cache import cache_root

    measured = fingerprint(dataset, cache=cache_root() / "fingerprints")
    return make_plan(measured, dims, memory_gb, classes=len(dataset.labels.tree))


def evaluate(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    at: Question | Mapping[str, Coarsening] | None = None,
    labels: LabelSpec | Path | str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """The tidy metric table of a folder of predictions, one row per case, question and class.

    references: a folder of label files, or cases, such as `dataset.test`; predictions of other
    cases in the folder are then left alone. at: the question(s); default, those of the labels.
    labels: what the references' integers mean (default: labels.yaml or dataset.json near them).
    options: those of `hinterland.evaluation.folders.evaluate_folders`.
    """
    from hinterland.evaluation.folders import evaluate_folders

    if not isinstance(references, str | Path):
        options.setdefault("extra", True)
    return evaluate_folders(predictions, references, spec=labels, at=at, **options)


def compare(
    *runs: Run | Path | str, at: Question | None = None, out: Path | str | None = None,
    **options: Any,
) -> Comparison:  # fmt: skip
    """Compare runs, paired by case, with the first as baseline; `print` it for the table.

    at: the question; one of those that the runs were evaluated at. out: a folder for report.html
    and the tables; None writes nothing. options: those of `evaluation.compare.compare`.
    """
    from hinterland.report.compare import compare as compare_runs

    paths = [run if isinstance(run, str | Path) else run.path for run in runs]
    question = at if at is None or isinstance(at, str) else _name_of(at, runs)
    if out is not None:
        return compare_runs(paths, out, question, **options)
    with tempfile.TemporaryDirectory(prefix="hinterland-compare-") as folder:
        return compare_runs(paths, folder, question, **{"images": False, **options})


def _name_of(at: Coarsening, runs: Sequence[Run | Path | str]) -> str:
    """The name under which the runs' tables hold a question."""
    for run in runs:
        if isinstance(run, str | Path):
            continue
        for name, question in run.record.spec.questions.items():
            if set(question.groups) == set(at.groups):
                return name
    raise HinterlandError(
        f"no run says what the question ({at}) is called in its table. Give its name as text, or "
        "add it to `target` in labels.yaml."
    )
