"""Image labels as annotation: an image without a class rules the class out for every voxel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hinterland.labels import UNLABELLED, LabelSpec, Scheme
from hinterland.types import Case


def with_absent(spec: LabelSpec, cases: Sequence[Case]) -> tuple[LabelSpec, tuple[Case, ...]]:
    """The same cases, read under schemes that know what their image labels rule out.

    A negative image label intersects every voxel's set of leaves with `not NODE`, which is right on
    any crop. Such a scheme is called `SCHEME@no-NODE+NODE` and joins the specification; of an
    unlabelled case it is `none@no-NODE`, which needs no label file. A case whose label file already
    says as much keeps its scheme. LabelError where an image label leaves no class at all.
    """
    known: dict[str, Scheme] = {}
    result = []
    for case in cases:
        nodes = [n for n in spec.tree.nodes if _is(case, n, 0)]
        absent = frozenset(leaf for n in nodes for leaf in spec.tree.below(n))
        scheme = spec.scheme(case.scheme if case.labelled else UNLABELLED)
        if nodes and _adds(scheme, absent):
            name = f"{scheme.name}@no-{'+'.join(nodes)}"
            known.setdefault(name, scheme.without(absent, name))
            case = case.with_scheme(name)
        result.append(case)
    return (spec.with_schemes(*known.values()) if known else spec), tuple(result)


def present_nodes(case: Case, nodes: Iterable[str]) -> list[str]:
    """The nodes that the image labels say are there."""
    return [n for n in nodes if _is(case, n, 1)]


def _is(case: Case, node: str, value: int) -> bool:
    return str(case.image_labels.get(node, "")) == str(value)


def _adds(scheme: Scheme, absent: frozenset[int]) -> bool:
    """Whether some value of the scheme leaves open what the image label decides."""
    if not scheme.values:
        return True
    return any(leaves & absent and leaves - absent for _, leaves in scheme.values)
