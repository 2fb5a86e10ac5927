"""The page, its tables, plots and pictures."""

from __future__ import annotations

import base64
import io
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from report_study import make_study

from hinterland.data.io.volume import Volume
from hinterland.evaluation.metrics.overlap import Counts
from hinterland.evaluation.metrics.registry import METRICS, better
from hinterland.report import format as fmt
from hinterland.report.breakdown import (
    cases_without_breakdowns,
    lesion_size_breakdowns,
    subgroup_breakdowns,
)
from hinterland.report.compare import compare
from hinterland.report.comparison import Comparison
from hinterland.report.gallery.gallery import Choice, choose, exhibit
from hinterland.report.gallery.source import GallerySource, _Display
from hinterland.report.plots.figures import plot_paired
from hinterland.report.results import Result
from hinterland.report.runs import arms_of, read_runs
from hinterland.report.tables import escape_latex, latex_table, markdown_table
from hinterland.types import HinterlandError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_study(tmp_path_factory.mktemp("study"), cases=6, patients=3)


@pytest.fixture(scope="module")
def made(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(runs, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def page(made: Comparison) -> str:
    return made.report.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """All start tags, and whether every element that must be closed is."""

    VOID = ("meta", "link", "br", "input", "image", "path", "use", "img", "rect", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.stack.pop() == tag


def test_page_is_whole_and_refers_to_nothing_outside(page: str) -> None:
    tags = Tags(page)
    assert tags.stack == []
    for tag, attributes in tags.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            target = attributes.get(name) or ""
            assert target.startswith(("#", "data:")) or not target, (tag, target)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert len(page) < 10_000_000
    ids = [a["id"] for _, a in tags.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    linked = {a["href"][1:] for _, a in tags.tags if (a.get("href") or "").startswith("#")}  # type: ignore[index]
    assert linked <= set(ids)


def test_every_section_has_content(page: str) -> None:
    sections = dict(re.findall(r'<section id="([\w-]+)">(.*?)</section>', page, re.DOTALL))
    assert list(sections) == [
        "gallery", "volumes", "results", "ranking", "cases", "distributions", "volume", "groups",
        "lesions", "false-positives", "subclasses", "training", "protocol",
    ]  # fmt: skip
    for name in ("cases", "distributions", "volume", "false-positives", "training"):
        assert 'class="plot"' in sections[name], name
    assert "vessel" in sections["false-positives"]
    assert "Validation Dice" in sections["training"]
    for text in ("6 / 2 / 6 cases", "penalty", "validation cases", "7f3a90cc41d2e001", "torch"):
        assert text in sections["protocol"]
    assert "6 (3)" in sections["results"]  # cases and patients


def test_page_is_accessible(page: str) -> None:
    tags = Tags(page)
    assert ("html", {"lang": "en"}) in tags.tags
    for tag, attributes in tags.tags:
        if tag == "svg":
            assert attributes.get("aria-label")
            assert attributes.get("role") == "img"
        if tag == "th":
            assert attributes.get("scope")
        if tag == "input" and attributes.get("type") == "range":
            assert attributes.get("aria-label")


def test_underpowered_is_printed(made: Comparison, page: str) -> None:
    assert "underpowered" in {f.code for f in made.findings}
    assert "3 test patients" in page
    assert "[underpowered] 3 test patients, fewer than 20" in str(made)


def test_gallery_shows_the_biggest_wins_and_losses(page: str, runs: tuple[Path, Path]) -> None:
    a, b = (pd.read_csv(r / "metrics.csv").set_index("case")["dice"] for r in runs)
    difference = (b - a).sort_values()
    shown = re.findall(r"<figcaption><strong>(\w+)</strong>", page)
    wins = list(difference[difference > 0].index[::-1][:3])
    losses = list(difference[difference < 0].index[:3])
    assert shown == wins + losses


def test_choice_takes_each_case_once_and_is_bounded() -> None:
    table = pd.DataFrame(
        [
            {"case": f"c{i}", "class": k, "method": m, "difference": (i - 10) / 10 + j / 100}
            for i in range(20)
            for j, k in enumerate(("x", "y"))
            for m in ("u", "v", "w")
        ]
    )
    chosen = choose(table)
    assert len({c.case for c in chosen}) == len(chosen) <= 8
    assert {c.kind for c in chosen} == {"win", "loss"}
    assert chosen[0] == Choice("c19", "y", "u", 0.91, "win")
    flat = table.assign(difference=0.0)
    assert choose(flat) == []


def test_contours_lie_on_the_mask_and_pictures_are_bounded() -> None:
    image = np.zeros((3, 40, 20), np.float32)
    mask = np.zeros(image.shape, bool)
    mask[1, 10:14, 4:8] = True
    image[mask] = 1.0
    shown = exhibit(
        Choice("c", "x", "u", 0.1, "win"), {"u": 1.0}, image, {"reference": mask}, (5.0, 1.0, 2.0)
    )
    assert [f.number for f in shown.frames] == [1, 2, 3]
    assert max(shown.size) <= 361
    from PIL import Image

    frame = shown.frames[1]
    picture = Image.open(io.BytesIO(base64.b64decode(frame.picture.split(",")[1])))
    assert picture.size == shown.size
    corners = re.findall(r"([\d.]+),([\d.]+)", frame.contours["reference"])
    points = np.array(corners, dtype=float)
    bright = np.argwhere(np.asarray(picture.convert("L")) > 128)
    assert np.abs(points.min(axis=0) - bright.min(axis=0)[::-1]).max() < 4
    assert np.abs(points.max(axis=0) - bright.max(axis=0)[::-1]).max() < 4
    width, height = points.max(axis=0) - points.min(axis=0)
    assert width == pytest.approx(2 * height, rel=0.05)  # anisotropic in-plane spacing
    assert shown.frames[0].contours["reference"] == ""


def test_slices_are_limited_and_start_where_the_masks_disagree() -> None:
    mask = np.zeros((90, 16, 16), bool)
    mask[10:80, 4:8, 4:8] = True
    other = mask.copy()
    other[58, 4:12, 4:12] = True
    layers = {"reference": mask, "u": other}
    choice = Choice("c", "x", "u", -0.1, "loss")
    shown = exhibit(choice, {"u": 0.9}, np.zeros(mask.shape), layers, (1.0, 1.0, 1.0), most=72)
    assert len(shown.frames) == 72
    assert shown.frames[shown.start].number == 59
    assert len(exhibit(choice, {}, np.zeros(mask.shape), layers, (1, 1, 1)).frames) == 15


def test_display_orientation_and_masks(runs: tuple[Path, Path]) -> None:
    arms = arms_of([run for path in runs for run in read_runs(path)])
    source = GallerySource(arms, "target")
    image, masks, spacing = source.view("case00", "lesion")
    assert source.trouble == ""
    assert list(masks) == ["reference", "supervised", "backsplit"]
    assert spacing == (4.0, 1.5, 1.5)
    assert image[masks["reference"]].mean() > 0  # lesions are bright: image and mask are aligned
    table = arms[0].table.set_index("case").loc["case00"]
    assert Counts.of(masks["supervised"], masks["reference"]).dice == pytest.approx(table["dice"])
    assert Counts.of(masks["reference"], masks["reference"]).reference == table["reference_voxels"]
    from hinterland.data.io.volume import read_label

    path = runs[0].parents[1] / "data" / "labelsTs" / "case00.nii.gz"
    stored = read_label(path).array[0] == 3  # affine looks right and front: both flip
    assert (masks["reference"] == stored[:, ::-1, ::-1]).all()


@pytest.mark.parametrize("thick", [0, 1, 2])
def test_slices_are_cut_along_the_thick_axis(thick: int) -> None:
    world = np.eye(3)
    sizes = np.ones(3)
    sizes[thick] = 5.0
    affine = np.eye(4)
    affine[:3, :3] = world * sizes
    array = np.zeros((1, 6, 7, 8), np.float32)  # z, y, x
    array[0, 5, 6, 7] = 1.0  # the corner that is up, front and right
    turn = _Display(Volume(array, affine))
    shown = turn(array[0])
    assert shown.shape[0] == (8, 7, 6)[thick]
    assert turn.spacing[0] == 5.0
    corner = np.argwhere(shown)[0]
    assert corner[1:].tolist() == [0, 0]  # row 0 is up or front, column 0 is right or front
    mirrored = Volume(array[:, ::-1], affine @ np.diag([1.0, 1.0, -1.0, 1.0]))
    assert (_Display(mirrored)(mirrored.array[0]) == shown).all()


def test_false_positives_add_up(runs: tuple[Path, Path]) -> None:
    arms = arms_of([run for path in runs for run in read_runs(path)])
    found = GallerySource(arms, "target").false_positives()["lesion"]
    for arm in arms:
        table = arm.table
        wrong = table["prediction_ml"] - table["dice"] / 2 * (
            table["prediction_ml"] + table["reference_ml"]
        )
        assert found[arm.name].sum() == pytest.approx(wrong.mean(), rel=1e-6)


def test_confusion_inside_superclasses(runs: tuple[Path, Path], page: str) -> None:
    """The binary method is left out: it knows no subclasses of the background."""
    arms = arms_of([run for path in runs for run in read_runs(path)])
    found = GallerySource(arms, "target").confusion()
    assert list(found) == ["background"]
    matrix = found["background"]
    assert list(matrix.columns) == ["lung", "vessel", "rest", "outside"]
    assert set(matrix.index.get_level_values("method")) == {arms[1].name}
    assert np.allclose(matrix.sum(axis=1), 1)
    assert 'id="subclasses"' in page
    assert f"<b>{100 * matrix.loc[(arms[1].name, 'lung'), 'lung']:.1f}</b>" in page


def test_breakdowns_hold_the_numbers_of_the_tables(runs: tuple[Path, Path]) -> None:
    arms = arms_of([run for path in runs for run in read_runs(path)])
    source = GallerySource(arms, "target")
    (sizes,) = lesion_size_breakdowns(source.lesions())
    assert [name for name, _ in sizes.rows] == [arm.name for arm in arms]
    for arm, (_, cells) in zip(arms, sizes.rows, strict=True):
        counted = [re.match(r"(\d+) of (\d+)", cell) for cell in cells]
        found, lesions = (sum(int(c[i]) for c in counted if c) for i in (1, 2))
        assert lesions == arm.table["lesions_reference"].sum()
        hits = arm.table["lesion_sensitivity"] * arm.table["lesions_reference"]
        assert found == round(hits.sum())
    half = {c: "first" if c < "case03" else "second" for c in arms[0].table["case"]}
    (table,) = subgroup_breakdowns(arms, half, "dice")
    assert table.columns == ("first (3 cases)", "second (3 cases)")
    first = arms[1].table[arms[1].table["case"] < "case03"]["dice"].mean()
    assert table.rows[1][1][0].startswith(fmt.number(first, "dice"))
    assert cases_without_breakdowns(arms) == []
    tables = [arm.table.assign(reference_voxels=0) for arm in arms]
    bare = [replace(arm, runs=(replace(arm.runs[0], table=t),))
            for arm, t in zip(arms, tables, strict=True)]  # fmt: skip
    (without,) = cases_without_breakdowns(bare)
    assert without.rows[0][1][0] == "6 of 6 (100 %)"


def test_a_column_of_a_table_of_cases_makes_groups(runs: tuple[Path, Path], tmp_path: Path) -> None:
    rows = "".join(f"case{i:02d},{'f' if i % 2 else 'm'}\n" for i in range(6))
    (tmp_path / "cases.csv").write_text("case,sex\n" + rows)
    wanted = (tmp_path / "cases.csv", "sex")
    made = compare(runs, tmp_path / "out", images=False, subgroups=wanted)
    text = made.report.read_text()
    assert "m (3 cases)" in text
    assert "By the column sex of cases.csv." in text
    with pytest.raises(HinterlandError, match="'age'"):
        compare(runs, tmp_path / "o", images=False, subgroups=(tmp_path / "cases.csv", "age"))


def test_missing_pieces_leave_their_section_out(runs: tuple[Path, Path], tmp_path: Path) -> None:
    copies = []
    for run in runs:
        copies.append(tmp_path / run.name)
        shutil.copytree(run, copies[-1])
        (copies[-1] / "log.csv").unlink()
        shutil.rmtree(copies[-1] / "predictions")
    text = compare(copies, tmp_path / "out").report.read_text()
    assert "has no folder `predictions`" in text
    assert "The runs hold no log.csv with curves." in text


def test_plot_follows_the_theme_and_names_its_points() -> None:
    wide = pd.DataFrame({"u": [0.1, 0.2], "v": [0.3, 0.1]}, index=["<a>", "b"])
    svg = plot_paired(wide, "u", "v", 1, "Dice & more", "", "k")
    root = ElementTree.fromstring(svg)
    titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["<a>: 0.100 → 0.300", "b: 0.200 → 0.100"]
    assert "var(--series-1)" in svg
    assert "var(--muted)" in svg
    assert not re.search(r"(fill|stroke): #", svg)
    assert "1 higher, 1 lower, 0 equal" in (root.get("aria-label") or "")
    assert svg == plot_paired(wide, "u", "v", 1, "Dice & more", "", "k")  # no hidden randomness


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (fmt.number(0.5124, "dice"), ".512"),
        (fmt.number(1.0, "dice"), "1.000"),
        (fmt.number(12.345, "hd95"), "12.3"),
        (fmt.number(0.04, "hd95"), "0.0"),
        (fmt.number(float("nan"), "dice"), "–"),
        (fmt.number(-0.0001, "dice"), ".000"),
        (fmt.signed(0.0421, "dice"), "+.042"),
        (fmt.signed(-0.0421, "dice"), "−.042"),
        (fmt.signed(0.0, "dice"), ".000"),
        (fmt.p_value(0.0004), "< .001"),
        (fmt.p_value(0.0123), ".012"),
        (fmt.p_value(0.25), ".25"),
        (fmt.p_value(1.0), "1.00"),
        (fmt.effect(-1.0), "−1.00"),
        (fmt.interval(0.1, 0.2, "dice", sign=True), "[+.100, +.200]"),
        (fmt.interval(None, 0.2, "dice"), ""),
    ],
)
def test_number_formats(shown: str, expected: str) -> None:
    assert shown == expected


def test_directions_agree_with_the_statistics() -> None:
    lower = {m for m in METRICS.names() if better(m, -1.0)}
    assert lower == {"hd95", "assd", "lesion_false_positives", "brats_hd95"}
    assert {m for m in METRICS.names() if better(m, 1.0) is None} == {
        "volume_error_ml", "relative_volume_difference", "lesions_reference", "lesions_prediction",
    }  # fmt: skip
    assert better("dice", 0.0) is None
    assert better("dice", float("nan")) is None


def test_tables_for_papers() -> None:
    results = [
        Result("LV & RV", "dice", "u_net", True, 24, 24, 0.5, 0.4, 0.6),
        Result("LV & RV", "dice", "b|s", False, 24, 24, 0.6, 0.5, 0.7, 0.1, -0.05, 0.2,
               0.0002, 0.0004, 0.0003, 0.8),
    ]  # fmt: skip
    tex = latex_table(results, "mm", "100 % of cases.")
    assert tex.count(r"\\") == 3
    assert r"LV \& RV & Dice & u\_net & .500 & [.400, .600]" in tex
    assert r"+.100 & [$-$.050, +.200] & $<$ .001 & +.80 & 24 \\" in tex
    assert r"\caption{100 \% of cases.}" in tex
    assert all(line.count("&") - line.count(r"\&") == 9 for line in tex.splitlines()
               if line.endswith(r"\\"))  # fmt: skip
    lines = markdown_table(results, "mm").splitlines()
    assert len({len(line) for line in lines}) == 1
    assert r"b\|s" in lines[3]
    assert escape_latex("a_b{c}\\") == r"a\_b\{c\}\textbackslash{}"
