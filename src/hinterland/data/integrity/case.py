"""Everything that can be wrong inside one case."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hinterland.data.integrity.geometry import check_affine, compare
from hinterland.data.integrity.near_duplicates import describe
from hinterland.data.integrity.problems import Problem
from hinterland.data.io.formats import format_of
from hinterland.data.io.volume import (
    Header,
    VolumeError,
    read_header,
    read_label,
    read_volume,
)
from hinterland.labels import Scheme
from hinterland.types import Case


@dataclass(frozen=True)
class CaseTask:
    """A case with what is expected of it.

    `scheme` is None where the case has no label; `channels` is None where files are known to miss.
    """

    case: Case
    scheme: Scheme | None
    channels: int | None


@dataclass
class CaseFacts:
    """What one look at a case found.

    `pixels` and `labels` are digests of the voxel values, `look` is what `describe` says of the
    first image.
    """

    case: str
    problems: list[Problem] = field(default_factory=list)
    pixels: str | None = None
    labels: str | None = None
    look: bytes | None = None
    values: dict[int, int] = field(default_factory=dict)


def check_case(task: CaseTask) -> CaseFacts:
    """Read every file of a case once, one after the other. Never raises."""
    facts = CaseFacts(task.case.name)
    try:
        reference = _images(task, facts)
        if task.case.label is not None:
            _label(task, facts, reference)
    except MemoryError:
        facts.problems.append(
            Problem("error", "memory", task.case.name,
                    "memory ran out while this case was read. Check with one worker, or on a "
                    "machine with more memory.")
        )  # fmt: skip
    except Exception as error:  # a bug of ours: still one line, and the other cases go on
        facts.problems.append(
            Problem("error", "check-failed", task.case.name,
                    f"the check itself failed ({type(error).__name__}: {error}). "
                    "Please report this with the files of the case.")
        )  # fmt: skip
    return facts


def _images(task: CaseTask, facts: CaseFacts) -> Header | None:
    """Check the images; the header that label and channels are held against, if there is one."""
    name, found, complete = task.case.name, 0, True
    reference: Header | None = None
    digest, varies = hashlib.sha1(), False
    for path in task.case.images:
        try:
            header = read_header(path)
            found += header.shape[0]
            problem = sound(header, name, path)
            if problem is None and reference is not None:
                problem = compare(reference, header, name, path.name, task.case.images[0].name)
            if problem is not None:
                facts.problems.append(problem)
                complete &= problem.severity == "note"
            if problem is None or problem.severity == "note":
                reference = reference or header
                varies |= _pixels(path, name, digest, facts)
        except VolumeError as error:
            facts.problems.append(Problem("error", error.code, name, str(error)))
            complete = False
    if task.channels not in (None, found) and complete:
        facts.problems.append(_channel_count(task, found))
    if complete and varies:  # constant images are alike without being copies
        facts.pixels = digest.hexdigest()
    return reference


def sound(header: Header, name: str, path: Path) -> Problem | None:
    """Return an error where a file has no voxel, or no usable place for them.

    Args:
        header: of the file.
        name: of the case.
        path: of the file.

    Returns:
        The error; None where all is well.
    """
    if 0 in header.shape:
        return Problem(
            "error", "zero-size", name,
            f"{path.name} has the shape {header.shape} (channel, z, y, x): it holds no voxel. "
            "Write it again from its source.",
        )  # fmt: skip
    return check_affine(header, name, path.name)


def _pixels(path: Path, name: str, digest: hashlib._Hash, facts: CaseFacts) -> bool:
    """Look at the voxels of one file, slice by slice; whether they vary."""
    array = read_volume(path).array
    bad, varies = 0, False
    digest.update(repr(array.shape).encode())
    for channel in array:
        first = channel.flat[0]
        changes = False
        for plane in channel:
            if array.dtype.kind == "f":
                bad += int(np.size(plane) - np.isfinite(plane).sum())
            changes |= bool((plane != first).any())
            # the same values in another number type are still the same image; rows at a time, as
            # a picture may be one very large plane
            for row in range(0, len(plane), _ROWS):
                part = plane[row : row + _ROWS]
                digest.update(np.ascontiguousarray(part, dtype=np.float32).tobytes())
        varies |= changes
    if varies and facts.look is None and not bad:
        facts.look = describe(array)
    if bad:
        facts.problems.append(
            Problem("error", "not-finite", name,
                    f"{path.name} holds {bad} voxel(s) of NaN or infinity; expected finite "
                    "intensities. Replace them, for instance by the background's value.")
        )  # fmt: skip
    elif not varies:
        facts.problems.append(
            Problem("warning", "constant-image", name,
                    f"every voxel of {path.name} is {array.flat[0]}: there is nothing to see. "
                    "Export the image again, or remove the case.")
        )  # fmt: skip
    return varies


_ROWS = 256


def _channel_count(task: CaseTask, found: int) -> Problem:
    hint = ""
    if {found, task.channels} == {1, 3}:
        hint = " (grey images among RGB ones?)"
    return Problem(
        "error", "channel-count", task.case.name,
        f"the image has {found} channel(s), but the data set has {task.channels}{hint}. Convert "
        "the image, or correct channel_names in dataset.json.",
    )  # fmt: skip


def _label(task: CaseTask, facts: CaseFacts, reference: Header | None) -> None:
    case, path = task.case, task.case.label
    assert path is not None
    try:
        header = read_header(path)
        problem = sound(header, case.name, path)
        if problem is None and reference is not None:
            what, to = f"the label {path.name}", f"the image {case.images[0].name}"
            problem = compare(reference, header, case.name, what, to)
        if problem is not None:
            facts.problems.append(problem)
        if 0 in header.shape:
            return
        array = read_label(path).array
    except VolumeError as error:
        facts.problems.append(Problem("error", error.code, case.name, str(error)))
        return
    facts.labels = hashlib.sha1(array.tobytes()).hexdigest()
    facts.values = dict(sorted(_count(array).items()))
    facts.problems += _values(task, facts.values, path.name)


def _count(array: np.ndarray) -> Counter[int]:
    counts: Counter[int] = Counter()
    for plane in array[0]:
        if array.dtype.kind == "u":
            found = np.bincount(plane.ravel())
            counts.update({int(v): int(found[v]) for v in np.flatnonzero(found)})
        else:
            values, number = np.unique(plane, return_counts=True)
            counts.update(dict(zip(values.tolist(), number.tolist(), strict=True)))
    return counts


def _values(task: CaseTask, counts: dict[int, int], file: str) -> list[Problem]:
    assert task.scheme is not None
    scheme, tree, name = task.scheme, task.scheme.tree, task.case.name
    meaning = scheme.label_values
    unknown = [v for v in counts if v not in meaning]
    if unknown:
        some = ", ".join(f"{v} ({counts[v]} voxels)" for v in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        return [
            Problem("error", "unknown-value", name,
                    f"{file} holds {some}{more}; the scheme {scheme.name!r} knows only "
                    f"{sorted(meaning)}. {_how_to_name(unknown, counts, file)}")
        ]  # fmt: skip
    problems = _contradictions(task, [meaning[v] for v in counts], file)
    if format_of(file).lossy:
        problems.append(
            Problem("warning", "lossy-mask", name,
                    f"{file} is a JPEG file, which does not keep class numbers at edges. Write the "
                    "masks as PNG files from their source.")
        )  # fmt: skip
    remainder = tree.leaf_names.index(tree.remainder)
    if not problems and all(remainder in meaning[v] for v in counts):
        ignored = all(meaning[v] == tree.all_leaves for v in counts)
        what = "nothing but voxels to be ignored" if ignored else "nothing but background"
        problems.append(
            Problem("note", "empty-label", name, f"{file} holds {what} (value {[*counts]}).")
        )
    return problems


def _how_to_name(unknown: list[int], counts: dict[int, int], file: str) -> str:
    """Tell what to do with values that the scheme does not know."""
    if format_of(file).lossy:
        low, high = sorted(sorted(counts, key=counts.__getitem__)[-2:])
        return (
            "JPEG has blurred the class numbers: take the masks from their source, or threshold "
            f"them (here at {(low + high + 1) // 2}) and write PNG files."
        )
    if min(unknown) < 0:
        return (
            f"Values below 0 cannot be named: write {min(unknown)} as another number (such as 255) "
            "and name that in labels.yaml (`255: any` ignores it)."
        )
    return (
        f"Correct the file, or name the value in labels.yaml (such as `{unknown[0]}: NODE`, or "
        f"`{unknown[0]}: any` to ignore it)."
    )


def _contradictions(task: CaseTask, sets: list[frozenset[int]], file: str) -> list[Problem]:
    """Report image-level labels that the label file refutes."""
    assert task.scheme is not None
    tree, problems = task.scheme.tree, []
    for node, present in task.case.image_labels.items():
        if node not in tree or present not in (0, 1):
            continue
        leaves = tree.leaves_under(node)
        certain = any(s <= leaves for s in sets)
        possible = any(s & leaves for s in sets)
        if (present == 0 and certain) or (present == 1 and not possible):
            says, shows = ("absent", "holds it") if certain else ("present", "does not hold it")
            problems.append(
                Problem("error", "image-label-contradicts", task.case.name,
                        f"the image label says that {node!r} is {says}, but {file} {shows}. "
                        "Correct one of them.")
            )  # fmt: skip
    return problems
