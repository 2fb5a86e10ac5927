"""The examples of docs/labels.md are what the page says they are."""

import re
from pathlib import Path

import numpy as np
import yaml

from hinterland.labels import LabelSpec

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_labels_yaml_with_every_key_is_read(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text(_blocks("yaml")[0])
    spec = LabelSpec.load(path)
    keys = set(yaml.safe_load(_blocks("yaml")[0]))
    assert keys == {"tree", "remainder", "target", "schemes", "cases", "group_pattern", "spacing",
                    "image_labels", "codes"}  # fmt: skip
    assert spec.tree.virtual == {"vessel"}
    assert vars(spec.case_settings("site_b_07")) == {
        "scheme": "lesion", "domain": "hospital_b", "group": "patient7",
    }  # fmt: skip
    assert spec.case_settings("patient3_a").group == "patient3"


def test_the_questions_are_read():
    data = yaml.safe_load(_blocks("yaml")[0]) | yaml.safe_load(_blocks("yaml")[1])
    questions = LabelSpec.from_dict(data).questions
    assert [str(q) for q in questions.values()] == [
        "background | infection", "not lung+infection | lung+infection", "air | lung | ill",
    ]  # fmt: skip


def test_the_python_example_runs_and_the_tree_is_drawn_like_that():
    names: dict = {}
    code = _blocks("python")[0].replace("print(tree.draw())", "drawn = tree.draw()")
    exec(code, names)
    tree = names["tree"]
    for line in names["drawn"].splitlines():
        assert line.split("  (")[0] in PAGE
    for at in (tree.leaves, tree.coarsen("infection"), tree.coarsen("lung")):
        assert str(at) in PAGE
    p = np.full((3, 1, 2, 2), 1 / 3)
    assert names["decode"](p, names["cells"], names["lesion"]).shape == (1, 2, 2)
