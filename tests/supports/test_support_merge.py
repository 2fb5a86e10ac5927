"""Where annotations and supports meet: nothing is widened, no lesion is ruled out or in."""

from __future__ import annotations

import numpy as np
import pytest
from factories import spec_of
from hypothesis import given
from hypothesis import strategies as st

from hinterland.labels import LabelSpec
from hinterland.supports.grown import compact, grow
from hinterland.supports.merge import Integers, absent, present
from hinterland.supports.sources.source import UNKNOWN
from hinterland.supports.structures import choose, lesion_leaves, not_supports
from hinterland.types import HinterlandError

LEAVES = ("lung", "heart", "rest", "infection", "scar")
sets = st.sets(st.sampled_from(LEAVES), min_size=1).map(sorted)
schemes = st.lists(sets, min_size=1, max_size=4)


def spec(values: list[list[str]]) -> LabelSpec:
    return spec_of(
        {
            "background": {"organs": {"lung": {}, "heart": {}}, "rest": {}},
            "infection": {},
            "scar": {},
        },
        target=["infection", "scar"],
        schemes={
            "full": dict(enumerate(LEAVES)),
            "some": {10 + i: v for i, v in enumerate(values)},
        },
    )


@given(schemes, st.sets(st.sampled_from(["lung", "organs", "spleen"]), min_size=1))
def test_annotations_are_refined_never_contradicted(values, provided):
    nodes = ["lung", "organs", "spleen"]
    grown = grow(spec(values), nodes)
    lesions = grown.moved(lesion_leaves(spec(values)))
    for scheme in ("full", "some", "none"):
        integers = Integers(grown.spec, ["full", "some", "none"], nodes, lesions)
        merge = integers.merge(scheme, frozenset(provided), partly=True)
        written = merge.scheme("new", grown.spec.tree).label_values
        seen = frozenset().union(*(grown.spec.tree.leaves_under(n) for n in provided))
        for row, before in enumerate(integers.annotation(scheme).values()):
            for column, node in enumerate([None, *nodes, "unknown"]):
                if node not in (None, "unknown", *provided):
                    continue  # what the source cannot see here never occurs
                after = written[int(merge.table[row, column])]
                assert after <= before
                assert after & lesions == before & lesions
                if node == "unknown":
                    assert after == before
                elif node is None:
                    assert after == absent(before, seen, lesions)
                elif not before & grown.spec.tree.leaves_under(node):
                    assert merge.kept[row, column]
                else:
                    assert after == present(before, grown.spec.tree.leaves_under(node), lesions)


def test_integers_are_the_same_in_every_case():
    grown = grow(spec([["lung", "rest"], list(LEAVES)]), ["spleen"])
    one = Integers(grown.spec, ["some", "full"], ["spleen"], grown.moved(frozenset({3, 4})))
    first = one.merge("some", frozenset({"spleen"}))
    second = one.merge("full", frozenset({"spleen"}))
    spleen = grown.spec.tree.leaves_under("spleen")
    assert [v for v, s in first.sets.items() if s == spleen] == [
        v for v, s in second.sets.items() if s == spleen
    ]


def test_an_organ_inside_an_ignored_region_may_hide_a_lesion():
    grown = grow(spec([list(LEAVES)]), ["spleen"])
    tree = grown.spec.tree
    lesions = tree.leaves_under("infection") | tree.leaves_under("scar")
    merge = Integers(grown.spec, ["some"], ["spleen"], lesions).merge("some", frozenset({"spleen"}))
    index = np.array([0, 1, UNKNOWN], np.uint16).reshape(1, 1, 3)
    array, _ = merge.apply(np.full((1, 1, 3), 10), index)
    nothing, organ, unknown = (merge.sets[int(v)] for v in array.ravel())
    assert organ == tree.leaves_under("spleen") | lesions
    assert nothing == tree.all_leaves - tree.leaves_under("spleen")
    assert unknown == nothing  # asked for without `partly`, nothing else is known


def test_unnamed_integers_are_refused():
    grown = grow(spec([["rest"]]), ["spleen"])
    merge = Integers(grown.spec, ["full"], ["spleen"], frozenset()).merge("full", frozenset())
    with pytest.raises(HinterlandError, match=r"holds \[77\]"):
        merge.apply(np.full((1, 1, 1), 77), np.zeros((1, 1, 1), np.uint16))


@pytest.mark.parametrize(
    ("tree", "grown_tree", "remainder"),
    [
        (
            {"background": {}, "lesion": {}},
            {"background": {"lung": {}, "rest": {}}, "lesion": {}},
            "rest",
        ),
        (
            {"rest": {}, "lesion": {}},
            {"background": {"lung": {}, "rest": {}}, "lesion": {}},
            "rest",
        ),
        (
            {"background": {"heart": {}, "rest": {}}, "lesion": {}},
            {"background": {"heart": {}, "lung": {}, "rest": {}}, "lesion": {}},
            "rest",
        ),
        (
            {"background": {}, "rest": {"a": {}, "b": {}}},
            {"background": {"lung": {}, "other": {}}, "rest": {"a": {}, "b": {}}},
            "other",
        ),
    ],
)
def test_the_remainder_is_divided(tree, grown_tree, remainder):
    lesion = list(tree)[-1]
    old = spec_of(tree, [lesion])
    grown = grow(old, ["lung", "lung"])
    assert grown.spec.tree.to_dict() == grown_tree
    assert grown.spec.tree.remainder == remainder
    assert grown.spec.target.names[1:] == old.target.names[1:]
    assert [len(g) for g in grown.spec.target.groups][1] == len(old.target.groups[1])
    assert len(grown.spec.tree.roots) == len(old.tree.roots)  # coarse labels keep their meaning
    read = LabelSpec.from_dict({**compact(grown.spec), "schemes": {"all": dict(
        enumerate(grown.spec.tree.leaf_names))}})  # fmt: skip
    assert read.tree == grown.spec.tree
    assert read.questions == grown.spec.questions


def test_nothing_grows_where_all_nodes_are_known():
    old = spec([["rest"]])
    assert grow(old, ["lung", "organs"]).spec is old


def test_structures_are_chosen_by_name_glob_and_rest():
    names = ["lung_left", "lung_right", "heart", "rib_1", "rib_2"]
    chosen = choose(["heart=organ", "lung_*=lung", "all"], names)
    assert [(s.node, s.sources) for s in chosen] == [
        ("organ", ("heart",)), ("lung", ("lung_left", "lung_right")), ("rib_1", ("rib_1",)),
        ("rib_2", ("rib_2",)),
    ]  # fmt: skip
    with pytest.raises(HinterlandError, match="Did you mean heart"):
        choose(["haert"], names)
    with pytest.raises(HinterlandError, match="asked for twice"):
        choose(["heart", "heart=h"], names)


def test_all_leaves_the_target_and_the_background_out():
    old = spec([["rest"]])
    names = ["background", "rest", "lung", "infection", "spleen"]
    chosen = choose(["all"], names, not_supports(old, names))
    assert [s.node for s in chosen] == ["lung", "spleen"]
    with pytest.raises(HinterlandError, match="infection: target or background"):
        choose(["inf*"], names, not_supports(old, names))
