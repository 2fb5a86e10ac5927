"""CSV that a spreadsheet may open: no cell runs, and names come back as they were."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinterland.classification.dataset.label_table import read_label_table
from hinterland.data.dataset.image_labels import read_image_labels
from hinterland.data.io.csv_text import csv_text, neutral, original, with_original_text
from hinterland.labels import LabelTree

SRC = Path(__file__).resolve().parents[3] / "src" / "hinterland"
FORMULAS = ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "'=1", "''=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_get_an_apostrophe(text: str):
    assert neutral(text) == f"'{text}"


@given(st.text() | st.sampled_from(FORMULAS) | st.floats(allow_nan=False) | st.integers())
def test_every_cell_comes_back_as_it_was(value):
    assert original(neutral(value)) == value
    if isinstance(value, str):
        assert not re.match(r"[=+\-@\t\r]", neutral(value))


def test_a_table_has_no_formula_in_cells_or_header():
    table = pd.DataFrame({"case": ["=a", "b"], "=2+3": ["@x", "y"], "n": [-1.5, 2.0]})
    text = csv_text(table, "%.1f")
    assert text == "case,'=2+3,n\n'=a,'@x,-1.5\nb,y,2.0\n"
    back = with_original_text(pd.read_csv(io.StringIO(text)))
    pd.testing.assert_frame_equal(back, table)


def test_readers_of_image_labels_take_the_apostrophe_away(tmp_path: Path):
    table = pd.DataFrame({"case": ["=a", "-b"], "=les": [1, 0], "kind": ["+x", "y"]})
    path = tmp_path / "labels.csv"
    path.write_text(csv_text(table))
    tree = LabelTree({"background": {}, "=les": {}})
    assert read_image_labels(path, tree) == {
        "=a": {"=les": 1, "kind": "+x"},
        "-b": {"=les": 0, "kind": "y"},
    }
    found = read_label_table(path, ["=a", "-b"], column="kind")
    assert found.answers == ("+x", "y")
    assert found.columns == ("case", "=les", "kind")


def test_no_table_is_written_around_it():
    """`to_csv` of pandas stands in one place, and each writer of the csv module is known."""
    writers = {"data/io/csv_text.py": 1}
    found = {
        str(path.relative_to(SRC)): count
        for path in SRC.rglob("*.py")
        if (count := len(re.findall(r"\.to_csv\(", path.read_text())))
    }
    assert found == writers
