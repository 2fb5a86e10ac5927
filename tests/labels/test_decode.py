"""Decoding: the most probable group, and the integer it is written as."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_strategies import coarsenings, probabilities, schemes, trees

from hinterland.labels import LabelError, LabelTree, Scheme, common_refinement, decode, group_values

COVID = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})
FULL = Scheme("full", COVID, ((0, frozenset({1})), (1, frozenset({0})), (2, frozenset({2}))))


@given(st.data())
def test_decode_is_the_arg_max_of_summed_probabilities(data):
    tree = data.draw(trees())
    at, other = data.draw(coarsenings(tree)), data.draw(coarsenings(tree))
    cells = common_refinement([at, other])
    p = probabilities(len(cells), 6, data.draw(st.integers(0, 999))).reshape(len(cells), 3, 2)
    found = decode(p, cells, at)
    assert found.shape == (3, 2)
    assert found.dtype == np.uint8
    for voxel in np.ndindex(3, 2):
        sums = []
        for group in at.groups:
            inside = [i for i, cell in enumerate(cells.groups) if cell <= group]
            sums.append(sum(p[i][voxel] for i in inside))
        assert sums[found[voxel]] == pytest.approx(max(sums), abs=1e-12)


def test_groups_are_summed_before_they_are_compared():
    tree = LabelTree({"liver": {}, "spleen": {}, "kidney": {}, "lesion": {}})
    p = np.array([0.2, 0.2, 0.2, 0.4])[:, None]
    assert tree.leaves.names[decode(p, tree.leaves, tree.leaves)[0]] == "lesion"
    question = tree.coarsen("lesion")
    assert question.names[decode(p, tree.leaves, question)[0]] == "not lesion"


def test_many_groups_do_not_overflow():
    tree = LabelTree({f"n{i}": {} for i in range(300)})
    p = np.zeros((300, 2), dtype=np.float32)
    p[299, 0] = p[7, 1] = 1
    found = decode(p, tree.leaves, tree.leaves)
    assert found.tolist() == [299, 7]
    assert found.dtype == np.uint16


def test_what_cannot_be_decoded_is_refused():
    binary = COVID.coarsen("infection")
    with pytest.raises(LabelError, match="splits"):
        decode(np.full((2, 4), 0.5), binary, COVID.leaves)
    with pytest.raises(LabelError, match=r"shape \(2, 4\) came for 3 cells.*one channel a cell"):
        decode(np.full((2, 4), 0.5), COVID.leaves, binary)


@given(st.data())
def test_group_values_are_unique_and_those_of_the_file_where_it_has_them(data):
    tree = data.draw(trees())
    at, scheme = data.draw(coarsenings(tree)), data.draw(st.none() | schemes(tree))
    values = group_values(at, scheme)
    assert tuple(values) == at.names
    assert len(set(values.values())) == len(at)
    meaning = scheme.label_values if scheme else {}
    for name, group in zip(at.names, at.groups, strict=True):
        same = [v for v, leaves in meaning.items() if leaves == group]
        assert not same or values[name] == same[0]
    if at.groups[0] not in meaning.values() and not any(
        meaning.get(0) == group for group in at.groups
    ):
        assert values[at.names[0]] == 0


def test_group_values_by_hand():
    assert group_values(COVID.leaves, FULL) == {"rest": 0, "lung": 1, "infection": 2}
    assert group_values(COVID.coarsen("infection"), FULL) == {"background": 0, "infection": 2}
    assert group_values(COVID.coarsen("infection"), None) == {"background": 0, "infection": 1}
    assert group_values(COVID.coarsen("lung+infection"), FULL) == {"rest": 0, "lung+infection": 1}
    odd = Scheme("odd", COVID, ((200, frozenset({0, 1})), (0, frozenset({2}))))
    assert group_values(COVID.coarsen("infection"), odd) == {"background": 200, "infection": 0}
