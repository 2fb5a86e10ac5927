"""Whether runs of one comparison answered its question in the same way."""

from __future__ import annotations

from collections.abc import Sequence

from hinterland.data.dataset.decoded import decoded_at, groups_of_folder
from hinterland.report.protocol.checks import Finding
from hinterland.report.runs import Arm, Run, cells_of


def decoding_findings(arms: Sequence[Arm], question: str) -> list[Finding]:
    """Say so where some runs sum probabilities by group and others merge the most probable class.

    Runs of earlier versions merged. A model that tells no more apart than the question asks does
    the same either way.

    Args:
        arms: the methods.
        question: the name of the question that is compared.

    Returns:
        One remark, or none.
    """
    sums = {str(r.path): _sums(r, question) for arm in arms for r in arm.runs}
    merged = tuple(path for path, by_sums in sums.items() if by_sums is False)
    if not merged or True not in sums.values():
        return []
    return [
        Finding(
            "decoding",
            "flag",
            f"{', '.join(merged)}: the most probable class was merged into the question, where "
            "other runs sum probabilities by group first. Predict and evaluate these again: "
            "hinterland predict, hinterland evaluate.",
            merged,
        )
    ]


def _sums(run: Run, question: str) -> bool | None:
    """Tell whether a run's answers are group sums; None where there is nothing to tell."""
    at = run.record.spec.questions.get(question) if run.record is not None else None
    folder = run.path / "predictions"
    if run.record is None or at is None or not folder.is_dir():
        return None
    if set(cells_of(run.record).groups) == set(at.groups):
        return None
    known = groups_of_folder(folder, at.tree)
    return known is not None and (set(known.values()) == set(at.groups)
                                  or decoded_at(folder, at) != folder)  # fmt: skip
