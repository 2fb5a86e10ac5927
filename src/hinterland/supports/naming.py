"""Which scheme each case is read under, and what they are called in the new labels.yaml."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hinterland.labels import UNLABELLED, CaseSettings, LabelSpec, Scheme
from hinterland.supports.merge import SUPPORTS, Integers
from hinterland.types import Case, Dataset

BEFORE = "@before"
"""Behind the name of a scheme as it was: the cases that got no supports are read under it."""
_LISTED = 3  # nodes in the name of a scheme


@dataclass(frozen=True)
class Variant:
    """A scheme of the data set, the nodes that the source could see, and whether everywhere."""

    scheme: str
    provided: frozenset[str]
    partly: bool = False


def new_spec(
    grown: LabelSpec, integers: Integers, dataset: Dataset, variants: Mapping[str, Variant]
) -> LabelSpec:
    """Return the specification of the result: the schemes that its cases are read under.

    A scheme whose
    cases got all structures keeps its name, and its integers what they meant, but for the
    background, which now is what no structure claims.

    Args:
        grown: labels with the new nodes.
        integers: how labels are merged.
        dataset: the cases.
        variants: case name -> how it was written; other cases keep their label file.

    Returns:
        The labels.
    """
    names = _names(tuple(dict.fromkeys(variants.values())), integers.nodes, grown)
    schemes = {
        name: integers.merge(v.scheme, v.provided, v.partly).scheme(name, grown.tree)
        for v, name in names.items()
    }
    left = {c.scheme for c in dataset.cases if c.name not in variants}
    worked = {v.scheme for v in variants.values()}
    before: dict[str, str] = {}  # schemes that are still read as they were -> their names now
    for name in grown.schemes:
        if name in left or name not in worked:
            taken = {*schemes, *before.values(), *(grown.schemes.keys() - {name})}
            before[name] = _free(name + BEFORE if name in schemes else name, taken)
    plain = [n for n in grown.schemes if n in schemes]  # `full` stays in front
    every = {n: schemes[n] for n in dict.fromkeys([*plain, *sorted(schemes)])}
    every |= {own: replace(grown.schemes[name], name=own) for name, own in before.items()}
    cases = {
        p: replace(s, scheme=s.scheme if s.scheme in (*every, None, UNLABELLED) else None)
        for p, s in grown.cases.items()
    }
    spec = replace(grown, schemes=every, cases=cases)
    default, own = spec.default_scheme.name, dict(cases)
    for case in dataset.cases:
        variant = variants.get(case.name)
        if variant is None and case.label is None:
            continue
        wanted = names[variant] if variant else before[case.scheme]
        settings = spec.case_settings(case.name)
        if (settings.scheme or default) != wanted:
            own.pop(case.name, None)
            own[glob.escape(case.name)] = CaseSettings(wanted, settings.domain, settings.group)
    return replace(spec, cases=own)


def _names(
    variants: Sequence[Variant], nodes: Sequence[str], grown: LabelSpec
) -> dict[Variant, str]:
    names: dict[Variant, str] = {}
    for variant in variants:
        base = SUPPORTS if variant.scheme == UNLABELLED else variant.scheme
        missing = [n for n in nodes if n not in variant.provided]
        given = [n for n in nodes if n in variant.provided]
        name = base
        if missing and len(given) <= _LISTED:
            name = f"{base}@{'+'.join(given) or 'nothing'}"
        elif missing and len(missing) <= _LISTED:
            name = f"{base}@not {'+'.join(missing)}"
        elif missing:
            name = f"{base}@{len(given)} structures"
        if variant.partly:
            name += "@partly"
        others = grown.schemes.keys() - {variant.scheme}
        names[variant] = _free(name, {*names.values(), *others})
    return names


def _free(name: str, taken: set[str]) -> str:
    """Return the name, or the first of `name (2)`, `name (3)`, ... that is free."""
    found = name
    for number in range(2, len(taken) + 3):
        if found not in taken:
            break
        found = f"{name} ({number})"
    return found


def main_scheme(spec: LabelSpec, cases: Sequence[Case]) -> Scheme:
    """Return the scheme that most of the cases are read under."""
    default = spec.default_scheme.name
    counts = Counter(spec.case_settings(c.name).scheme or default for c in cases)
    return spec.scheme(counts.most_common(1)[0][0])


def integers_of(scheme: Scheme) -> dict[str, int]:
    """Return node (or leaves joined by +) -> the integer that means it.

    Where several integers mean it, the smallest counts.
    """
    found: dict[str, int] = {}
    for value, leaves in sorted(scheme.values, key=lambda pair: pair[0]):
        found.setdefault(name_of(scheme, leaves), value)
    return found


def dataset_json(content: Mapping[str, Any], scheme: Scheme) -> dict[str, Any]:
    """Return nnU-Net's dataset.json with the integers of a scheme.

    Each integer is listed under the name of the node that it means.
    """
    ignored = dict(content.get("labels") or {}).get("ignore")
    labels: dict[str, int] = {}
    for value, leaves in sorted(scheme.values, key=lambda pair: pair[0]):
        name = "background" if value == 0 else name_of(scheme, leaves)
        if value and (leaves == scheme.tree.all_leaves or value == ignored):
            name = "ignore"
        labels[name if name not in labels else f"{name} {value}"] = value
    return {**content, "labels": labels}


def name_of(scheme: Scheme, leaves: frozenset[int]) -> str:
    """Return the node that holds exactly these leaves, or their names joined by +."""
    tree = scheme.tree
    return tree.node_for(leaves) or "+".join(tree.leaf_names[i] for i in sorted(leaves))


def image_labels_file(dataset: Dataset, labels: Path | None) -> Path | None:
    """Return the table of image-level labels that the data set names, if it is there."""
    name = dataset.labels.image_labels
    if name is None:
        return None
    folders = ([labels.parent] if labels is not None else []) + [dataset.root]
    return next((f / name for f in folders if (f / name).is_file()), None)
