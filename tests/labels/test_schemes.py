"""Schemes, and the table of leaf sets that voxels point into, against brute force definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_strategies import coarsenings, leaf_sets, schemes, trees

from hinterland.labels import UNLABELLED, LabelError, LabelSetTable, LabelTree, Scheme

COVID = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})
LUNG, REST, INFECTION = (frozenset({i}) for i in range(3))
FULL = Scheme("full", COVID, ((0, REST), (1, LUNG), (2, INFECTION)))
LESION = Scheme("lesion", COVID, ((0, LUNG | REST), (2, INFECTION)))
NOTHING = Scheme(UNLABELLED, COVID)


@st.composite
def tables(draw: st.DrawFn):
    tree = draw(trees())
    given_schemes = [draw(schemes(tree, name)) for name in ("full", "lesion", "third")]
    return LabelSetTable.of(tree, given_schemes), given_schemes, draw(coarsenings(tree))


@given(tables())
def test_allowed_member_and_decided_are_what_the_definitions_say(drawn):
    table, _, at = drawn
    for r, row in enumerate(table.sets):
        siblings = [s for s, o in zip(table.sets, table.schemes, strict=True)
                    if o == table.schemes[r]]  # fmt: skip
        for g, group in enumerate(at.groups):
            touches, inside = bool(row & group), row <= group
            named = any(sibling <= group for sibling in siblings)
            assert table.allowed(at)[r, g] == touches
            assert table.member(at)[r, g] == inside
            assert table.decided(at)[r, g] == ((inside or not touches) and named)


@given(tables())
def test_rows_point_at_what_each_integer_means(drawn):
    table, given_schemes, _ = drawn
    assert table.sets[0] == table.tree.all_leaves
    seen = {0}
    for scheme in given_schemes:
        rows = table.label_set_ids(scheme)
        assert {v: table.sets[r] for v, r in rows.items()} == dict(scheme.label_values)
        assert not seen & set(rows.values())
        seen |= set(rows.values())
        assert {table.schemes[r] for r in rows.values()} == {scheme.name}
    assert len(seen) == len(table)
    for row, leaves in zip(table.matrix, table.sets, strict=True):
        assert set(np.flatnonzero(row)) == leaves


@given(tables())
def test_a_scheme_decides_a_group_where_its_rows_do(drawn):
    table, given_schemes, at = drawn
    for scheme in given_schemes:
        rows = list(table.label_set_ids(scheme).values())
        for g, group in enumerate(at.groups):
            assert table.decided(at)[rows, g].any() == scheme.decides(group)


@given(tables())
def test_rows_for_pseudo_labels_decide_every_group_and_leave_the_others_alone(drawn):
    table, _, at = drawn
    wider, first = table.with_groups(at, "pseudo")
    assert first == len(table)
    np.testing.assert_array_equal(wider.member(at)[first:], np.eye(len(at), dtype=bool))
    assert wider.decided(at)[first:].all()
    np.testing.assert_array_equal(wider.decided(at)[:first], table.decided(at))
    with pytest.raises(LabelError, match="already has a scheme 'pseudo'"):
        wider.with_groups(at, "pseudo")


def test_partial_annotation_decides_only_what_its_scheme_can_say():
    table = LabelSetTable.of(COVID, [FULL, LESION, NOTHING])
    assert table.label_set_ids(FULL) == {0: 1, 1: 2, 2: 3}
    assert table.label_set_ids(LESION) == {0: 4, 2: 5}
    assert table.label_set_ids(NOTHING) == {}
    leaves = COVID.leaves
    columns = [leaves.names.index(n) for n in ("rest", "lung", "infection")]
    assert table.decided(leaves)[:, columns].astype(int).tolist() == [
        [0, 0, 0],  # any leaf
        [1, 1, 1],  # full says rest,
        [1, 1, 1],  # lung,
        [1, 1, 1],  # infection
        [0, 0, 1],  # lesion says background: not infection, but lung or rest is open
        [0, 0, 1],  # lesion says infection; it could never have said lung
    ]
    assert table.decided(COVID.coarsen("infection"))[1:].all()


def test_a_table_holds_each_scheme_once_and_no_others():
    with pytest.raises(LabelError, match="two annotation schemes have the same name"):
        LabelSetTable.of(COVID, [FULL, FULL])
    with pytest.raises(LabelError, match=r"'lesion' is not in the table, which has \['full'\]"):
        LabelSetTable.of(COVID, [FULL]).label_set_ids(LESION)
    with pytest.raises(ValueError, match="read-only"):
        LabelSetTable.of(COVID, [FULL]).matrix[0, 0] = False


def test_values_and_tables_are_hashable():
    assert hash(FULL) == hash(Scheme("full", COVID, FULL.values))
    assert len({FULL, LESION, Scheme("full", COVID, FULL.values)}) == 2
    assert hash(LabelSetTable.of(COVID, [FULL])) == hash(LabelSetTable.of(COVID, [FULL]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (((0, REST), (0, LUNG)), "gives one integer two meanings"),
        (((0, frozenset()),), r"value 0 means \[\]; expected some of the leaf numbers 0 to 2"),
        (((0, frozenset({3})),), r"value 0 means \[3\]"),
    ],
)
def test_schemes_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(LabelError, match=message):
        Scheme("s", COVID, values)


def test_values_that_the_scheme_does_not_name_are_found():
    label = np.array([[0, 2, 7], [1, 255, 7]], dtype=np.uint8)
    assert FULL.unknown(label) == (7, 255)
    assert LESION.unknown(label.astype(float)) == (1, 7, 255)
    assert FULL.unknown(np.zeros((0,), dtype=np.int16)) == ()


@given(st.data())
def test_absent_classes_leave_every_value(data):
    tree = data.draw(trees())
    scheme, absent = data.draw(schemes(tree)), data.draw(leaf_sets(tree))
    kept = {v: leaves - absent for v, leaves in scheme.values if leaves - absent}
    if kept:
        assert scheme.without(absent, "negative").label_values == kept
        assert scheme.without(absent, "negative").name == "negative"
    else:
        with pytest.raises(LabelError, match="no other class is left"):
            scheme.without(absent, "negative")


def test_a_negative_image_label_supervises_an_unlabelled_image():
    negative = NOTHING.without(INFECTION, "negative")
    assert negative.values == ((0, LUNG | REST),)
    with pytest.raises(LabelError, match=r"\['lung', 'rest', 'infection'\] are absent"):
        NOTHING.without(COVID.all_leaves, "negative")


def test_a_label_file_that_contradicts_the_image_label_is_found():
    negative = FULL.without(INFECTION, "full without infection")
    assert dict(negative.label_values) == {0: REST, 1: LUNG}
    assert negative.unknown(np.array([0, 1, 2])) == (2,)
