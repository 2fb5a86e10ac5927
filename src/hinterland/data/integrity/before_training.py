"""What is refused before the first step, so that no run ends for it after all steps.

`check_dataset` looks at more; this is what would stop a run, or spoil it without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hinterland.data.integrity.geometry import compare
from hinterland.data.integrity.problems import Findings, Problem
from hinterland.data.io.volume import read_header
from hinterland.data.preprocessing.cache import Prepared
from hinterland.labels import Scheme
from hinterland.types import Case


def refuse_other_grids(cases: Iterable[Case]) -> None:
    """Compare the headers of each case's files; reads no voxel.

    Raises:
        HinterlandError: Channels of a case, or an image and its label, do not lie on one grid.
    """
    Findings.of([p for case in cases for p in _grids(case)]).raise_errors()


def refuse_unknown_values(
    cases: Iterable[Case], schemes: Mapping[str, Scheme], prepared: Prepared
) -> None:
    """Compare the integers of each label file with what its scheme names; -1 is unlabelled.

    Args:
        cases: The labelled cases among them are looked at, in the schemes that they have.
        schemes: All schemes by name.
        prepared: The cases, preprocessed.

    Raises:
        HinterlandError: A label file holds other integers. The message lists all such cases.
    """
    problems = []
    for case in cases:
        if case.label is None or not case.labelled:
            continue
        named = schemes[case.scheme].label_values
        unknown = sorted(set(prepared[case.name].values) - {-1, *named})
        if unknown:
            problems.append(
                Problem(
                    "error", "unknown-value", case.name,
                    f"the label {case.label.name} holds {_listed(unknown)}, which the scheme "
                    f"{case.scheme!r} does not name; it names {_listed(sorted(named))}. Correct "
                    "the file or labels.yaml.",
                )
            )  # fmt: skip
    Findings.of(problems).raise_errors()


def _grids(case: Case) -> list[Problem]:
    first, *others = case.images
    reference, to = read_header(first), f"the image {first.name}"
    rest = [(path, f"the channel {path.name}") for path in others]
    if case.label is not None and case.labelled:
        rest.append((case.label, f"the label {case.label.name}"))
    found = (compare(reference, read_header(path), case.name, what, to) for path, what in rest)
    return [problem for problem in found if problem is not None]


def _listed(values: list[int], most: int = 8) -> str:
    more = len(values) - most
    return ", ".join(map(str, values[:most])) + (f" and {more} more" if more > 0 else "")
