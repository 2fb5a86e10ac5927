"""labels.yaml: what it gives, round trips, and cases."""

from textwrap import dedent

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from label_strategies import coarsenings, schemes, trees

from hinterland.labels import (
    CaseSettings,
    LabelError,
    LabelSetTable,
    LabelSpec,
    Scheme,
    spec_from_dataset_json,
)

EXAMPLE = """
tree:
  background: {lung: {}, rest: {}}
  infection: {}
target: [infection]
schemes:
  full:   {0: rest, 1: lung, 2: infection}
  lesion: {0: background, 2: infection, 255: any}
  image:  {}
cases:
  vol0*: {scheme: lesion, domain: hospital_b}
  vol03: {group: 7}
  vol09: {scheme: none}
spacing: unknown
"""


def _spec(**changes) -> LabelSpec:
    data = yaml.safe_load(EXAMPLE) | changes
    return LabelSpec.from_dict({k: v for k, v in data.items() if v is not ...})


def test_the_example_of_the_design(tmp_path):
    (tmp_path / "labels.yaml").write_text(EXAMPLE)
    spec = LabelSpec.load(tmp_path / "labels.yaml")
    assert spec.tree.leaf_names == ("lung", "rest", "infection")
    assert spec.tree.remainder == "rest"
    assert spec.target == spec.tree.coarsen("infection")
    assert spec.default_scheme.name == "full"
    lesion = spec.scheme("lesion").label_values
    assert lesion == {0: {0, 1}, 2: {2}, 255: spec.tree.all_leaves}
    assert spec.scheme("image").values == spec.scheme("none").values == ()
    assert len(spec.label_sets) == 1 + 3 + 3
    assert not spec.spacing_known
    assert spec == _spec()
    assert LabelSpec.load(str(tmp_path / "labels.yaml")) == spec


def test_later_patterns_win_key_by_key():
    spec = _spec()
    assert spec.case_settings("vol03") == CaseSettings("lesion", "hospital_b", "7")
    assert spec.case_settings("vol09") == CaseSettings("none", "hospital_b", None)
    assert spec.case_settings("other") == CaseSettings()


def test_the_group_pattern_finds_the_patient_unless_the_case_says_so():
    spec = _spec(group_pattern=r"^(p\d+)_", cases={"p2_b": {"group": "twin"}})
    assert spec.case_settings("p1_a").group == spec.case_settings("p1_b").group == "p1"
    assert spec.case_settings("p2_b").group == "twin"
    assert _spec(group_pattern=r"p\d+", cases=...).case_settings("x_p31_a").group == "p31"
    for pattern, name in ((r"^(p\d+)_", "vol03"), (r"^(p\d+_)?vol", "vol03"), ("p*", "vol03")):
        with pytest.raises(LabelError, match="does not match the case 'vol03'; it must find the"):
            _spec(group_pattern=pattern, cases=...).case_settings(name)


def test_questions_by_text():
    spec = _spec(
        target={"lesion": "infection", "chest": {"in": ["lung", "infection"], "out": "rest"}}
    )
    tree = spec.tree
    assert spec.question("lesion") == spec.question("target") == tree.coarsen("infection")
    assert spec.question("chest").to_dict() == {"out": ["rest"], "in": ["lung", "infection"]}
    assert spec.question("leaves") == tree.leaves
    assert spec.question("top") == tree.top
    assert spec.question("lung + infection / rest") == tree.coarsen("lung + infection", "rest")
    assert spec.question("lung").names == ("not lung", "lung")
    with pytest.raises(
        LabelError, match=r"question 'x' \(named ones: lesion, chest, leaves\): 'x' is"
    ):
        spec.question("x")


def test_without_a_target_every_leaf_is_asked_for():
    assert _spec(target=...).target == _spec().tree.leaves


def test_a_slash_in_a_class_name_is_no_separator():
    spec = LabelSpec.from_dict(
        {
            "tree": {"background": {}, "prostate/uterus": {}, "bladder": {}},
            "schemes": {"full": {0: "background", 1: "prostate/uterus", 2: "bladder"}},
        }
    )
    assert spec.question("prostate/uterus").groups[1] == {1}


def test_an_unknown_scheme_is_named_with_those_there_are():
    with pytest.raises(
        LabelError, match=r"no annotation scheme 'fine'; .* full, lesion, image, none"
    ):
        _spec().scheme("fine")


def test_a_coarse_annotator_knows_only_the_top_of_the_tree():
    spec = _spec()
    coarse = spec.coarse_scheme("full")
    assert coarse.name == "full@coarse"
    background, infection = frozenset({0, 1}), frozenset({2})
    assert coarse.label_values == {0: background, 1: background, 2: infection}
    wider = spec.with_schemes(coarse)
    assert wider.scheme("full@coarse") == coarse
    assert "full@coarse" not in spec.schemes
    assert set(wider.label_sets.schemes) == {"", "full", "lesion", "full@coarse"}
    lungs = spec.coarse_scheme("full", spec.tree.coarsen("lung")).label_values
    assert lungs == {0: {1, 2}, 1: {0}, 2: {1, 2}}


