"""The tree: what lies below what, that it cannot be changed, and what is refused."""

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from label_strategies import trees

from hinterland.labels import LabelError, LabelTree

COVID = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})


def _path(tree: LabelTree, name: str | None) -> set[str]:
    """The node and all nodes above it, by walking up."""
    return set() if name is None else {name} | _path(tree, tree.parent(name))


@given(trees())
def test_below_is_what_walking_up_from_the_leaves_says(tree):
    for node in tree.nodes:
        expected = {i for i, leaf in enumerate(tree.leaf_names) if node in _path(tree, leaf)}
        assert tree.leaves_under(node) == expected


@given(trees())
def test_children_partition_their_parent(tree):
    for node in (None, *tree.nodes):
        children = tree.children(node)
        assert all(tree.parent(child) == node for child in children)
        if children:
            everything = tree.all_leaves if node is None else tree.leaves_under(node)
            assert sum(len(tree.leaves_under(c)) for c in children) == len(everything)
            assert frozenset().union(*(tree.leaves_under(c) for c in children)) == everything


@given(trees())
def test_node_of_is_the_lowest_node_with_these_leaves(tree):
    for node in tree.nodes:
        found = tree.node_for(tree.leaves_under(node))
        assert tree.leaves_under(found) == tree.leaves_under(node)
        assert node in _path(tree, found)
        assert not any(
            tree.leaves_under(c) == tree.leaves_under(found) for c in tree.children(found)
        )
    every_node = {tree.leaves_under(n) for n in tree.nodes}
    for i in range(len(tree)):
        for j in range(i):
            pair = frozenset({i, j})
            assert (tree.node_for(pair) is None) == (pair not in every_node)


@given(trees())
def test_equal_trees_are_made_of_dict_pickle_and_copy(tree):
    same = LabelTree(tree.to_dict(), remainder=tree.remainder, virtual=tree.virtual)
    for other in (same, pickle.loads(pickle.dumps(tree)), copy.deepcopy(tree)):
        assert other == tree
        assert hash(other) == hash(tree)
        assert other.leaf_names == tree.leaf_names
    assert {tree: 1}[same] == 1
    renamed = {("renamed" if k == tree.roots[0] else k): v for k, v in tree.to_dict().items()}
    assert LabelTree(renamed) != tree


def test_order_remainder_and_virtual_classes_make_another_tree():
    assert LabelTree({"a": {}, "b": {}}) != LabelTree({"b": {}, "a": {}})
    assert LabelTree({"a": {}, "b": {}}) != LabelTree({"a": {}, "b": {}}, remainder="b")
    assert LabelTree({"a": {}, "b": {}}) != LabelTree({"a": {}, "b": {}}, virtual=("b",))
    assert LabelTree({"a": {}, "b": {}}) != "a tree"


@pytest.mark.parametrize("name", ["leaf_names", "remainder", "virtual", "_children", "new"])
def test_a_tree_cannot_be_changed(name):
    tree = LabelTree({"a": {}, "b": {}})
    with pytest.raises(AttributeError, match="immutable"):
        setattr(tree, name, ())
    with pytest.raises(AttributeError, match="immutable"):
        delattr(tree, name)
    assert tree == LabelTree({"a": {}, "b": {}})


def test_a_tree_does_not_follow_the_mapping_it_came_from():
    nodes = {"a": {"c": {}, "d": {}}, "b": {}}
    tree = LabelTree(nodes)
    nodes["a"]["e"] = {}
    tree.to_dict()["a"].clear()
    assert tree.leaf_names == ("c", "d", "b")


