"""Cells inside cells across trees; naive schemes; virtual classes; questions in questions."""

from __future__ import annotations

import numpy as np
import pytest

from hinterland.labels import LabelError, LabelSpec, LabelTree
from hinterland.labels.growth import parents

SPEC = LabelSpec.from_dict(
    {
        "tree": {
            "rest": {},
            "heart": {"LV": {}, "RV": {}, "muscle": {"normal": {}, "edema": {}, "scar": {}}},
        },
        "target": ["edema", "scar"],
        "schemes": {
            "full": {0: "rest", 1: "LV", 2: "RV", 3: "normal", 4: "edema", 5: "scar"},
            "loose": {0: "any", 1: "scar"},
        },
    }
)
TREE = SPEC.tree


def test_parents_in_one_tree():
    fine, coarse = TREE.leaves, TREE.coarsen("scar")
    found = dict(zip(fine.names, parents(fine, coarse), strict=True))
    assert found == {"rest": 0, "LV": 0, "RV": 0, "normal": 0, "edema": 0, "scar": 1}
    with pytest.raises(LabelError, match="does not lie inside one"):
        parents(TREE.coarsen("muscle"), coarse)


def test_parents_across_trees():
    plain = LabelTree({"background": {}, "lesion": {}})
    later = LabelTree({"organs": {"lung": {}, "liver": {}}, "rest": {}, "lesion": {}})
    cells = later.leaves
    found = dict(zip(cells.names, parents(cells, plain.leaves), strict=True))
    assert found == {"lung": 0, "liver": 0, "rest": 0, "lesion": 1}
    nested = LabelTree({"background": {"lung": {}, "rest": {}}, "lesion": {"a": {}, "b": {}}})
    found = dict(zip(nested.leaf_names, parents(nested.leaves, plain.leaves), strict=True))
    assert found == {"lung": 0, "rest": 0, "a": 1, "b": 1}
    with pytest.raises(LabelError, match="'lesion', which the label tree does not have"):
        parents(LabelTree({"rest": {}, "tumour": {}}).leaves, plain.leaves)


def test_a_question_inside_a_question():
    at = SPEC.question("target/LV")
    assert at.to_dict() == {
        "everything else": ["rest", "RV", "normal"], "edema": ["edema"], "scar": ["scar"],
        "LV": ["LV"],
    }  # fmt: skip
    assert (
        SPEC.question("target/LV/RV/normal").groups
        == SPEC.question("edema/scar/LV/RV/normal").groups
    )
    assert SPEC.question("target") == SPEC.target


def test_naive_annotators_call_the_rest_rest():
    marginal = SPEC.coarse_scheme("full", SPEC.target).label_values
    naive = SPEC.coarse_scheme("full", SPEC.target, naive=True)
    rest = TREE.leaves_under("rest")
    assert naive.name == "full@naive"
    assert [naive.label_values[v] for v in range(6)] == [rest] * 4 + [
        TREE.leaves_under("edema"), TREE.leaves_under("scar"),
    ]  # fmt: skip
    assert (
        marginal[1]
        == marginal[0]
        == TREE.all_leaves - TREE.leaves_under("edema") - TREE.leaves_under("scar")
    )
    assert marginal[5] == TREE.leaves_under("scar")


def test_virtual_classes_belong_to_the_background_and_to_no_annotation():
    spec = SPEC.with_virtual(2)
    assert spec.tree.leaf_names[-2:] == ("virtual1", "virtual2")
    empty = spec.tree.leaves_under("virtual1") | spec.tree.leaves_under("virtual2")
    assert empty <= spec.target.groups[spec.target.background]
    assert not any(empty & s for s in spec.schemes["full"].label_values.values())
    assert spec.schemes["loose"].label_values[0] == spec.tree.all_leaves
    assert LabelSpec.from_dict(spec.to_dict()) == spec
    at = spec.question("target/virtual1")
    assert len(at) == 4
    # no Dice term ever runs over it
    group = at.names.index("virtual1")
    assert not spec.label_sets.decided(at)[:, group].any()
    assert np.array_equal(spec.label_sets.matrix[:, :6].sum(1)[1:7], np.ones(6))
    with pytest.raises(LabelError, match="virtual1"):
        spec.with_virtual(1)
