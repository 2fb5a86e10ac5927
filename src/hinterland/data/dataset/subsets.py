"""Pretending that fewer labels exist: `--labelled` and `--fine`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hinterland.data.dataset.splits import groups_of
from hinterland.labels import UNLABELLED, LabelSpec, Scheme
from hinterland.types import Case, HinterlandError

_COUNT = re.compile(r"^(\d+)(%?)(?::(cases|groups))?$")


def select(cases: Sequence[Case], what: str | int | Path) -> frozenset[str]:
    """Return names of the labelled cases that `what` means.

    `3` (or `3:groups`): all labelled cases of the first three groups (patients) that have any, in
    the order of `cases`; `3:cases`: the first three labelled cases; `25%` and `25%:cases`: that
    share of them, rounded; else a text file with one case or group name a line (`#` begins a
    comment).

    Raises:
        HinterlandError: more cases than there are, an unknown name, no such file.
    """
    labelled = [c for c in cases if c.labelled]
    match = _COUNT.match(str(what).strip())
    if match is None:
        return _listed(labelled, Path(what if isinstance(what, Path) else str(what)))
    count, unit = int(match[1]), match[3] or "groups"
    groups = [[c] for c in labelled] if unit == "cases" else list(groups_of(labelled).values())
    if match[2]:
        if count > 100:
            raise HinterlandError(
                f"{what} of the labelled {unit} were asked for; expected 0 to 100."
            )
        count = int(count * len(groups) / 100 + 0.5)
    if count > len(groups):
        raise HinterlandError(
            f"{count} labelled {unit} were asked for, but the training cases have {len(groups)}. "
            f"Ask for at most {len(groups)}."
        )
    return frozenset(c.name for members in groups[:count] for c in members)


def _listed(labelled: Sequence[Case], path: Path) -> frozenset[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise HinterlandError(
            f"{str(path)!r} is no number of groups (3, 25%), no number of cases (3:cases) and no "
            "text file with case names that can be read."
            " Write one of these."
        ) from None
    names = [line.split("#")[0].strip() for line in text.splitlines()]
    names = [n for n in names if n]
    unknown = sorted(set(names) - {n for c in labelled for n in (c.name, c.group)})
    if unknown or not names:
        raise HinterlandError(
            f"{path} names {', '.join(unknown[:5]) or 'nothing'}; expected names of labelled "
            "training cases or of their groups (patients), one a line."
        )
    return frozenset(c.name for c in labelled if c.name in names or c.group in names)


def labelled_subset(
    cases: Sequence[Case], what: str | int | Path, *, image_labels: bool = False
) -> tuple[Case, ...]:
    """Hide the labels of all cases but those that `select` finds; the order stays.

    Cases whose labels are hidden lose their image-level labels, too;
    cases that had no label file stay as they are.

    Args:
        cases: the cases.
        what: the cases that keep their labels, as `select` reads it.
        image_labels: whether the others keep their image labels.

    Returns:
        As many cases as came.
    """
    names = select(cases, what)

    def hidden(case: Case) -> Case:
        bare = case.with_scheme(UNLABELLED)
        return bare if image_labels else replace(bare, image_labels={})

    return tuple(c if c.name in names or not c.labelled else hidden(c) for c in cases)


def labelled_by(cases: Sequence[Case], schemes: Collection[str]) -> tuple[Case, ...]:
    """Return the labelled cases of these annotation schemes."""
    return tuple(c for c in cases if c.labelled and c.scheme in schemes)


def fine_subset(
    cases: Sequence[Case], what: str | int | Path, coarse: Mapping[str, str]
) -> tuple[Case, ...]:
    """Return the same cases, of which only those that `select` finds keep their fine labels.

    Args:
        cases: the cases. Those of schemes that `coarse` does not name are no fine ones: they stay
            as
            they are, and are not counted.
        what: the cases that keep their labels, as `select` reads it.
        coarse: names of the fine schemes -> what the others are read by, such as that of
            `spec.coarse_scheme` (which the caller adds to the specification).

    Returns:
        As many cases as came.
    """
    fine = labelled_by(cases, coarse)
    others = {c.name for c in fine} - select(fine, what)
    return tuple(c.with_scheme(coarse[c.scheme]) if c.name in others else c for c in cases)


def with_absent(spec: LabelSpec, cases: Sequence[Case]) -> tuple[LabelSpec, tuple[Case, ...]]:
    """Return the same cases, read under schemes that know what their image labels rule out.

    A negative image label intersects every voxel's set of leaves with `not NODE`, which is right on
    any crop. Such a scheme is called `SCHEME@no-NODE+NODE` and joins the specification; of an
    unlabelled case it is `none@no-NODE`, which needs no label file. A case whose label file already
    says as much keeps its scheme. LabelError where an image label leaves no class at all.
    """
    known: dict[str, Scheme] = {}
    result = []
    for case in cases:
        nodes = [n for n in spec.tree.nodes if _is(case, n, 0)]
        absent = frozenset(leaf for n in nodes for leaf in spec.tree.leaves_under(n))
        scheme = spec.scheme(case.scheme if case.labelled else UNLABELLED)
        if nodes and _adds(scheme, absent):
            name = f"{scheme.name}@no-{'+'.join(nodes)}"
            known.setdefault(name, scheme.without(absent, name))
            case = case.with_scheme(name)
        result.append(case)
    return (spec.with_schemes(*known.values()) if known else spec), tuple(result)


def present_nodes(case: Case, nodes: Iterable[str]) -> list[str]:
    """Return the nodes that the image labels say are there."""
    return [n for n in nodes if _is(case, n, 1)]


def _is(case: Case, node: str, value: int) -> bool:
    return str(case.image_labels.get(node, "")) == str(value)


def _adds(scheme: Scheme, absent: frozenset[int]) -> bool:
    """Tell whether some value of the scheme leaves open what the image label decides."""
    if not scheme.values:
        return True
    return any(leaves & absent and leaves - absent for _, leaves in scheme.values)
