"""What a plain nnU-Net dataset.json means: labels, regions, ignore."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinterland.labels import LabelError, LabelSpec, LabelTree, spec_from_dataset_json


def _spec(labels) -> LabelSpec:
    return spec_from_dataset_json({"labels": labels})


def test_plain_labels_are_leaves_and_the_question_is_all_of_them():
    spec = _spec({"background": 0, "lung": 1, "infection": 2})
    assert spec.tree == LabelTree({"background": {}, "lung": {}, "infection": {}})
    assert spec.tree.remainder == "background"
    assert {v: spec.tree.node_for(s) for v, s in spec.default_scheme.values} == {
        0: "background", 1: "lung", 2: "infection",
    }  # fmt: skip
    assert spec.target == spec.tree.leaves


@pytest.mark.parametrize("name", ["other", "rest"])
@pytest.mark.parametrize("labels", [{"lung": 1}, {}, {"whole": [1, 2], "part": 2}])
def test_label_zero_is_the_background_whatever_the_others_are_called(name, labels):
    spec = _spec({"background": 0, name: 3, **labels})
    assert spec.tree.remainder == "background"
    asked = next(iter(spec.questions.values())) if labels.get("whole") else spec.target
    assert 0 in asked.groups[asked.background]
    leaves = spec.tree.leaves
    assert name in [leaves.names[i] for i in leaves.foreground]
    assert LabelSpec.from_dict(spec.to_dict()).tree.remainder == "background"


def test_the_ignore_label_means_any_leaf():
    spec = _spec({"background": 0, "lung": 1, "ignore": 2})
    assert spec.default_scheme.label_values[2] == spec.tree.all_leaves
    assert "ignore" not in spec.tree


def test_nested_regions_become_inner_nodes_and_a_question_each():
    spec = _spec({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3})
    assert spec.tree.to_dict() == {
        "background": {}, "whole": {"label 1": {}, "core": {"label 2": {}, "enhancing": {}}},
    }  # fmt: skip
    assert list(spec.questions) == ["whole", "core", "enhancing"]
    for name, question in spec.questions.items():
        assert question.groups[1] == spec.tree.leaves_under(name)
        assert len(question) == 2
    assert [spec.tree.node_for(s) for _, s in spec.default_scheme.values] == [
        "background", "label 1", "label 2", "enhancing",
    ]  # fmt: skip


def test_regions_that_overlap_without_nesting_become_questions_of_their_own():
    spec = _spec({"background": 0, "left": [1, 2], "upper": [2, 3]})
    assert spec.tree.to_dict() == {"background": {}, "label 1": {}, "label 2": {}, "label 3": {}}
    assert {name: q.to_dict() for name, q in spec.questions.items()} == {
        "left": {"not left": ["background", "label 3"], "left": ["label 1", "label 2"]},
        "upper": {"not upper": ["background", "label 1"], "upper": ["label 2", "label 3"]},
    }


@st.composite
def region_sets(draw: st.DrawFn):
    sets = draw(st.sets(st.frozensets(st.integers(1, 6), min_size=1), min_size=1, max_size=6))
    return {f"region {i}": sorted(s) for i, s in enumerate(sorted(sets, key=sorted))}


@given(region_sets())
def test_every_region_holds_exactly_its_integers(regions):
    spec = _spec({"background": 0, **regions, "ignore": 7})
    meaning = spec.default_scheme.label_values
    assert set(meaning) == {0, 7}.union(*regions.values())
    plain = all(len(integers) == 1 for integers in regions.values())
    for name, integers in regions.items():
        held = frozenset().union(*(meaning[i] for i in integers))
        groups = spec.target if plain else spec.questions[name]
        assert groups.groups[groups.names.index(name)] == held
        assert all(len(meaning[i]) == 1 for i in integers)
    assert LabelSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"0": "background", "1": "lung"}, "label '0' is 'background'.*the other way round"),
        ({"background": 1, "lung": 2}, r"'background' is \[1\]; expected 0"),
        ({"background": 0, "lung": 0}, r"'lung' holds \[0\]; expected none of 0"),
        ({"Background": 0, "lung": 1}, "'Background' holds .* which is the label `background`"),
        ({"background": 0, "lung": [0, 1]}, "'lung' holds"),
        ({"background": 0, "a": [1, 2], "ignore": 2}, r"nor of the integers of `ignore` \(\[2\]\)"),
        ({"background": 0, "a": 1, "ignore": 0}, "'ignore' is 0"),
        ({"background": 0, "a": 1, "b": 1}, "two labels have the same integers"),
        ({"background": 0, "a": -1}, "'a' is -1; expected an integer from 0 to 32767"),
        ({"background": 0, "a": 40000}, "'a' is 40000"),
        ({"background": 0, "a": True}, "'a' is True"),
        ({"background": 0, "a": 1.5}, "'a' is 1.5"),
        ({"background": 0, "a": []}, r"'a' is \[\]"),
        ({"background": 0}, "too few leaves"),
        ({}, "`labels` is {}; expected a mapping"),
        ([], r"`labels` is \[\]"),
        (None, "`labels` is None"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(labels, message):
    with pytest.raises(LabelError, match=message):
        _spec(labels)


@pytest.mark.parametrize("content", [{}, [], None, "labels"])
def test_a_dataset_json_without_labels_is_refused(content):
    with pytest.raises(LabelError, match="the key `labels` is missing"):
        spec_from_dataset_json(content)


@given(
    st.dictionaries(
        st.sampled_from(["background", "ignore", "a", "b", "label 1", "any", "not a"]),
        st.integers(-1, 4)
        | st.lists(st.integers(0, 4), max_size=3)
        | st.none()
        | st.text(max_size=2),
    )
)
def test_any_labels_give_a_specification_or_a_label_error(labels):
    try:
        spec = _spec(labels)
    except LabelError:
        return
    assert len(spec.tree) >= 2
