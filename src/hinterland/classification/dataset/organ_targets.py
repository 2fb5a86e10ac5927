"""Organ masks of another tool x image labels -> targets to segment (paper 5, the SPINE data).

Where the image label says that a finding is there, and the other tool where the organ is, the organ
is the target: a vertebra of a scan that is labelled "fracture of C2". No voxel is drawn by hand.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hinterland.classification.dataset.answers import answers
from hinterland.classification.dataset.relabel import claim_folder, label_path, link_images
from hinterland.classification.dataset.task import Task, findings_of
from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.io.volume import write_label
from hinterland.types import Case, Dataset, HinterlandError

MARK = "organ-targets.json"
TABLE = "image_labels.csv"


@dataclass(frozen=True)
class Pair:
    """A finding (`COLUMN` of yes and no, or `COLUMN=VALUE`), its organ, and what the target is."""

    finding: str
    organ: str
    node: str


@dataclass(frozen=True)
class Organs:
    """What another tool sees in one case, on the grid of the image.

    Attributes:
        masks: organ -> bool (z, y, x); an organ of which the tool says nothing is not there.
        unseen: bool (z, y, x), voxels outside of what the tool looked at.
    """

    masks: Mapping[str, np.ndarray]
    unseen: np.ndarray


@dataclass
class Targets:
    """The data set that was made, and its cases by what became of them.

    Attributes:
        present: a target was written.
        absent: the findings that are known are not there; a mask without a target.
        unknown: nothing is known of any finding; no mask.
        left_out: a finding is there, or may be, and its organ was not found; no mask.
    """

    out: Path
    present: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {k: len(v) for k, v in vars(self).items() if isinstance(v, list)}


def parse_pairs(
    texts: Sequence[str], columns: Sequence[str], organs: Sequence[str]
) -> tuple[Pair, ...]:
    """Parse `FINDING:ORGAN` or `FINDING:ORGAN:NODE`; by default the node is called as the finding.

    A `*` in the finding stands for any text of a column's name, and the same text takes the place
    of a `*` in organ and node.

    Args:
        texts: as given.
        columns: of the image labels.
        organs: the other tool's names.

    Returns:
        The pairs.

    Raises:
        HinterlandError: another form, an organ that the tool does not have, or one in two pairs.

    >>> parse_pairs(["C*:bone_C*:fracture"], ["C1", "C2", "age"], ["bone_C1", "bone_C2"])[1]
    Pair(finding='C2', organ='bone_C2', node='fracture')
    """
    pairs: list[Pair] = []
    for text in texts:
        parts = [part.strip() for part in text.split(":")]
        if len(parts) not in (2, 3) or not all(parts):
            raise HinterlandError(
                f"pair {text!r}: expected FINDING:ORGAN or FINDING:ORGAN:NODE, as in "
                "C1:vertebrae_C1:fracture."
            )
        finding, organ, *node = parts
        named = node or [finding.partition("=")[2] or finding]
        column = finding.partition("=")[0]
        stars = [""]
        if "*" in column:
            before, after = column.split("*", 1)
            stars = [
                c[len(before) : len(c) - len(after)] for c in columns if fnmatchcase(c, column)
            ]
        known = [
            Pair(*(t.replace("*", s, 1) for t in (finding, organ, named[0])))
            for s in stars
            if "*" not in column or organ.replace("*", s, 1) in organs
        ]
        pairs += known
        if not known:
            raise HinterlandError(
                f"pair {text!r}: no column of the image labels ({', '.join(columns) or 'none'}) has"
                " such a name and an organ of that name. Correct it."
            )
    for pair in pairs:
        if pair.organ not in organs:
            raise HinterlandError(
                f"organ {pair.organ!r}: the masks hold {', '.join(organs[:20])}"
                f"{', ...' if len(organs) > 20 else ''}. Name one of these."
            )
    twice = [p.organ for p in pairs if [q.organ for q in pairs].count(p.organ) > 1]
    if twice:
        raise HinterlandError(
            f"the organ {twice[0]!r} stands in two pairs; one voxel cannot be two targets. Make a "
            "data set for each finding."
        )
    return tuple(pairs)


def organ_targets(
    dataset: Dataset,
    pairs: Sequence[Pair],
    organs_of: Callable[[Case], Organs],
    out: Path | str,
    *,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> Targets:
    """Write the data set again with targets made of organ masks and image labels.

    For a voxel of an organ, the finding's label decides: there, it is the target; not there, it is
    `without_NODE`, a support label; not known, one of both. A case with a finding (or one that is
    not ruled out) whose organ the tool has not found gets no mask: nobody knows where it would be.
    Masks that the data set has are not taken over. Images are linked.

    Args:
        dataset: the cases with their image labels.
        pairs: findings and their organs.
        organs_of: what the other tool sees in a case.
        out: the folder to write.
        overwrite: replace `out` if it was made by this function.
        tick: called with (done, of how many).

    Returns:
        Where the data set is, and what became of the cases.

    Raises:
        HinterlandError: no case has an answer, a column contradicts the findings that it sums up,
            or `out` is there already.
    """
    out = Path(out)
    nodes = list(dict.fromkeys(pair.node for pair in pairs))
    content = _labels(nodes, dataset)
    task = findings_of(tuple(p.finding for p in pairs), dataset.cases, dataset.labels.tree)
    known = _known(task, dataset)
    table = _table(dataset, pairs, nodes, known)
    work = claim_folder(out, overwrite, MARK)
    result = Targets(out)
    for done, case in enumerate(dataset.cases, start=1):
        row = known.get(case.name)
        array = None
        if row is None or all(answer is None for answer in row):
            result.unknown.append(case.name)
        else:
            array = _target(pairs, nodes, row, organs_of(case))
            found = result.present if 1 in row else result.absent
            (result.left_out if array is None else found).append(case.name)
        if array is not None:
            target = work / label_path(dataset, case)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_label(target, array, like=case.images[0])
        if tick:
            tick(done, len(dataset.cases))
    link_images(dataset, work)
    bare = {*result.unknown, *result.left_out}
    content["cases"] = {
        glob.escape(c.name): {
            "scheme": "none" if c.name in bare else "targets",
            **({"group": c.group} if c.group else {}),
            **({"domain": c.domain} if c.domain else {}),
        }
        for c in dataset.cases
    }
    write_text(work / TABLE, csv_text(table))
    write_text(work / "labels.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    record = {"pairs": [vars(p) for p in pairs], **vars(result), "out": ""}
    write_text(work / MARK, json.dumps(record, indent=1) + "\n")
    if out.exists():
        shutil.rmtree(out)
    work.rename(out)
    return result


def _known(task: Task, dataset: Dataset) -> Mapping[str, tuple[int | None, ...]]:
    found = answers(task, dataset.cases, {}, dataset.labels.tree)
    known = {name: row for name, row in found.items() if isinstance(row, tuple)}
    if not any(1 in row for row in known.values()):
        raise HinterlandError(
            f"no case of {dataset.root} has one of {', '.join(task.classes)}: nothing would be a "
            "target. Give the table with --image-labels CSV."
        )
    return known


def _target(
    pairs: Sequence[Pair], nodes: Sequence[str], row: Sequence[int | None], organs: Organs
) -> np.ndarray | None:
    """Return the label (z, y, x); None where an organ that may hold a finding was not found."""
    label = np.zeros(organs.unseen.shape, np.uint16)
    count = len(nodes)
    label[organs.unseen] = 1 + 3 * count
    for pair, answer in zip(pairs, row, strict=True):
        mask = organs.masks.get(pair.organ)
        if mask is None or not mask.any():
            if answer != 0:
                return None
            continue
        kind = {1: 0, 0: 1, None: 2}[answer]
        label[mask] = 1 + nodes.index(pair.node) + kind * count
    return label


def _labels(nodes: Sequence[str], dataset: Dataset) -> dict[str, Any]:
    """Make the content of labels.yaml; integers are targets, organs without, and either."""
    taken = {"background", "rest", "any", "none"} & set(nodes)
    if taken:
        raise HinterlandError(
            f"a target cannot be called {', '.join(sorted(taken))}; that is the background's. "
            "Give another name: FINDING:ORGAN:NODE."
        )
    without = [f"without_{node}" for node in nodes]
    either = [[a, b] for a, b in zip(without, nodes, strict=True)]
    meanings = ["rest", *nodes, *without, *either, "any"]
    content: dict[str, Any] = {
        "tree": {
            "background": {**{n: {} for n in without}, "rest": {}},
            **{node: {} for node in nodes},
        },
        "target": list(nodes),
        "schemes": {"targets": dict(enumerate(meanings))},
        "image_labels": TABLE,
    }
    return content if dataset.spacing_known else {**content, "spacing": "unknown"}


def _table(
    dataset: Dataset,
    pairs: Sequence[Pair],
    nodes: Sequence[str],
    known: Mapping[str, Sequence[int | None]],
) -> pd.DataFrame:
    """Keep the image labels, and add a column for each node: is a finding of its there?"""
    rows, wrong = [], []
    reserved = {"background", "rest", *(f"without_{n}" for n in nodes)}
    own = {p.finding for p in pairs}
    for case in dataset.cases:
        row: dict[str, Any] = {"case": case.name}
        row |= {f"{c}_text" if c in reserved else c: v for c, v in case.image_labels.items()}
        answered = known.get(case.name, [None] * len(pairs))
        for node in nodes:
            parts = [a for p, a in zip(pairs, answered, strict=True) if p.node == node]
            said = 1 if 1 in parts else None if None in parts else 0
            whole = {"1": 1, "0": 0}.get(str(row.get(node, "")))
            if node not in own and whole is not None and said is not None and whole != said:
                wrong.append(case.name)
            row[node] = whole if said is None and node not in own else said
        rows.append(row)
    if wrong:
        raise HinterlandError(
            f"{len(wrong)} case(s) ({', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}): a "
            "column of the image labels is called as the target and contradicts the findings ("
            f"{', '.join(p.finding for p in pairs[:4])}). Correct the table, or name the target "
            "otherwise."
        )
    return pd.DataFrame(rows).astype(object).where(lambda t: t.notna(), "")
