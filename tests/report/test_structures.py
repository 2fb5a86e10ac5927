"""What a report says of the structures beside the target, and their pictures."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from report_study import make_study

from hinterland.evaluation.folders import Origin, evaluate_folders
from hinterland.evaluation.table import write_table
from hinterland.labels import LabelTree
from hinterland.report.compare import compare
from hinterland.report.comparison import Comparison
from hinterland.report.runs import arms_of, read_runs
from hinterland.report.supports import structure_pictures, support_dice
from hinterland.report.viewing.overlay import COLOURS


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two finished runs; the second is judged at all its cells, too, as a training would do."""
    binary, split = make_study(tmp_path_factory.mktemp("study"), cases=3, training=4)
    table = pd.read_csv(split / "metrics.csv")
    cells = evaluate_folders(
        split / "predictions", split.parents[1] / "data" / "labelsTs", at="leaves", threads=1,
        origin=Origin("backsplit", "fixed", 0),
    )  # fmt: skip
    cells["coarsening"] = "cells"
    write_table(pd.concat([table, cells]), split / "metrics.csv", overwrite=True)
    return binary, split


@pytest.fixture(scope="module")
def made(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(runs, tmp_path_factory.mktemp("out"))


def test_dice_of_supports_is_that_of_the_table_without_target_and_rest(
    runs: tuple[Path, Path], made: Comparison
) -> None:
    found = support_dice(arms_of([r for path in runs for r in read_runs(path)]))
    assert list(zip(found["method"], found["class"], strict=True)) == [
        ("backsplit", "lung"), ("backsplit", "vessel")
    ]  # fmt: skip
    table = pd.read_csv(runs[1] / "metrics.csv")
    table = table[table["coarsening"] == "cells"]
    for row in found.to_dict("records"):
        mean = table.loc[table["class"] == row["class"], "dice"].mean()
        assert row["mean"] == pytest.approx(mean)
        assert row["low"] <= row["mean"] <= row["high"]
    assert "Dice beside the target, backsplit: lung " in str(made)
    summary = json.loads((made.report.parent / "summary.json").read_text())
    assert [row["class"] for row in summary["supports"]] == ["lung", "vessel"]


def test_parameters_that_a_partition_adds_are_said(made: Comparison) -> None:
    assert "Parameters" not in str(made)  # the study's runs do not say
    told = str(replace(made, parameters=(30_000_000, 30_000_066)))
    assert "Parameters: supervised 30,000,000; backsplit +0.000 %" in told
    told = str(replace(made, parameters=(30_000_000, 30_005_400)))
    assert "backsplit +0.018 %" in told


def test_the_page_shows_every_label_of_its_first_cases(made: Comparison) -> None:
    page = made.report.read_text(encoding="utf-8")
    section = page[page.index('<section id="supports">') : page.index('<section id="results">')]
    assert section.count('<figure class="labelled"') == 3
    for title in ("image", "reference", "supervised", "backsplit"):
        assert section.count(f'<div class="scores">{title}</div>') == 3
    assert 'href="#supports"' in page


def test_a_comparison_of_binary_runs_has_no_such_section(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    again = compare([runs[0], runs[0] / "metrics.csv"], tmp_path, names=["one", "two"],
                    images=False)  # fmt: skip
    assert again.supports == ()
    assert 'id="supports"' not in again.report.read_text(encoding="utf-8")


def test_sets_of_leaves_have_one_colour_everywhere_and_the_rest_none() -> None:
    tree = LabelTree({"background": {"lung": {}, "vessel": {}, "rest": {}}, "lesion": {}})
    lung, vessel, rest, lesion = (frozenset({i}) for i in range(4))
    layers = {
        "reference": (np.array([[0, 1], [2, 3]]), {0: rest, 1: lung, 2: vessel, 3: lesion}),
        "binary": (np.array([[0, 0], [0, 1]]), {0: lung | vessel | rest, 1: lesion}),
        "organs": (np.array([[0, 1], [1, 2]]), {0: rest, 1: lung | vessel, 2: lesion}),
    }
    drawn = structure_pictures("a", "", np.zeros((2, 2)), layers, (1.0, 1.0), tree)
    assert drawn.colours == dict(
        zip(("lung", "vessel", "lesion", "lung+vessel"), COLOURS, strict=False)
    )
    seen = {title: _corners(uri) for title, uri in drawn.panels.items()}
    black = (0, 0, 0)
    assert set(seen["image"]) == {black}
    assert seen["reference"][0] == black
    assert len(set(seen["reference"])) == 4
    assert seen["binary"][:3] == [black] * 3
    assert seen["binary"][3] == seen["reference"][3] == seen["organs"][3]  # the lesion
    assert seen["organs"][1] == seen["organs"][2] not in seen["reference"]


def _corners(uri: str) -> list[tuple[int, ...]]:
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    pixels = np.asarray(picture)
    return [tuple(int(c) for c in pixels[y, x]) for y in (0, -1) for x in (0, -1)]
