"""What a labels.yaml cannot mean is one LabelError: what came, what was expected, what to do."""

import copy
import string

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.labels import LabelError, LabelSpec
from hinterland.types import HinterlandError

GOOD = {
    "tree": {"background": {"lung": {}, "rest": {}}, "infection": {}},
    "target": ["infection"],
    "schemes": {
        "full": {0: "rest", 1: "lung", 2: "infection"},
        "lesion": {0: "background", 2: "infection"},
    },
    "cases": {"vol03": {"scheme": "lesion", "domain": "b", "group": "p7"}},
}
LEAVES = {"lung": {}, "rest": {}, "infection": {}}


def _refused(data, message):
    with pytest.raises(LabelError, match=message) as caught:
        LabelSpec.from_dict(data)
    assert isinstance(caught.value, HinterlandError)


@pytest.mark.parametrize("data", [None, [], "tree", 3, [GOOD]])
def test_the_whole_must_be_a_mapping(data):
    _refused(data, "expected a mapping with the keys `tree`, `schemes`")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tre", {}, r"labels.yaml has the unknown key 'tre'; it may have \['tree'"),
        (3, {}, "unknown key '3'"),
        # tree
        ("tree", None, "`tree`: a label tree came as None; expected a mapping of class names"),
        ("tree", ["a", "b"], r"`tree`: a label tree came as \['a', 'b'\]"),
        ("tree", {"infection": {}}, "`tree`: the label tree has too few leaves"),
        ("tree", {"a": {"b": {}}, "b": {}}, "`tree`: the name 'b' stands twice"),
        ("tree", {1: {}, 2: {}}, "`tree`: 1 cannot name a class.*Quote names"),
        ("tree", {False: {}, "b": {}}, "`tree`: False cannot name a class"),
        ("tree", {"a": ["b"], "c": {}}, r"`tree`: below 'a' came \['b'\]; expected a mapping"),
        ("tree", {"a": {"virtual": True, "b": {}}, "c": {}}, "virtual class 'a' is not a leaf"),
        ("tree", {"a": {"virtual": "yes"}, "c": {}}, "below 'virtual' came 'yes'"),
        ("remainder", "background", "remainder 'background' is not a leaf"),
        ("remainder", ["rest"], r"remainder \['rest'\] is not a leaf"),
        # target
        ("target", "tumour", "`target`: 'tumour' is not in the label tree. It has: background"),
        ("target", [], "`target`: a coarsening needs at least one group"),
        ("target", {}, "`target` is {}; expected a node, a list of nodes, or several questions"),
        ("target", 3, "`target` is 3"),
        ("target", [3], "`target`: 3 does not denote leaves"),
        ("target", [["lung", None]], "`target`: None does not denote leaves"),
        ("target", ["background", "lung"], "`target`: the groups 'background' and 'lung' both"),
        ("target", ["any"], "`target`: 'any' holds every leaf"),
        ("target", {"q": None}, "`target`, question 'q': None is no question; expected a node"),
        ("target", {"q": 3}, "`target`, question 'q': 3 is no question"),
        ("target", {1: "lung"}, "1 cannot name a question; .*Quote names"),
        ("target", {"q": {"a": "lung"}}, "question 'q': .* do not partition .* are in no group"),
        ("target", {"q": {1: "lung"}}, "question 'q': 1 cannot name a group"),
        ("target", {"q": {"a": 3}}, "question 'q': 3 does not denote leaves"),
        # schemes
        ("schemes", None, "`schemes` is missing or empty; .* full: {0: lung, 1: rest, 2: infec"),
        ("schemes", {}, "`schemes` is missing or empty"),
        ("schemes", ["full"], "`schemes` is missing or empty"),
        ("schemes", {"full": None}, "scheme 'full' is None; expected integer -> node name"),
        ("schemes", {"full": ["rest"]}, r"scheme 'full' is \['rest'\]"),
        ("schemes", {"none": {0: "rest"}}, "may not be called 'none': it means unlabelled"),
        ("schemes", {False: {0: "rest"}}, "False cannot name a scheme; .*Quote names"),
        ("schemes", {"full": {"0": "rest"}}, "scheme 'full': '0' came as a value of label files"),
        ("schemes", {"full": {True: "rest"}}, "True came .* expected an integer from 0 to 32767"),
        ("schemes", {"full": {1.0: "rest"}}, "1.0 came as a value"),
        ("schemes", {"full": {-1: "rest"}}, "-1 came as a value"),
        ("schemes", {"full": {0: "tissue"}}, "'full', value 0: 'tissue' is not in the label tree"),
        ("schemes", {"full": {0: None}}, "scheme 'full', value 0: None does not denote leaves"),
        ("schemes", {"full": {0: []}}, r"scheme 'full', value 0: \[\] does not denote leaves"),
        ("schemes", {"full": {0: False}}, "value 0: False does not denote leaves.*Quote names"),
        ("schemes", {"full": {0: "not any"}}, "value 0: 'not any' denotes no leaf at all"),
        ("schemes", {"image": {}}, "no scheme has any value: nothing could be learnt"),
        # cases
        ("cases", ["vol03"], r"`cases` is \['vol03'\]; expected case name or glob -> settings"),
        ("cases", {3: {}}, "cases: 3 came as a case name; expected text. .Quote names"),
        ("cases", {"v": None}, "cases: v: expected {scheme: ...}, got None"),
        ("cases", {"v": "full"}, "cases: v: expected {scheme: ...}, got 'full'"),
        ("cases", {"v": {"shceme": "full"}}, r"cases: v has the unknown key 'shceme'; it may"),
        ("cases", {"v": {"scheme": "fine"}}, r"no scheme 'fine'; there are \['full', 'les"),
        ("cases", {"v": {"scheme": ["full"]}}, r"`scheme` is \['full'\]; expected a name"),
        ("cases", {"v": {"domain": False}}, "cases: v: `domain` is False; expected a name. .Quote"),
        ("cases", {"v": {"group": 1.5}}, "cases: v: `group` is 1.5; expected a name"),
        # the rest
        ("group_pattern", "(", r"`group_pattern` '\(' is not a regular expression"),
        ("group_pattern", "a{99999999999999}", "is not a regular expression"),
        ("group_pattern", 3, "`group_pattern` is 3; expected a regular expression that finds"),
        ("group_pattern", b"p", "`group_pattern` is b'p'"),
        ("spacing", "mm", "`spacing` is 'mm'; expected `known` or `unknown`"),
        ("spacing", [], r"`spacing` is \[\]"),
        ("image_labels", 3, "`image_labels` is 3; expected the name of a CSV file"),
        ("image_labels", ["a.csv"], r"`image_labels` is \['a.csv'\]"),
    ],
)  # fmt: skip
def test_one_wrong_key_is_one_message(key, value, message):
    LabelSpec.from_dict(GOOD)  # without the change it is fine
    _refused(copy.deepcopy(GOOD) | {key: value}, message)


