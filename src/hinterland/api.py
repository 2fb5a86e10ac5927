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

    from hinterland.report.comparison import Comparison
    from hinterland.training.runs.run import Run

Question = str | Coarsening


def plan(dataset: Dataset, *, dims: Literal[2, 3] | None = None, memory_gb: float = 8.0) -> Plan:
    """Measure a data set and plan preprocessing, patches and network by nnU-Net's rules.

    The measurements are kept in the cache folder.

    Args:
        dataset: The cases to plan for.
        dims: 2 or 3; None decides by spacing and number of slices.
        memory_gb: Gigabytes that a training step may take (of a GPU, in mixed precision).

    Returns:
        The plan: target spacing in mm, patch size in voxels, batch size, normalisation, network.

    Raises:
        HinterlandError: An image cannot be read, or nothing fits into the memory.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import hinterland as hl
    >>> place = tempfile.TemporaryDirectory()
    >>> folder = Path(place.name) / "phantoms"
    >>> found = plan(hl.read_dataset(hl.make_phantoms(folder, (2, 1, 1), dims=2, size=32)))
    >>> found.dims, found.patch_size, found.batch_size
    (2, (32, 32), 2)
    """
    from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset

    return plan_dataset(dataset, PlanOptions(dims, memory_gb))


def evaluate(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    at: Question | Mapping[str, Coarsening] | None = None,
    labels: LabelSpec | Path | str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Evaluate a folder of predictions against reference label files.

    Args:
        predictions: Folder of label files, one a case.
        references: Folder of label files, or cases such as `dataset.test`; predictions of other
            cases in the folder are then left alone.
        at: The question or questions; default, those of the labels.
        labels: What the references' integers mean (default: labels.yaml or dataset.json near them).
        options: Those of `hinterland.evaluation.folders.evaluate_folders`.

    Returns:
        A tidy table with one row per case, question and class.

    Raises:
        HinterlandError: A prediction or a reference is missing or cannot be read as labels.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import hinterland as hl
    >>> place = tempfile.TemporaryDirectory()
    >>> folder = Path(place.name) / "phantoms"
    >>> cases = hl.read_dataset(hl.make_phantoms(folder, (1, 1, 2), dims=2, size=32))
    >>> table = evaluate(folder / "labelsTs", cases.test)  # the references themselves
    >>> [round(100 * dice) for dice in table["dice"]]
    [100, 100]
    """
    from hinterland.evaluation.folders import evaluate_folders

    if not isinstance(references, str | Path):
        options.setdefault("extra", True)
    return evaluate_folders(predictions, references, spec=labels, at=at, **options)


def compare(
    *runs: Run | Path | str, at: Question | None = None, out: Path | str | None = None,
    **options: Any,
) -> Comparison:  # fmt: skip
    """Compare runs, paired by case, with the first as baseline.

    Args:
        runs: Finished runs, or their folders.
        at: The question; one of those that the runs were evaluated at.
        out: A folder for report.html and the tables; None writes nothing.
        options: Those of `hinterland.report.compare.compare`.

    Returns:
        The comparison; `print` it for the table.

    Raises:
        HinterlandError: A run is not finished, the runs share no case, or no run knows `at`.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import hinterland as hl
    >>> place = tempfile.TemporaryDirectory()
    >>> folder = Path(place.name)
    >>> cases = hl.read_dataset(hl.make_phantoms(folder / "phantoms", (3, 1, 2), dims=2, size=32))
    >>> binary = hl.methods.Supervised(on=cases.labels.target)
    >>> backsplit = hl.methods.Supervised(on=cases.labels.tree.leaves)
    >>> asked = {"plan": plan(cases), "fold": "fixed", "config": hl.make_config({"steps": 1})}
    >>> base = hl.train(cases, method=binary, out=folder / "binary", **asked)
    >>> run = hl.train(cases, method=backsplit, out=folder / "backsplit", **asked)
    >>> found = compare(base, run, names=["binary", "BackSplit"])
    >>> [(r.method, r.group, r.n) for r in found.results if r.metric == "dice"]
    [('binary', 'lesion', 2), ('BackSplit', 'lesion', 2)]
    """
    from hinterland.report.compare import compare as compare_runs

    paths = [run if isinstance(run, str | Path) else run.path for run in runs]
    question = at if at is None or isinstance(at, str) else _name_of(at, runs)
    if out is not None:
        return compare_runs(paths, out, question, **options)
    with tempfile.TemporaryDirectory(prefix="hinterland-compare-") as folder:
        return compare_runs(paths, folder, question, **{"images": False, **options})


def _name_of(at: Coarsening, runs: Sequence[Run | Path | str]) -> str:
    """Find the name under which the runs' tables hold a question."""
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
