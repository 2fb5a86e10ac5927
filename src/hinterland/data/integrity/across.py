"""Find what is wrong between cases: copies, divided patients, classes that nobody shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from hinterland.data.integrity.case import CaseFacts
from hinterland.data.integrity.near_duplicates import near_duplicates
from hinterland.data.integrity.problems import Problem
from hinterland.types import Case, Dataset


def across_cases(dataset: Dataset, facts: Sequence[CaseFacts]) -> list[Problem]:
    """List what is wrong between the cases of a data set, each of which was looked at once."""
    return [
        *_copies(dataset, facts),
        *_near_copies(dataset, facts),
        *_divided(dataset.cases),
        *_never_used(dataset, facts),
        *_no_labels(dataset),
        *_one_patient(dataset),
    ]


def _copies(dataset: Dataset, facts: Iterable[CaseFacts]) -> list[Problem]:
    """Report cases whose images agree in every voxel."""
    same: dict[str, list[CaseFacts]] = defaultdict(list)
    for f in facts:
        if f.pixels is not None:
            same[f.pixels].append(f)
    problems = []
    for copies in same.values():
        names = list(dict.fromkeys(f.case for f in copies))
        if len(names) < 2:
            continue
        splits = {n: dataset[n].split for n in names}
        differ = " with different labels" if len({f.labels for f in copies} - {None}) > 1 else ""
        if len(set(splits.values()) - {None}) > 1:
            where = ", ".join(f"{n} ({s or 'no split'})" for n, s in splits.items())
            problems.append(
                Problem("error", "same-image-across-splits", names[0],
                        f"the same image{differ} is in several splits: {where}. What is learnt "
                        "from must not be tested on: keep one of them in splits.json.",
                        tuple(names[1:]))
            )  # fmt: skip
        else:
            together = len({dataset[n].group for n in names}) == 1  # no fold can divide them
            problems.append(
                Problem("note" if together else "warning", "duplicate-case", names[0],
                        f"{', '.join(names)} are the same image{differ}. Remove all but one"
                        + ("." if together else ", or give them one `group` in labels.yaml, so "
                           "that no fold divides them."), tuple(names[1:]))
            )  # fmt: skip
    return problems


def _near_copies(dataset: Dataset, facts: Iterable[CaseFacts]) -> list[Problem]:
    """Report cases of different patients whose images look the same without being equal."""
    seen = {f.case: f for f in facts if f.look is not None}
    problems = []
    for one, other, share in near_duplicates({n: f.look for n, f in seen.items() if f.look}):
        a, b = dataset[one], dataset[other]
        if a.group == b.group or seen[one].pixels == seen[other].pixels:
            continue
        splits = f"{one} ({a.split or 'no split'}) and {other} ({b.split or 'no split'})"
        across = None not in (a.split, b.split) and a.split != b.split
        advice = (
            "Look at both: what is learnt from must not be tested on."
            if across
            else "Look at both, and give them one `group` in labels.yaml, so that no fold divides "
            "them (`--group-duplicates FILE` writes that)."
        )
        problems.append(
            Problem("warning" if across else "note",
                    "near-duplicate-across-splits" if across else "near-duplicate", one,
                    f"{splits} show nearly the same image ({100 * share:.0f} % of their "
                    f"description differs). {advice}", (other,))
        )  # fmt: skip
    return problems


def _divided(cases: Iterable[Case]) -> list[Problem]:
    """Report groups (patients) with cases in more than one split."""
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for c in cases:
        if c.split is not None:
            splits[c.group].setdefault(c.split, c.name)
    problems = []
    for group, where in splits.items():
        if len(where) > 1:
            places = ", ".join(f"{split} ({name})" for split, name in where.items())
            problems.append(
                Problem("error", "group-divided", "",
                        f"the group (patient) {group!r} is in several splits: {places}. Scans of "
                        "one patient look alike: put them all into one split.")
            )  # fmt: skip
    return problems


def _never_used(dataset: Dataset, facts: Iterable[CaseFacts]) -> list[Problem]:
    """Note values of schemes that no label file holds, unless another scheme shows the class."""
    seen: dict[str, set[int]] = defaultdict(set)
    shown: set[frozenset[int]] = set()
    schemes = {c.name: c.scheme for c in dataset.cases}
    for f in facts:
        if f.values:
            seen[schemes[f.case]] |= set(f.values)
            meaning = dataset.labels.scheme(schemes[f.case]).label_values
            shown |= {meaning[v] for v in f.values if v in meaning}
    problems = []
    for name, found in seen.items():
        scheme = dataset.labels.scheme(name)
        absent = [
            v for v, leaves in scheme.values
            if v not in found and leaves != scheme.tree.all_leaves
            and not any(other <= leaves for other in shown)
        ]  # fmt: skip
        if absent:
            problems.append(
                Problem("note", "value-never-used", "",
                        f"no label file of the scheme {name!r} holds the value(s) {absent}. "
                        "A class that is never seen cannot be learnt.")
            )  # fmt: skip
    return problems


def _no_labels(dataset: Dataset) -> list[Problem]:
    """Report an error where nothing could be learnt from: no case has a label of any kind."""
    if any(c.label is not None or c.image_labels or c.labelled for c in dataset.cases):
        return []
    return [
        Problem("error", "no-labels", "",
                f"none of the {len(dataset)} cases has a label file that can be read, so that "
                "nothing can be learnt. Look at the files that are ignored (see the warnings), "
                "convert them, or correct their names.")
    ]  # fmt: skip


def _one_patient(dataset: Dataset) -> list[Problem]:
    """Note where nothing can be held out: all that has labels is of one patient."""
    groups = {c.group for c in dataset.cases if c.labelled}
    if len(groups) != 1:
        return []
    return [
        Problem("note", "one-patient", "",
                f"all cases with labels are of one patient or group, {min(groups)!r}, so that none "
                "can be held out: a run learns from all of them (`--fold all`), and nothing says "
                "how good it is.")
    ]  # fmt: skip