def test_a_missing_tree_is_named():
    _refused({"schemes": GOOD["schemes"]}, r"the key `tree` is missing; there are \['schemes'\]")


@pytest.mark.parametrize(
    ("values", "leaf", "rival"),
    [
        ({0: "rest", 1: "lung"}, "infection", "lung"),  # no value allows it
        ({0: "rest", 1: "lung", 9: "any"}, "infection", "lung"),  # only `ignore` does
        ({0: "not infection", 2: "infection"}, "lung", "rest"),  # never told apart
        ({0: "rest", 1: "lung", 2: ["lung", "infection"]}, "infection", "lung"),  # always beaten
    ],
)
def test_a_leaf_that_nobody_can_ever_supervise_is_refused(values, leaf, rival):
    data = {"tree": LEAVES, "schemes": {"full": values}}
    _refused(data, f"nobody can ever supervise the leaf '{leaf}'.* allows '{rival}' too.*virtual")
    virtual = {n: {"virtual": True} if n == leaf else {} for n in LEAVES}
    assert LabelSpec.from_dict(data | {"tree": virtual}).tree.virtual == {leaf}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tree: {a: {}, b: {}, a: {}}", "line 1: 'a' stands twice in one mapping"),
        ("tree:\n  a: {}\n  b: {}\ntree: {}", "line 4: 'tree' stands twice .*first in line 1.;"),
        (
            "tree: {a: {}, b: {}}\nschemes:\n  full:\n    0: a\n    1: b\n    0: b",
            "line 6: 0 stands twice in one mapping .first in line 4.; YAML would drop the first",
        ),
        ("schemes: {full: {1: a, 01: b}}", "1 stands twice"),
        ("cases: {v: {scheme: a}, v: {scheme: b}}", "'v' stands twice"),
        ("tree: {no: {}, yes: {}}\nschemes: {full: {0: no}}", "False cannot name a class.*Quote"),
        ("tree: {1: {}, 2: {}}\nschemes: {full: {0: 1}}", "1 cannot name a class"),
        ("tree: &t {a: *t, b: {}}\nschemes: {full: {0: a}}", "nested without end; does a YAML al"),
        ("tree: [a, b", "not readable YAML: .*line 1"),
        ("tree: {a: 2020-13-45}", "not readable YAML: month must be"),
        ("? [a, b]\n: c", "not readable YAML"),
        ("tree: !!python/object:os.system {}", "not readable YAML"),
        ("tree: \x00", "not readable YAML"),
        ("[" * 800, "nested too deeply|not readable YAML"),
        ("", "got None; expected a mapping"),
        ("- a", r"got \['a'\]; expected a mapping"),
        ("tree: {a: {}}", "too few leaves"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_meant_are_refused_by_name(tmp_path, text, message):
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    with pytest.raises(LabelError, match=f"(?s)labels.yaml: .*({message})"):
        LabelSpec.load(path)


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path):
    with pytest.raises(LabelError, match=r"nowhere.yaml: there is no such file; expected a labels"):
        LabelSpec.load(tmp_path / "nowhere.yaml")
    with pytest.raises(LabelError, match="cannot be read: Is a directory"):
        LabelSpec.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("tree: {h\u00f6hle: {}}".encode("latin-1"))
    with pytest.raises(LabelError, match=r"latin.yaml: this is not readable YAML: 'utf-8' codec"):
        LabelSpec.load(tmp_path / "latin.yaml")


