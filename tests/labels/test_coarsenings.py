"""Coarsenings: partitions that compose, marginalise, and meet in a common refinement."""

import dataclasses
import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from label_strategies import coarsenings, probabilities, trees

from hinterland.labels import Coarsening, LabelError, LabelTree, common_refinement

COVID = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})
FLAT = LabelTree({n: {} for n in ("a", "b", "c", "d", "e", "f")})


@st.composite
def tree_and(draw, count: int):
    tree = draw(trees())
    return tree, [draw(coarsenings(tree)) for _ in range(count)]


def _merge(fine: Coarsening, labels: list[int]) -> Coarsening:
    """The coarsening that joins the groups of `fine` with equal labels."""
    leaf = fine.tree.leaf_names
    joined: dict[str, list[str]] = {}
    for group, label in zip(fine.groups, labels, strict=True):
        joined.setdefault(f"joint {label}", []).extend(leaf[i] for i in sorted(group))
    return Coarsening.from_dict(fine.tree, joined)


@given(tree_and(1))
def test_groups_partition_the_leaves_background_first(drawn):
    tree, (at,) = drawn
    for leaf in range(len(tree)):
        assert sum(leaf in group for group in at.groups) == 1
    assert at.background == 0
    assert tree.leaf_names.index(tree.remainder) in at.groups[0]
    assert (at.background, *at.foreground) == tuple(range(len(at)))


@given(tree_and(1), st.integers(0, 2**32 - 1))
def test_the_matrix_marginalises(drawn, seed):
    tree, (at,) = drawn
    p = probabilities(len(tree), 5, seed)
    q = at.matrix @ p
    np.testing.assert_allclose(q.sum(axis=0), 1)
    for row, group in zip(q, at.groups, strict=True):
        np.testing.assert_allclose(row, sum(p[i] for i in group))
    assert (at.matrix.sum(axis=0) == 1).all()


@given(tree_and(1))
def test_coarsening_by_its_own_groups_changes_nothing(drawn):
    _, (at,) = drawn
    leaf = at.tree.leaf_names
    again = Coarsening.of(at.tree, [[leaf[i] for i in sorted(g)] for g in at.groups])
    assert again.groups == at.groups
    np.testing.assert_array_equal(at.over(at), np.eye(len(at), dtype=bool))
    assert at.refines(at)
    assert _merge(at, list(range(len(at)))).groups == at.groups


@given(tree_and(1), st.data())
def test_coarsenings_compose(drawn, data):
    """Merging twice is merging once: the product of the matrices is the matrix."""
    tree, (fine,) = drawn
    middle = _merge(fine, data.draw(st.permutations(range(len(fine)))))
    coarse = _merge(middle, [data.draw(st.integers(0, 1)) for _ in middle.groups])
    over = coarse.over(middle).astype(int) @ middle.over(fine).astype(int)
    np.testing.assert_array_equal(over, coarse.over(fine))
    leaves = coarse.over(fine).astype(int) @ fine.matrix.astype(int)
    np.testing.assert_array_equal(leaves, coarse.matrix)
    assert fine.refines(middle)
    assert middle.refines(coarse)
    assert fine.refines(coarse)
    assert tree.leaves.refines(fine)


@given(tree_and(2))
def test_refining_is_a_partial_order_and_over_agrees_with_it(drawn):
    _, (one, two) = drawn
    if one.refines(two) and two.refines(one):
        assert set(one.groups) == set(two.groups)
    if two.refines(one):
        assert one.over(two).sum(axis=0).tolist() == [1] * len(two)
    else:
        with pytest.raises(LabelError, match=r"splits .* which the model does not distinguish"):
            one.over(two)


@given(tree_and(3))
def test_common_refinement_is_the_coarsest_that_refines_all(drawn):
    tree, given_ones = drawn
    cells = common_refinement(given_ones)
    assert all(cells.refines(c) for c in given_ones)
    for i, j in product(range(len(tree)), repeat=2):  # two leaves share a cell iff all agree
        together = all(any({i, j} <= g for g in c.groups) for c in given_ones)
        assert any({i, j} <= cell for cell in cells.groups) == together
    assert cells.background == 0
    assert common_refinement([cells, *given_ones]).groups == cells.groups
    assert set(common_refinement(given_ones[::-1]).groups) == set(cells.groups)


@given(tree_and(1))
def test_refinement_of_one_is_itself_and_with_the_leaves_the_leaves(drawn):
    tree, (at,) = drawn
    assert common_refinement([at]) == at
    assert common_refinement([at, at]) == at
    assert set(common_refinement([at, tree.leaves]).groups) == set(tree.leaves.groups)


def test_cells_are_named_by_the_first_coarsening_that_has_them_else_by_what_they_hold():
    one = Coarsening.of(FLAT, [["a", "b", "c"]])
    two = Coarsening.from_dict(FLAT, {"front": ["a", "b"], "back": ["c", "d"], "end": ["e", "f"]})
    assert common_refinement([one, two]).to_dict() == {
        "front": ["a", "b"], "c": ["c"], "d": ["d"], "end": ["e", "f"],
    }  # fmt: skip
    third = Coarsening.of(FLAT, [["a", "c", "e"]])
    names = common_refinement([one, third]).names
    assert set(names) == {"a+c", "b", "e", "d+f"}