def test_a_pickled_tree_is_found_again_in_another_process():
    """Text hashes differ between processes, so that a stored hash would not do."""
    hash(COVID)
    code = (
        "import pickle, sys; from hinterland.labels import LabelTree\n"
        f"tree = pickle.loads({pickle.dumps(COVID)!r})\n"
        "twin = LabelTree({'background': {'lung': {}, 'rest': {}}, 'infection': {}})\n"
        "assert {tree: 1}[twin] == 1 and tree.leaves_under('background') == {0, 1}"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@given(trees())
def test_expressions_are_set_algebra(tree):
    assert tree.parse("any") == tree.all_leaves
    for node in tree.nodes:
        assert tree.parse(node) == tree.leaves_under(node) == tree.parse([node])
        if tree.leaves_under(node) != tree.all_leaves:
            assert tree.parse(f"not {node}") == tree.all_leaves - tree.leaves_under(node)
            assert tree.parse(f"not not {node}") == tree.leaves_under(node)
            assert tree.parse([node, f"not {node}"]) == tree.all_leaves
        for other in tree.nodes:
            union = tree.leaves_under(node) | tree.leaves_under(other)
            assert tree.parse([node, other]) == union
            assert tree.parse(["any", other]) == tree.all_leaves
            if "+" not in node + other:
                assert tree.parse(f" {node} + {other} ") == union


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("lungs", r"'lungs' is not in the label tree. It has: background, lung, rest, infection"),
        ("lung+x", "'x' is not in the label tree"),
        ("", "'' is not in the label tree"),
        ("not any", "denotes no leaf at all; say 'any' to ignore"),
        ([], "does not denote leaves; expected a node, a list of nodes, 'not NODE' or 'any'"),
        (None, "None does not denote leaves"),
        (3, "3 does not denote leaves.*Quote names"),
        (False, "False does not denote leaves"),
        (["lung", 3], "3 does not denote leaves"),
        (b"lung", "does not denote leaves"),
        ({"lung": {}}, "does not denote leaves"),
    ],
)
def test_expressions_that_denote_nothing_are_refused(expression, message):
    with pytest.raises(LabelError, match=message):
        COVID.parse(expression)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({}, r"too few leaves: \[\].*at least two classes; add the background"),
        ({"a": {}}, r"too few leaves: \['a'\]"),
        ({"a": {"b": {"c": {}}}}, r"too few leaves: \['c'\]"),
        ({"a": {"b": {}, "c": {}}, "b": {}}, "'b' stands twice.*inner nodes and leaves alike"),
        ({"a": {"a": {}, "b": {}}}, "'a' stands twice"),
        ({1: {}, "b": {}}, "1 cannot name a class.*Quote names that YAML reads as numbers"),
        ({False: {}, "b": {}}, "False cannot name a class"),
        ({None: {}, "b": {}}, "None cannot name a class"),
        ({"": {}, "b": {}}, "'' cannot name a class: use non-empty text"),
        ({"any": {}, "b": {}}, "'any' cannot name a class"),
        ({"not b": {}, "b": {}}, "'not b' cannot name a class"),
        ({"a,c": {}, "b": {}}, "commas and outer spaces are not allowed; rename it"),
        ({" a": {}, "b": {}}, "commas and outer spaces"),
        ({"a": ["b", "c"], "d": {}}, r"below 'a' came \['b', 'c'\]; expected a mapping of child"),
        ({"a": 3, "b": {}}, "below 'a' came 3"),
        (["a", "b"], r"a label tree came as \['a', 'b'\]; expected a mapping"),
        (None, "a label tree came as None"),
    ],
)
def test_trees_that_cannot_be_meant_are_refused(nodes, message):
    with pytest.raises(LabelError, match=message):
        LabelTree(nodes)


def test_remainder_and_virtual_must_be_leaves():
    nodes = {"background": {"lung": {}, "rest": {}}, "infection": {}}
    for name in ("background", "nothing", 3, ["rest"]):
        with pytest.raises(LabelError, match="is not a leaf of the tree; expected one of"):
            LabelTree(nodes, remainder=name)
    with pytest.raises(LabelError, match="virtual class 'background' is not a leaf of the tree"):
        LabelTree(nodes, virtual=("background",))


@pytest.mark.parametrize(
    ("nodes", "remainder"),
    [
        ({"background": {"lung": {}, "rest": {}}, "infection": {}}, "rest"),
        ({"lesion": {}, "background": {}}, "background"),
        ({"background": {}, "other": {}, "lesion": {}}, "other"),
        ({"lung": {}, "lesion": {}}, "lung"),
    ],
)
def test_the_usual_names_of_the_remainder_are_known(nodes, remainder):
    assert LabelTree(nodes).remainder == remainder


def test_none_is_a_leaf_as_well():
    assert LabelTree({"a": None, "b": {}}) == LabelTree({"a": {}, "b": {}})


def test_a_tree_is_drawn_with_its_marks_and_notes():
    tree = LabelTree({"background": {"lung": {}, "rest": {}}, "x": {}}, virtual=("x",))
    assert tree.draw({"lung": "10 cases"}).splitlines() == [
        "*",
        "├── background",
        "│   ├── lung  10 cases",
        "│   └── rest  (remainder)",
        "└── x  (virtual)",
    ]


def test_more_leaves_than_any_atlas_has():
    with pytest.raises(LabelError, match="has 2,049 leaves; expected at most 2,048"):
        LabelTree({f"n{i}": {} for i in range(2049)})
    assert len(LabelTree({f"n{i}": {} for i in range(2048)}).leaf_names) == 2048
