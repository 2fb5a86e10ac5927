"""Check loose images against a plan: are they what a model that was trained by it expects?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from nibabel.orientations import aff2axcodes

from hinterland.data.integrity.case import CaseFacts, CaseTask, check_case, sound
from hinterland.data.integrity.problems import Findings, Problem
from hinterland.data.io.formats import is_flat
from hinterland.data.io.volume import Header, VolumeError, read_header, read_volume
from hinterland.data.planning.fingerprint import Fingerprint, Intensity
from hinterland.data.workers import map_cases
from hinterland.types import Case, Normalisation, Plan, Tick

_LEAST_COVERED = 0.5
"""Share of the range of training intensities that an image must reach over."""
_MOST_ZOOM = 3.0
"""How many times coarser or finer than the plan's the voxels may be without a word."""


@dataclass(frozen=True)
class Expected:
    """What a model was trained for: its plan, and the training set as it was measured, if known."""

    plan: Plan
    trained: Fingerprint | None = None


def check_images(
    cases: Sequence[Case],
    expected: Expected,
    *,
    voxels: bool = True,
    workers: int | None = None,
    progress: Tick | None = None,
) -> Findings:
    """Look at images before a model segments them, and list what is wrong or strange.

    Args:
        cases: What `read_images` found.
        expected: What the model was trained for.
        voxels: Whether to read voxels (NaN, constant images, intensities), or headers only.
        workers: Processes; None takes 2, or 1 on one core.
        progress: Called with (done, total) after each case.

    Returns:
        Errors where a case cannot be segmented, warnings where the result would likely be wrong:
        intensities, voxel sizes or axes that no training scan had.
    """
    count = min(2, os.cpu_count() or 1) if workers is None else workers
    look = partial(_look, expected=expected, voxels=voxels)
    found = map_cases(look, list(cases), [c.name for c in cases], count, progress)
    problems = [p for one in found for p in one]
    if voxels and expected.trained is None:
        problems.append(
            Problem("note", "no-fingerprint", "",
                    "the measurements of the training set are not at hand (they are kept in "
                    "HINTERLAND_CACHE), so that intensities and axes were not compared with it.")
        )  # fmt: skip
    return Findings.of(problems, cases=len(cases))


def _look(case: Case, expected: Expected, voxels: bool) -> list[Problem]:
    plan = expected.plan
    task = CaseTask(case, None, len(plan.channels))
    facts = check_case(task) if voxels else _headers(case)
    if any(p.severity == "error" for p in facts.problems):
        return facts.problems
    header = read_header(case.images[0])
    problems = [*facts.problems, *_geometry(case, header, expected)]
    if voxels and expected.trained is not None:
        array = read_volume(case.images).array
        for channel, name, trained, scheme in zip(
            array, plan.channels, expected.trained.intensities, plan.normalisation, strict=True
        ):
            problems += _intensities(case.name, channel, name, trained, scheme)
    return problems


def _headers(case: Case) -> CaseFacts:
    """Find what headers alone tell: unreadable files, no voxels, no usable affine."""
    facts = CaseFacts(case.name)
    for path in case.images:
        try:
            problem = sound(read_header(path), case.name, path)
        except VolumeError as error:
            problem = Problem("error", error.code, case.name, str(error))
        facts.problems += [problem] if problem is not None else []
    return facts


def _geometry(case: Case, header: Header, expected: Expected) -> list[Problem]:
    plan, trained = expected.plan, expected.trained
    if plan.dims == 3 and header.shape[1] == 1:
        return [
            Problem("error", "single-slice", case.name,
                    f"{case.images[0].name} has one slice, but the model segments volumes. Give "
                    "whole volumes, or train a model with --dims 2.")
        ]  # fmt: skip
    if plan.unit == "voxel" or is_flat(case.images[0]):
        return []
    problems = []
    measured = [header.spacing[axis] for axis in plan.transpose]
    pairs = [(m, p) for m, p in zip(measured, plan.spacing, strict=True) if p is not None]
    if any(not 1 / _MOST_ZOOM <= m / p <= _MOST_ZOOM for m, p in pairs):
        problems.append(
            Problem("warning", "spacing-unlike", case.name,
                    f"voxels of ({_text(m for m, _ in pairs)}) mm, where the model works at "
                    f"({_text(p for _, p in pairs)}) mm: much is interpolated. Is the header "
                    "right?")
        )  # fmt: skip
    axes = orientation(header)
    if trained is not None and trained.orientations and axes not in trained.orientations:
        problems.append(
            Problem("warning", "axes-unlike", case.name,
                    f"the axes point to {axes}, those of the training scans to "
                    f"{', '.join(trained.orientations)}: the model has never seen bodies lie so. "
                    f"Reorient the image to {trained.orientations[0]} with its header.")
        )  # fmt: skip
    return problems


def orientation(header: Header) -> str:
    """Return where the axes x, y, z of a file point, such as "RAS" (right, front, up)."""
    return "".join(aff2axcodes(header.affine))


def _intensities(
    case: str, channel: np.ndarray, name: str, trained: Intensity, scheme: Normalisation
) -> list[Problem]:
    """Compare the range of a channel with the training set's foreground (its 0.5 to 99.5 %)."""
    low, high = trained.percentile_00_5, trained.percentile_99_5
    lowest, highest = float(channel.min()), float(channel.max())
    covered = max(0.0, min(high, highest) - max(low, lowest)) / max(high - low, 1e-8)
    if covered >= _LEAST_COVERED:
        return []
    own_scale = scheme.scheme == "zscore"  # each case is brought to its own scale
    return [
        Problem("note" if own_scale else "warning", "intensities-unlike", case,
                f"channel {name!r} has values from {lowest:g} to {highest:g}; the foreground of "
                f"the training set from {low:g} to {high:g}. "
                + ("Each image is scaled by itself, so that this may not matter."
                   if own_scale else "Bring it to the same units (CT: Hounsfield)."))
    ]  # fmt: skip


def _text(values: object) -> str:
    return ", ".join(f"{v:.3g}" for v in values)  # type: ignore[attr-defined]