def test_one_name_for_two_cells_does_not_stop_a_method():
    """Both coarsenings call what nobody named "everything else", and both of these are cells."""
    one = Coarsening.of(FLAT, [["a", "b", "e"], "f"])
    two = Coarsening.of(FLAT, [["c", "d"], "e", "f"])
    assert "everything else" in one.names
    assert "everything else" in two.names
    assert common_refinement([one, two]).to_dict() == {
        "a+b": ["a", "b"], "c+d": ["c", "d"], "e": ["e"], "f": ["f"],
    }  # fmt: skip


@given(tree_and(1))
def test_round_trips_equality_and_hash(drawn):
    tree, (at,) = drawn
    same = Coarsening.from_dict(tree, at.to_dict())
    at.matrix  # noqa: B018 - what is cached must not be part of the value
    for other in (same, pickle.loads(pickle.dumps(at))):
        assert other == at
        assert hash(other) == hash(at)
        np.testing.assert_array_equal(other.matrix, at.matrix)
    names = ("another name", *at.names[1:])
    assert Coarsening(tree, names, at.groups) != at


def test_a_coarsening_cannot_be_changed():
    at = COVID.coarsen("infection")
    with pytest.raises(dataclasses.FrozenInstanceError):
        at.names = ()
    with pytest.raises(ValueError, match="read-only"):
        at.matrix[0, 0] = True


def test_the_examples_of_the_design():
    assert COVID.coarsen("infection").to_dict() == {
        "background": ["lung", "rest"], "infection": ["infection"],
    }  # fmt: skip
    assert str(COVID.leaves) == "rest | lung | infection"
    assert COVID.top == COVID.coarsen("infection")
    assert COVID.coarsen("lung").names == ("not lung", "lung")
    assert COVID.coarsen("not lung").names == ("not lung", "lung")
    assert COVID.coarsen("lung+infection").names == ("rest", "lung+infection")
    assert FLAT.coarsen("b", "c").names == ("everything else", "b", "c")
    assert COVID.leaves.coarsen("infection") == COVID.coarsen("infection")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((), "needs at least one group"),
        (("background", "lung"), "'background' and 'lung' both hold the leaf 'lung'.*ask the two"),
        (("lung", "lung"), "'lung' and 'lung' both hold the leaf 'lung'"),
        (("lung+infection", "infection"), "both hold the leaf 'infection'"),
        (("any",), "'any' holds every leaf: a question needs two sides"),
        (("tumour",), "'tumour' is not in the label tree. It has"),
        ((3,), "3 does not denote leaves"),
        ((["lung", None],), "None does not denote leaves"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(groups, message):
    with pytest.raises(LabelError, match=message):
        COVID.coarsen(*groups)


@pytest.mark.parametrize(
    ("names", "groups", "message"),
    [
        (("a",), ({0}, {1, 2}), "one name a group; got 1 names for 2 groups"),
        (("a", "a"), ({0}, {1, 2}), "have the same name.*Give every group a name of its own"),
        (("a", "b"), ({0}, {1}), r"do not partition.*\['infection'\] are in no group"),
        (("a", "b"), ({0, 1, 2}, set()), "every group must hold a leaf"),
        (("a", "b"), ({0, 1}, {2, 3}), "do not partition"),
        (("a", "b"), ({0, 1}, {1, 2}), "'a' and 'b' both hold the leaf 'rest'"),
    ],
)
def test_groups_that_do_not_partition_are_refused(names, groups, message):
    with pytest.raises(LabelError, match=message):
        Coarsening(COVID, names, tuple(frozenset(g) for g in groups))


def test_group_names_must_be_text():
    with pytest.raises(LabelError, match="1 cannot name a group; expected non-empty text"):
        Coarsening.from_dict(COVID, {1: ["background"], "infection": ["infection"]})


def test_coarsening_a_coarsening_may_not_split_its_groups():
    with pytest.raises(LabelError, match=r"splits \['background'\].*coarser question or train on"):
        COVID.coarsen("infection").coarsen("lung")


def test_coarsenings_of_different_trees_do_not_meet():
    with pytest.raises(LabelError, match="cannot be trained together"):
        common_refinement([COVID.leaves, FLAT.leaves])
    with pytest.raises(LabelError, match="different label trees, with the leaves"):
        COVID.leaves.over(FLAT.leaves)
    with pytest.raises(LabelError, match="different label trees"):
        COVID.leaves.refines(FLAT.leaves)
    with pytest.raises(LabelError, match="at least one coarsening to train on"):
        common_refinement([])


@given(tree_and(2))
def test_a_wider_question_is_answered_by_finer_cells_only(drawn):
    tree, (one, two) = drawn
    assume(set(one.groups) != set(two.groups))
    cells = common_refinement([one, two])
    for at in (one, two):
        rebuilt = at.over(cells).astype(int) @ cells.matrix.astype(int)
        np.testing.assert_array_equal(rebuilt, at.matrix)
    assert len(cells) >= max(len(one), len(two))
    assert len(cells) <= len(tree)