# What YAML can hold, with the words that matter among the words that do not.
WORDS = st.sampled_from(
    ["lung", "rest", "infection", "background", "any", "not lung", "lung+rest", "none", "full",
     "lesion", "known", "unknown", "virtual", "target", "(", "vol*", "", "x"]
)  # fmt: skip
SCALARS = (
    WORDS | st.none() | st.booleans() | st.integers(-2, 300) | st.floats() | st.binary(max_size=2)
    | st.dates() | st.text(string.printable, max_size=3)
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(SCALARS, inner, max_size=3)
        | st.sets(WORDS, max_size=2)
    ),
    max_leaves=8,
)
KEYS = ("tree", "remainder", "target", "schemes", "cases", "group_pattern", "spacing",
        "image_labels")  # fmt: skip


def _spec_or_label_error(data) -> LabelSpec | None:
    try:
        spec = LabelSpec.from_dict(data)
    except LabelError:
        return None
    again = LabelSpec.from_dict(yaml.safe_load(yaml.safe_dump(spec.to_dict(), sort_keys=False)))
    assert again == spec
    return spec


@given(ANYTHING | st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=8))
def test_anything_gives_a_specification_or_a_label_error(data):
    _spec_or_label_error(data)


@settings(max_examples=200)
@given(st.sampled_from(KEYS), WORDS | ANYTHING)
def test_a_good_specification_with_one_strange_part(key, value):
    _spec_or_label_error(copy.deepcopy(GOOD) | {key: value})


@settings(max_examples=200)
@given(st.sampled_from(["tree", "target", "schemes", "cases"]), WORDS | SCALARS, WORDS | ANYTHING)
def test_a_good_specification_with_one_strange_entry(key, name, value):
    data = copy.deepcopy(GOOD)
    data["target"] = {"lesion": "infection"}
    data[key][name] = value
    _spec_or_label_error(data)


@settings(max_examples=200)
@given(st.sampled_from(["tree", "schemes", "cases"]), WORDS | SCALARS, WORDS | ANYTHING)
def test_a_good_specification_with_a_strange_entry_deeper_down(key, name, value):
    data = copy.deepcopy(GOOD)
    next(iter(data[key].values()))[name] = value
    _spec_or_label_error(data)


@given(st.text(string.ascii_lowercase[:3] + "{}[]:,-&*!#|>'\"\n 01", max_size=30))
def test_any_text_gives_a_specification_or_a_label_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    message = f"{path}: "
    try:
        LabelSpec.load(path)
    except LabelError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