@given(st.data())
def test_coarse_values_are_unions_of_the_groups_they_touch(data):
    tree = data.draw(trees())
    scheme, at = data.draw(schemes(tree)), data.draw(coarsenings(tree))
    spec = LabelSpec(tree, {"full": scheme}, {"target": at})
    for value, leaves in spec.coarse_scheme("full", at).values:
        assert scheme.label_values[value] <= leaves
        for group in at.groups:
            assert bool(group & leaves) == bool(group & scheme.label_values[value])
            assert group <= leaves or not group & leaves


@given(st.data())
def test_a_specification_comes_back_from_yaml_text(data):
    tree = data.draw(trees())
    names = data.draw(st.lists(st.sampled_from(["full", "lesion", "no", "1"]), max_size=3))
    chosen = {
        "leaves": Scheme("leaves", tree, tuple((i, frozenset({i})) for i in range(len(tree))))
    }
    chosen |= {n: data.draw(schemes(tree, n)) for n in names}
    texts = st.text("abc019_ #:*", min_size=1, max_size=4)
    cases = st.builds(CaseSettings, st.sampled_from(["none", *chosen]), texts, st.none() | texts)
    spec = LabelSpec(
        tree,
        chosen,
        {
            n: data.draw(coarsenings(tree))
            for n in data.draw(st.sets(texts, min_size=1, max_size=3))
        },
        data.draw(st.dictionaries(texts, cases, max_size=3)),
        data.draw(st.sampled_from([None, r"^(p\d+)", "[^_]*"])),
        data.draw(st.booleans()),
        data.draw(st.sampled_from([None, "labels.csv"])),
    )
    text = yaml.safe_dump(spec.to_dict(), sort_keys=False)
    again = LabelSpec.from_dict(yaml.safe_load(text))
    assert again == spec
    assert list(again.questions) == list(spec.questions)
    assert again.label_sets == spec.label_sets
    assert isinstance(again.label_sets, LabelSetTable)


def test_a_virtual_class_needs_no_supervision_and_is_kept():
    tree = {"background": {"rest": {}, "extra": {"virtual": True}}, "infection": {"virtual": False}}
    spec = _spec(tree=tree, schemes={"full": {0: "background", 1: "infection"}}, cases=...)
    assert spec.tree.virtual == {"extra"}
    assert LabelSpec.from_dict(spec.to_dict()) == spec
    child = _spec(tree={"a": {"virtual": {}, "c": {}}, "b": {}}, cases=..., target="virtual",
                  schemes={"full": {0: "virtual", 1: "b", 2: "c"}})  # fmt: skip
    assert child.tree.leaf_names == ("virtual", "c", "b")
    assert child.tree.virtual == frozenset()


def test_partial_annotations_may_supervise_a_leaf_together():
    """No value means `rest` alone, but "not lung" and "not infection" leave nothing else."""
    spec = _spec(
        schemes={"lungs": {0: "not lung", 1: "lung"}, "ills": {0: "not infection", 1: "infection"}},
        cases=...,
    )
    assert [len(s.values) for s in spec.schemes.values()] == [2, 2]


def test_an_image_label_may_be_what_supervises_a_leaf():
    partial = {"lesion": {0: "background", 2: "infection"}}
    with pytest.raises(LabelError, match="nobody can ever supervise the leaf 'lung'"):
        _spec(schemes=partial, cases=...)
    assert _spec(schemes=partial, cases=..., image_labels="labels.csv").image_labels == "labels.csv"


def test_yaml_features_that_are_fine(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text(
        dedent("""
        tree: {background: {}, lesion: {}}
        schemes:
          full: &full {0: background, 1: lesion}
          ignoring: {<<: *full, 1: any}
        cases: {"001": {scheme: ignoring}}
        """)
    )
    spec = LabelSpec.load(path)
    assert spec.scheme("ignoring").label_values == {0: {0}, 1: {0, 1}}
    assert spec.case_settings("001").scheme == "ignoring"


def test_zero_decides_which_of_the_usual_names_is_the_remainder():
    tree = {"background": {}, "other": {}, "lesion": {}}
    values = {0: "background", 1: "other", 2: "lesion"}
    told = {"tree": tree, "schemes": {"full": values}}
    spec = LabelSpec.from_dict(told)
    assert spec.tree.remainder == "background"
    assert spec.target.foreground == (1, 2)
    assert LabelSpec.from_dict({**told, "remainder": "other"}).tree.remainder == "other"
    swapped = {"full": {0: "other", 1: "background", 2: "lesion"}}
    assert LabelSpec.from_dict({**told, "schemes": swapped}).tree.remainder == "other"


def test_a_class_called_like_one_of_our_words_is_never_taken_for_it():
    labels = {"background": 0, "target": 1, "leaves": 2}
    spec = spec_from_dataset_json({"labels": labels})
    for word in ("target", "leaves", "target/background"):
        with pytest.raises(LabelError, match=r"is a class of the label tree and also our word"):
            spec.question(word)
    one = spec_from_dataset_json({"labels": {"background": 0, "target": 1}})
    assert one.question("target") == one.target  # both mean the same
    named = LabelSpec.from_dict({**spec.to_dict(), "target": {"mine": ["target"]}})
    assert named.question("mine").names == ("not target", "target")
