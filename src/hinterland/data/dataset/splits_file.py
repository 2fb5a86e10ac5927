"""splits.json: who is in train, val and test, in which order; nnU-Net's splits_final.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hinterland.data.dataset.files import is_listed, read_json
from hinterland.data.integrity.problems import Problem
from hinterland.types import HinterlandError

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitsFile:
    """`split` maps case names to train, val or test, in the order of the file (training order).

    `groups` maps case names to patients, where the file says who they are.
    """

    split: Mapping[str, str]
    groups: Mapping[str, str]


def read_splits(path: Path, names: Iterable[str]) -> tuple[SplitsFile | None, list[Problem]]:
    """Read splits.json for the cases `names`; None where there is no usable file.

    Its keys `train`, `val` and `test` are lists of case names. Patients are taken from
    `cases: {NAME: {patient: P}}` and from lists whose key contains "patients" (`train_patients`):
    there each entry is the beginning of its cases' names. Other keys are left alone.
    """
    if not is_listed(path):
        return None, []
    try:
        data = read_json(path)
        given = _lists(path, data)
    except HinterlandError as error:
        return None, [Problem("error", "bad-splits", "", str(error))]
    known, problems = set(names), []
    split: dict[str, str] = {}
    unknown: dict[str, list[str]] = {}
    for part, members in given.items():
        for name in members:
            if name not in known:
                unknown.setdefault(part, []).append(name)
            elif name in split:
                problems.append(
                    Problem("error", "split-twice", name,
                            f"{path.name} lists this case in {split[name]} and again in {part}; "
                            "every case belongs to one split once. Remove one of the entries.")
                )  # fmt: skip
            else:
                split[name] = part
    for part, wrong in unknown.items():
        problems.append(
            Problem("error", "splits-unknown-case", "",
                    f"{path.name} lists {len(wrong)} case(s) under {part} that have no image: "
                    f"{', '.join(wrong[:5])}{', ...' if len(wrong) > 5 else ''}. "
                    "Expected names of files without ending and channel number.")
        )  # fmt: skip
    return SplitsFile(split, _groups(data, known)), problems


def _lists(path: Path, data: Any) -> dict[str, list[str]]:
    parts = {k: data[k] for k in _SPLITS if k in data} if isinstance(data, dict) else {}
    if "train" not in parts:
        raise HinterlandError(
            f"{path} has no list `train`; expected an object with the keys train, val and test "
            "(the last two may be missing), each a list of case names."
        )
    for key, members in parts.items():
        if not isinstance(members, list) or not all(isinstance(m, str) for m in members):
            raise HinterlandError(f"{path}: {key} must be a list of case names (text).")
    return parts


def _groups(data: Mapping[str, Any], names: set[str]) -> dict[str, str]:
    groups: dict[str, str] = {}
    patients = {
        entry
        for key, members in data.items()
        if "patients" in key and isinstance(members, list)
        for entry in members
        if isinstance(entry, str)
    }
    for name in names:
        ends = [len(name), *(i for i, letter in enumerate(name) if letter in "_-")]
        begins = [name[:end] for end in ends if name[:end] in patients]
        if begins:
            groups[name] = max(begins, key=len)
    cases = data.get("cases")
    for name, facts in cases.items() if isinstance(cases, dict) else ():
        patient = isinstance(facts, dict) and (facts.get("patient") or facts.get("group"))
        if name in names and patient:
            groups[name] = str(patient)
    return groups


def read_folds(path: Path) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] | None:
    """Read nnU-Net's splits_final.json: the names (train, val) of each fold.

    None where there is no such file.

    Raises:
        HinterlandError: the file is no list of folds.
    """
    if not is_listed(path):
        return None
    data = read_json(path)
    try:
        folds = tuple((tuple(f["train"]), tuple(f["val"])) for f in data)
    except (TypeError, KeyError):
        folds = ()
    if not folds:
        raise HinterlandError(
            f'{path} is not nnU-Net\'s; expected a list of {{"train": [...], "val": [...]}}.'
        )
    return folds
