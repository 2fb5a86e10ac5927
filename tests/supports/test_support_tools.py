"""The foreign tools: against fakes of their interface, and their words where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import fake_tools
import numpy as np
import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.integrity.check import check_dataset
from hinterland.data.io.volume import read_label, read_volume, write_label
from hinterland.phantoms.dataset import make_phantoms
from hinterland.supports.add import Options, add_supports, choose_cases
from hinterland.supports.sources.foreign import Worker, interpreter
from hinterland.supports.sources.masks import MasksOnDisk
from hinterland.supports.sources.nninteractive import ClicksFromFile, ClicksFromMasks, NnInteractive
from hinterland.supports.sources.nnunet_model import NnUNetModel
from hinterland.supports.sources.tools import TotalSegmentator, VIBESegmentator
from hinterland.types import HinterlandError

ACCEPTED = Options(accept_licence=True)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    folder = tmp_path / "tools"
    folder.mkdir()
    fake_tools.install(folder, monkeypatch)
    return folder


def add(dataset: Path, source, out: Path, patterns=None, options=ACCEPTED):
    """What the fakes see is in the label files beside the images; read under the scheme `lesion`
    these annotate the lesion only."""
    data = read_dataset(dataset)
    data = data.replace(cases=tuple(c.with_scheme("lesion") for c in data.cases))
    try:
        return add_supports(data, source, out, choose_cases(data), patterns, options)
    finally:
        source.close()


def same_as(truth: Path, out: Path, structures: dict[str, int]) -> None:
    """The structures are where the truth has them, and the lesion has kept its place."""
    data = read_dataset(out)
    for case in data.train:
        ours, meaning = read_label(case.label).array, data.labels.scheme(case.scheme).label_values
        truly = read_label(truth / "labelsTr" / case.label.name).array
        for node, value in {**structures, "lesion": 5}.items():
            integers = [v for v, s in meaning.items() if s == data.labels.tree.leaves_under(node)]
            np.testing.assert_array_equal(np.isin(ours, integers), truly == value)
    report = check_dataset(out, workers=0)
    assert report.ok, str(report)


def test_totalsegmentator(truth, tools, tmp_path):
    fake_tools.add_weights(tools)
    source = TotalSegmentator("total_mr", device="cpu", roi=True)
    add(truth, source, tmp_path / "out", ["liver_left=liver", "colon", "spine=back"])
    same_as(truth, tmp_path / "out", {"liver": 1, "colon": 3, "back": 4})
    record = json.loads((tmp_path / "out" / "supports" / "provenance.json").read_text())
    assert record["source"]["version"] == "2.18.0"
    assert record["source"]["task"] == "total_mr"
    assert record["licence"]["name"].startswith("TotalSegmentator")


def test_vibesegmentator(truth, tools, tmp_path):
    fake_tools.add_weights(tools)
    source = VIBESegmentator(weights=tools / "vibe", device="cpu")
    add(truth, source, tmp_path / "out", ["spleen", "liver"])
    same_as(truth, tmp_path / "out", {"liver": 1, "spleen": 2})
    with pytest.raises(HinterlandError, match=r"unused.*picks nothing"):
        add(truth, VIBESegmentator(weights=tools / "vibe"), tmp_path / "more", ["unused*"])


def test_nninteractive_clicks_inside_the_structures(tools, tmp_path):
    """The images are the structures themselves, so that one click finds all of one."""
    fake_tools.add_weights(tools)
    flat = make_phantoms(tmp_path / "flat", (2, 1, 0), size=20)
    for image in (flat / "imagesTr").iterdir():
        label = read_label(flat / "labelsTr" / image.name.replace("_0000", ""))
        write_label(image, label.array[0] * 10, like=label, overwrite=True)
    names = [c.name for c in read_dataset(flat).cases]
    masks = MasksOnDisk(flat, names)
    source = NnInteractive(ClicksFromMasks(masks, 7, seed=1), device="cpu")
    add(flat, source, tmp_path / "out", ["spine", "decoy"])
    same_as(flat, tmp_path / "out", {"spine": 4, "decoy": 2})
    record = json.loads((tmp_path / "out" / "supports" / "provenance.json").read_text())
    assert record["source"]["count"] == 7
    assert record["source"]["licence"] == "CC BY-NC-SA 4.0"


def test_nninteractive_takes_clicks_of_a_file(truth, tools, tmp_path):
    fake_tools.add_weights(tools)
    label = read_label(truth / "labelsTr" / "phantom_001.nii.gz").array[0]
    z, y, x = np.argwhere(label == 4)[0].tolist()
    table = tmp_path / "clicks.csv"
    table.write_text(f"case,structure,x,y,z,positive\nphantom_001,spine,{x},{y},{z},1\n")
    add(truth, NnInteractive(ClicksFromFile(table), device="cpu"), tmp_path / "out")
    data = read_dataset(tmp_path / "out")
    tree = data.labels.tree
    array = read_label(data["phantom_001"].label).array[0]
    meaning = data.labels.scheme(data["phantom_001"].scheme).label_values
    assert meaning[int(array[z, y, x])] == tree.leaves_under("spine")
    other = data.labels.scheme(
        data["phantom_000"].scheme
    ).label_values  # no clicks: nothing is said
    assert other[0] == tree.leaves_under("background")
    for wrong, words in (("99,0,0,1", "outside of the image"), ("1,1,1,0", "no positive click")):
        table.write_text(f"case,structure,x,y,z,positive\nphantom_001,spine,{wrong}\n")
        with pytest.raises(HinterlandError, match=words):
            add(truth, NnInteractive(ClicksFromFile(table)), tmp_path / "no")


def test_no_weights_one_message(truth, tools, tmp_path):
    masks = MasksOnDisk(truth, [c.name for c in read_dataset(truth).cases])
    sources = {
        r"Dataset850_part1 \(https://github.com/.*zip\).*into .*weights": (
            TotalSegmentator("total_mr"), ["spine"]),
        r"example.org/v1.0.0/100.zip.*unpack it as .*Dataset100": (VIBESegmentator(), ["spine"]),
        r"nnInteractive_v1.0 of https://huggingface.co/.*into .*models/nnInteractive_v1.0": (
            NnInteractive(ClicksFromMasks(masks)), ["spine"]),
    }  # fmt: skip
    for words, (source, patterns) in sources.items():
        with pytest.raises(HinterlandError, match=words):
            add(truth, source, tmp_path / "out", patterns)
    assert [p.name for p in tmp_path.iterdir()] == ["tools"]


def test_licences_are_shown_and_must_be_accepted(truth, tools, tmp_path):
    masks = MasksOnDisk(truth, [c.name for c in read_dataset(truth).cases])
    for source, words in (
        (NnInteractive(ClicksFromMasks(masks)), "NON-COMMERCIAL USE ONLY"),
        (TotalSegmentator("total_mr"), "Apache-2.0"),
        (TotalSegmentator("tissue_types_mr"), "licence number"),
        (VIBESegmentator(), "Graf et al"),
    ):
        with pytest.raises(HinterlandError, match=rf"(?s){words}.*--accept-licence"):
            add(truth, source, tmp_path / "out", ["spine"], Options())
    with pytest.raises(HinterlandError, match=r"license-academic.*--licence-number"):
        add(truth, TotalSegmentator("tissue_types_mr"), tmp_path / "out", ["fat"])


def test_what_does_not_fit_is_said_before_anything_is_computed(truth, tools, tmp_path):
    with pytest.raises(HinterlandError, match=r"no task 'liver'.*total_mr"):
        add(truth, TotalSegmentator("liver"), tmp_path / "out")
    with pytest.raises(HinterlandError, match=r"say which structures.*liver_left, liver_right"):
        add(truth, TotalSegmentator("total_mr"), tmp_path / "out")
    with pytest.raises(HinterlandError, match="--channel 3"):
        add(truth, TotalSegmentator("total_mr", channel=3), tmp_path / "out", ["spine"])
    with pytest.raises(HinterlandError, match="--roi works with"):
        TotalSegmentator("tissue_types_mr", roi=True)
    flat = make_phantoms(tmp_path / "flat", (2, 0, 0), dims=2, size=16)
    with pytest.raises(HinterlandError, match="3D scans"):
        add(flat, VIBESegmentator(), tmp_path / "out", ["spine"])


def test_a_tool_that_gives_up_costs_one_message_and_no_work(truth, tools, tmp_path):
    fake_tools.add_weights(tools)
    source = TotalSegmentator("total_mr", fast=True, device="cpu")
    with pytest.raises(HinterlandError, match=r"case phantom_002: totalsegmentator failed: System"):
        add(truth, source, tmp_path / "out", ["spine"])
    done = sorted(p.stem for p in (tmp_path / "out.partial").rglob("cases/*.json"))
    assert done == ["phantom_000", "phantom_001"]


def test_a_tool_that_dies_says_its_last_words(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nread line; echo 'out of memory' >&2; exit 9\n")
    python.chmod(0o755)
    worker = Worker(str(python), "nninteractive")
    with pytest.raises(HinterlandError, match=r"(?s)ended \(exit 9\).*out of memory"):
        worker.ask("describe")
    worker.close()
    worker.close()


def test_where_a_tool_is_looked_for(monkeypatch):
    monkeypatch.delenv("HINTERLAND_X_PYTHON", raising=False)
    with pytest.raises(HinterlandError, match=r"pip install torch X; export HINTERLAND_X_PYTHON"):
        interpreter("HINTERLAND_X_PYTHON", "nosuchpackage", "torch X")
    monkeypatch.setenv("HINTERLAND_X_PYTHON", "/nowhere/python")
    with pytest.raises(HinterlandError, match="names /nowhere/python"):
        interpreter("HINTERLAND_X_PYTHON", "nosuchpackage", "torch X")


def test_an_nnunet_folder_must_be_one(truth, tmp_path):
    with pytest.raises(HinterlandError, match=r"plans.json, dataset.json"):
        NnUNetModel(tmp_path)
    (tmp_path / "fold_0").mkdir()
    (tmp_path / "plans.json").write_text("{}")
    description = {
        "labels": {"background": 0, "organ": [1, 2]},
        "channel_names": {0: "CT", 1: "PET"},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    model = NnUNetModel(tmp_path)
    assert model.names == ("organ",)
    assert model.licence is None
    with pytest.raises(HinterlandError, match=r"2 channel\(s\) \(CT, PET\)"):
        add(truth, model, tmp_path / "out")
    (tmp_path / "LICENSE").write_text("CC BY-NC 4.0\nlong text")
    with pytest.raises(HinterlandError, match=r"(?s)CC BY-NC 4.0.*--accept-licence"):
        add(truth, NnUNetModel(tmp_path), tmp_path / "out", options=Options())


def test_one_channel_of_several_is_handed_on(tmp_path):
    from hinterland.data.io.volume import Volume, write_probabilities
    from hinterland.supports.sources.tools import as_nifti
    from hinterland.types import Case

    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    like = Volume(array, np.diag([-2.0, -2, 3, 1]))
    path = write_probabilities(tmp_path / "case.mha", array, like=like)
    found = read_volume(as_nifti(Case("case", (path,)), 1, tmp_path))
    np.testing.assert_allclose(found.array[0], array[1], rtol=1e-6)
    np.testing.assert_allclose(found.affine, like.affine)
