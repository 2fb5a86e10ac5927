"""`hinterland new`: a labels.yaml that check reads, by asking or from the values found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cli_helpers import as_json
from PIL import Image
from typer.testing import CliRunner

from hinterland.cli.main import app
from hinterland.data.dataset.new_labels import labels_text
from hinterland.data.dataset.read import read_dataset
from hinterland.labels import LabelError, LabelSpec
from hinterland.labels.strict_yaml import parse_yaml


@pytest.fixture
def folder(tmp_path):
    """Pictures whose masks hold blocks of 0, 1, 2 and 255."""
    rng = np.random.default_rng(0)
    for name in ("p1_a", "p1_b", "p2_a"):
        mask = np.zeros((24, 24), np.uint8)
        mask[2:8, 2:8], mask[10:18, 10:18], mask[20:24, 18:24] = 1, 2, 255
        for part, array in (("images", rng.integers(0, 255, (24, 24)).astype(np.uint8)),
                            ("masks", mask)):  # fmt: skip
            (tmp_path / part).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / part / f"{name}.png")
    return tmp_path


def test_what_is_proposed_is_taken_with_yes(hinterland, folder):
    done = hinterland("new", folder, "--yes")
    spec = LabelSpec.load(folder / "labels.yaml")
    assert list(spec.tree.leaf_names) == ["background", "class1", "class2"]
    assert spec.schemes["full"].label_values[255] == spec.tree.all_leaves
    assert "└── class2" in done.stdout
    hinterland("check", folder)
    assert "exists already" in hinterland("new", folder, "--yes", code=1).stderr
    hinterland("new", folder, "--yes", "--overwrite")


def test_answers_make_support_structures_of_what_is_not_asked_for(folder):
    answers = "air\nlung\ntumour\n\ntumour\n^(p[0-9]+)\n"
    done = CliRunner().invoke(app, ["new", str(folder)], input=answers)
    assert done.exit_code == 0, done.output
    spec = LabelSpec.load(folder / "labels.yaml")
    assert spec.tree.to_dict() == {"air": {"lung": {}, "rest": {}}, "tumour": {}}
    assert str(spec.target) == "air | tumour"
    assert len({case.group for case in read_dataset(folder).cases}) == 2
    assert "├── lung" in done.output


def test_names_and_target_on_the_command_line(hinterland, folder, tmp_path):
    other = tmp_path / "other.yaml"
    found = as_json(hinterland("new", folder, "--names", "1=lung,2=tumour", "--target", "tumour",
                               "--out", other, "--json"))  # fmt: skip
    assert found["labels"]["tree"] == {"background": {"lung": {}, "rest": {}}, "tumour": {}}
    hinterland("check", folder, "--labels", other)
    wrong = hinterland("new", folder, "--names", "7=x", "--yes", code=1)
    assert "0, 1, 2, 255" in wrong.stderr


def test_names_of_a_dataset_json_are_proposed(hinterland, tmp_path):
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / part).mkdir()
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 3
    Image.fromarray(mask + 1).save(tmp_path / "imagesTr" / "a_0000.png")
    Image.fromarray(mask).save(tmp_path / "labelsTr" / "a.png")
    content = {"channel_names": {"0": "x"}, "labels": {"background": 0, "liver": 3},
               "file_ending": ".png"}  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    hinterland("new", tmp_path, "--yes")
    assert LabelSpec.load(tmp_path / "labels.yaml").tree.leaf_names == ("background", "liver")


def test_grey_levels_are_no_classes(hinterland, folder):
    for mask in (folder / "masks").iterdir():
        Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).save(mask)
    assert "grey levels" in hinterland("new", folder, "--yes", code=1).stderr


@pytest.mark.parametrize("name", ["no", "5", "a: b", "it's", "-x", "tumour (GTV)", "true"])
def test_names_that_yaml_would_read_otherwise_are_quoted(name):
    text = labels_text({0: "background", 1: name, 2: "organ"}, [name])
    spec = LabelSpec.from_dict(parse_yaml(text))
    assert name in spec.tree.leaf_names


@pytest.mark.parametrize(
    ("names", "target"),
    [({0: "background", 1: "a", 2: "a"}, ()), ({0: "background", 1: "a"}, ("b",)), ({0: "x"}, ())],
)
def test_names_that_make_no_tree_are_refused(names, target):
    with pytest.raises(LabelError, match="expected names of their own"):
        labels_text(names, target)
