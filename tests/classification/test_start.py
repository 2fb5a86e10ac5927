"""From a folder and a table, as people have them, to a data set and the commands that follow."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer.main
import yaml
from PIL import Image

from hinterland.classification.dataset.label_table import read_label_table
from hinterland.classification.dataset.start import start
from hinterland.classification.dataset.task import parse_task
from hinterland.cli.main import app
from hinterland.data.dataset.read import read_dataset
from hinterland.types import HinterlandError

KINDS = ("normal", "benign", "malignant")


def picture(path: Path, mask: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((16, 16), 90, np.uint8)
    if mask:
        pixels[:] = 0
        pixels[4:9, 4:9] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """120 pictures of 60 patients in two folders, 12 masks, and a German semicolon table."""
    rows = ["Bild;Befund;Patient;Größe (mm)"]
    for i in range(120):
        kind = KINDS[i // 2 % 3]
        folder = tmp_path / "export" / ("a" if i < 60 else "b")
        picture(folder / f"Bild {i:03}.png")
        if kind != "normal" and i < 18:
            picture(folder / f"Bild {i:03}_mask.png", mask=True)
        rows.append(f"export/a/BILD {i:03}.PNG;{kind};p{i // 2};{i},5")
    rows.append("Bild 999.png;benign;p99;1,0")
    (tmp_path / "befunde.csv").write_text("\n".join(rows), encoding="cp1252")
    return tmp_path


def test_a_folder_becomes_a_data_set(hospital: Path) -> None:
    made = start(hospital / "export", hospital / "befunde.csv")
    assert made.root == hospital / "export-dataset"
    dataset = read_dataset(made.root)
    assert len(dataset.cases) == 120
    assert sum(c.labelled for c in dataset.cases) == 12
    case = dataset["Bild 002"]
    assert (case.scheme, case.group) == ("benign", "p1")
    assert case.image_labels["Befund"] == "benign"
    assert [case.image_labels[n] for n in ("lesion", "benign", "malignant")] == [1, 1, 0]
    assert dataset["Bild 000"].image_labels["lesion"] == 0
    said = " ".join(made.understood)
    parts = (
        "120 images, 12 of them",
        "semicolons (cp1252)",
        "'Bild' names",
        "'Befund' is asked",
        "40 benign",
        "patients are in 'Patient'",
        "1 row without an image: Bild 999",
    )
    for part in parts:
        assert part in said
    assert json.loads((made.root / "splits.json").read_text())["cases"]["Bild 002"] == {
        "patient": "p1"
    }


def test_the_split_is_stratified_and_divides_no_patient(hospital: Path) -> None:
    dataset = read_dataset(start(hospital / "export", hospital / "befunde.csv").root)
    patients = [{c.group for c in dataset.of(part)} for part in ("train", "val", "test")]
    assert [len(p) for p in patients] == [36, 12, 12]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    for part in ("val", "test"):
        counts = pd.Series([c.image_labels["Befund"] for c in dataset.of(part)]).value_counts()
        assert counts.between(6, 10).all()
        assert len(counts) == 3
        assert any(c.labelled for c in dataset.of(part))
    assert sum(c.labelled for c in dataset.train) >= 6


def test_the_commands_that_are_named_can_be_given(hospital: Path) -> None:
    made = start(hospital / "export", hospital / "befunde.csv")
    assert len(made.commands) == 3
    command = typer.main.get_command(app)
    for line in made.commands:
        words = shlex.split(line)
        assert words[0] == "hinterland"
        node, rest = command, words[1:]
        while hasattr(node, "commands") and rest[0] in node.commands:
            node, rest = node.commands[rest[0]], rest[1:]
        node.make_context(words[1], rest)  # every option is known, and none is missing
    dataset = read_dataset(made.root)
    parse_task("lesion", dataset.cases, dataset.labels.tree)
    assert "--task lesion" in made.commands[1]


def test_documented_commands_can_be_given() -> None:
    """The commands in docs/classify.md, the first of which lacked --method."""
    text = (Path(__file__).parents[2] / "docs" / "classify.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("hinterland ")]
    assert len(lines) >= 5
    command = typer.main.get_command(app)
    for line in lines:
        words = shlex.split(line)
        node, rest = command, words[1:]
        while hasattr(node, "commands") and rest[0] in node.commands:
            node, rest = node.commands[rest[0]], rest[1:]
        node.make_context(words[1], rest)


@pytest.mark.parametrize("separator", [";", ",", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_in_every_dress(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = [("Nr", "file_name", "Diagnose"), ("1", "x/A1.PNG", "naïf"), ("2", "x/a2.png", "no")]
    file = tmp_path / "t.csv"
    file.write_text("\r\n".join(separator.join(r) for r in rows), encoding=encoding, newline="")
    table = read_label_table(file, ["a1", "A2"])
    assert (table.name, table.label, table.separator) == ("file_name", "Diagnose", separator)
    assert table.answers == ("naïf", "no")
    assert table.rows["A2"]["Diagnose"] == "no"


def test_tables_that_do_not_fit_say_why(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("name,label\nq1,a\nq2,b\n")
    with pytest.raises(HinterlandError, match=r"no column names the images.*name, label.*a1"):
        read_label_table(file, ["a1"])
    file.write_text("name,label\na1,a\na1,b\n")
    with pytest.raises(HinterlandError, match="'a1' stands there twice"):
        read_label_table(file, ["a1"])
    file.write_text("name,label\na1,a\na2,a\n")
    with pytest.raises(HinterlandError, match="--column"):
        read_label_table(file, ["a1", "a2"])
    with pytest.raises(HinterlandError, match="no column 'kind'"):
        read_label_table(file, ["a1", "a2"], column="kind")


def test_images_and_masks_that_lie_right_stay_where_they_are(tmp_path: Path) -> None:
    rows = ["image,cancer"]
    for i in range(20):
        picture(tmp_path / "images" / f"i{i}.png")
        if i < 4:
            picture(tmp_path / "masks" / f"i{i}.png", mask=True)
        rows.append(f"i{i},{'yes' if i % 2 else 'no'}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    made = start(tmp_path, tmp_path / "t.csv")
    assert made.root == tmp_path
    assert yaml.safe_load((tmp_path / "labels.yaml").read_text())["schemes"] == {
        "full": {0: "background", 255: "lesion"}
    }
    assert read_dataset(tmp_path)["i1"].image_labels == {"lesion": 1, "cancer": "yes"}
    with pytest.raises(HinterlandError, match="--overwrite"):
        start(tmp_path, tmp_path / "t.csv")
    assert start(tmp_path, tmp_path / "t.csv", overwrite=True).root == tmp_path


def test_several_masks_of_an_image_are_joined(tmp_path: Path) -> None:
    rows = ["image,label"]
    for i in range(20):
        picture(tmp_path / "in" / f"i{i}.png")
        rows.append(f"i{i},{i % 2}")
    picture(tmp_path / "in" / "i1_mask.png", mask=True)
    second = np.zeros((16, 16), np.uint8)
    second[12:, 12:] = 255
    Image.fromarray(second).save(tmp_path / "in" / "i1_mask_1.png")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    made = start(tmp_path / "in", tmp_path / "t.csv", out=tmp_path / "out")
    case = read_dataset(made.root)["i1"]
    assert int((np.array(Image.open(case.label)) == 255).sum()) == 25 + 16
    assert made.commands[0].startswith("hinterland classify train")  # one mask is no training set
