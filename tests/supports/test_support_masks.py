"""Masks on disk: from the files to a data set that is clean, whole and says where it comes from."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from hinterland.data.dataset.read import read_dataset
from hinterland.data.integrity.check import check_dataset
from hinterland.data.io.files import file_stamp
from hinterland.data.io.volume import read_label, write_label
from hinterland.phantoms.dataset import make_phantoms
from hinterland.supports.add import Options, add_supports, choose_cases
from hinterland.supports.sources.masks import MasksOnDisk
from hinterland.types import HinterlandError

NODES = {"host": 1, "decoy": 2, "bowel": 3, "spine": 4}


def add(dataset, masks, out, patterns=None, options=None, wanted=None, unlabelled=False, **more):
    data = read_dataset(dataset) if isinstance(dataset, Path) else dataset
    cases = choose_cases(data, wanted, unlabelled)
    source = MasksOnDisk(masks, [c.name for c in cases], **more)
    return add_supports(data, source, out, cases, patterns, options)


def clean(out: Path) -> None:
    report = check_dataset(out, workers=0)
    assert report.ok
    assert not report.warnings, str(report)


def separate(organs: Path, folder: Path, by_case: bool) -> Path:
    """One file a structure."""
    for file in organs.glob("*.nii.gz"):
        volume, case = read_label(file), file.name.removesuffix(".nii.gz")
        for name, value in NODES.items():
            place = (case, name) if by_case else (name, case)
            path = folder / place[0] / f"{place[1]}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label(path, volume.array[0] == value, like=volume)
    return folder


def test_masks_restore_the_truth_around_the_lesion(truth, lesions, organs, tmp_path):
    stamps = {p: file_stamp(p) for p in sorted(lesions.rglob("*")) if p.is_file()}
    found = add(lesions, organs, tmp_path / "out")
    for case in read_dataset(truth).cases:
        if case.split != "test":
            ours = read_label(tmp_path / "out" / "labelsTr" / f"{case.name}.nii.gz")
            truly = read_label(case.label)
            np.testing.assert_array_equal(ours.array, truly.array)  # the lesion won, too
            np.testing.assert_allclose(ours.affine, truly.affine)
    clean(tmp_path / "out")
    assert {e["structure"]: e["cases_found"] for e in found["structures"]} == dict.fromkeys(
        NODES, 4
    )
    assert found["cases_left"] == 1
    assert stamps == {p: file_stamp(p) for p in sorted(lesions.rglob("*")) if p.is_file()}


def test_the_result_says_what_it_is(lesions, organs, tmp_path):
    out = tmp_path / "out"
    add(lesions, organs, out, ["host=organ", "spine"])
    spec = yaml.safe_load((out / "labels.yaml").read_text())
    assert spec["tree"] == {"background": {"organ": {}, "spine": {}, "rest": {}}, "lesion": {}}
    assert spec["target"] == ["lesion"]
    assert spec["schemes"]["full"] == {0: "rest", 1: "organ", 2: "spine", 5: "lesion"}
    data = read_dataset(out)
    assert {c.scheme for c in data.train} == {"full"}
    assert {c.scheme for c in data.test} == {"full@before"}
    before = data.labels.scheme("full@before").label_values[0]
    assert before == data.labels.tree.leaves_under("background")
    names = json.loads((out / "dataset.json").read_text())["labels"]
    assert names == {"background": 0, "organ": 1, "spine": 2, "lesion": 5}
    record = json.loads((out / "supports" / "provenance.json").read_text())
    assert record["structures"] == {"organ": ["host"], "spine": ["spine"]}
    assert record["source"]["layout"] == "multi-label"
    assert record["cases"] == [c.name for c in data.cases if c.split != "test"]
    assert all(p.is_symlink() for p in (out / "imagesTr").iterdir())


def test_the_quality_sheet_measures_volumes_and_overlap(truth, lesions, organs, tmp_path):
    out = tmp_path / "out"
    add(lesions, organs, out, ["host"])
    with (out / "supports" / "quality.csv").open() as file:
        rows = {r["case"]: r for r in csv.DictReader(file)}
    for case in read_dataset(truth).train:
        label = read_label(case.label)
        host, lesion = (label.array == 1).sum(), (label.array == 5).sum()
        row = rows[case.name]
        assert int(row["voxels"]) == host + lesion
        assert int(row["written"]) == host
        assert int(row["lesion_voxels"]) == int(row["annotated"]) == lesion
        assert float(row["lesion_share"]) == (1 if lesion else pytest.approx(float("nan")))
        ml = np.prod(label.spacing) / 1000
        assert float(row["volume_ml"]) == pytest.approx((host + lesion) * ml, rel=1e-5)
        assert int(row["components"]) == 1


@pytest.mark.parametrize("by_case", [True, False])
def test_one_file_a_structure(lesions, organs, tmp_path, by_case):
    folder = separate(organs, tmp_path / "masks", by_case)
    add(lesions, folder, tmp_path / "out", list(NODES))  # in the order of the multi-label files
    add(lesions, organs, tmp_path / "same")
    for file in (tmp_path / "same" / "labelsTr").iterdir():
        np.testing.assert_array_equal(
            read_label(file).array, read_label(tmp_path / "out" / "labelsTr" / file.name).array
        )


def test_a_missing_mask_is_an_error_or_says_nothing(lesions, organs, tmp_path):
    folder = separate(organs, tmp_path / "masks", by_case=True)
    (folder / "phantom_001" / "host.nii.gz").unlink()
    shutil.rmtree(folder / "phantom_002")
    with pytest.raises(HinterlandError, match=r"phantom_001 has no mask of host.*--allow-missing"):
        add(lesions, folder, tmp_path / "out", ["host", "spine"])
    assert not list(tmp_path.glob("out*"))
    add(lesions, folder, tmp_path / "out", ["host", "spine"], allow_missing=True)
    data = read_dataset(tmp_path / "out")
    tree = data.labels.tree
    background = {c.name: data.labels.scheme(c.scheme).label_values[0] for c in data.cases}
    assert background["phantom_000"] == tree.leaves_under("rest")
    assert background["phantom_001"] == tree.leaves_under("rest") | tree.leaves_under("host")
    assert background["phantom_002"] == tree.leaves_under("background")
    clean(tmp_path / "out")


def test_other_grids_are_refused_or_resampled(lesions, organs, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for file in organs.glob("*.nii.gz"):  # two voxels missing on one side, flipped on the other
        image = nib.load(file)
        flip = np.diag([-1.0, 1, 1, 1])
        flip[0, 3] = image.shape[0] - 1  # new voxel x is old voxel last - x
        array = np.asarray(image.dataobj)[2:][::-1]
        nib.save(nib.Nifti1Image(array, image.affine @ flip), masks / file.name)
    shutil.copy(organs / "dataset.json", masks)
    with pytest.raises(HinterlandError, match=r"phantom_000.*shape.*--resample"):
        add(lesions, masks, tmp_path / "out")
    add(lesions, masks, tmp_path / "out", options=Options(resample=True))
    add(lesions, organs, tmp_path / "all")
    data = read_dataset(tmp_path / "out")
    for case in data.train:
        ours = read_label(case.label).array[0]
        other = read_label(tmp_path / "all" / "labelsTr" / case.label.name).array[0]
        np.testing.assert_array_equal(ours[:, :, 2:], other[:, :, 2:])
        meaning = data.labels.scheme(case.scheme).label_values
        outside = {meaning[v] for v in np.unique(ours[:, :, :2]).tolist()}
        assert data.labels.tree.leaves_under("background") in outside  # nobody looked there
        assert data.labels.tree.leaves_under("rest") not in outside
    clean(tmp_path / "out")


def test_masks_stored_in_another_order_are_turned(lesions, organs, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for file in organs.glob("*.nii.gz"):
        turned = nib.load(file).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
        nib.save(turned, masks / file.name)
    shutil.copy(organs / "dataset.json", masks)
    add(lesions, masks, tmp_path / "out")
    add(lesions, organs, tmp_path / "all")
    for case in read_dataset(tmp_path / "out").train:
        ours = read_label(case.label)
        other = read_label(tmp_path / "all" / "labelsTr" / case.label.name)
        np.testing.assert_array_equal(ours.array, other.array)
        np.testing.assert_allclose(ours.affine, other.affine)


def test_unlabelled_cases_get_supports_only_when_asked(truth, lesions, organs, tmp_path):
    folder = tmp_path / "ds"
    shutil.copytree(lesions, folder)
    (folder / "labelsTr" / "phantom_001.nii.gz").unlink()
    spec = yaml.safe_load((folder / "labels.yaml").read_text())
    spec["cases"] = {"phantom_001": {"scheme": "none"}}
    (folder / "labels.yaml").write_text(yaml.safe_dump(spec))
    splits = json.loads((folder / "splits.json").read_text())
    assert "phantom_001" in splits["train"]
    add(folder, organs, tmp_path / "out")
    assert not read_dataset(tmp_path / "out")["phantom_001"].labelled
    add(folder, organs, tmp_path / "more", ["host"], unlabelled=True)
    data = read_dataset(tmp_path / "more")
    case, tree = data["phantom_001"], data.labels.tree
    meaning = data.labels.scheme(case.scheme).label_values
    array = read_label(case.label).array
    host = read_label(truth / "labelsTr" / "phantom_001.nii.gz").array
    inside = np.isin(host, [1, 5])
    assert {meaning[v] for v in np.unique(array[inside]).tolist()} == {
        tree.leaves_under("host") | tree.leaves_under("lesion")
    }
    assert {meaning[v] for v in np.unique(array[~inside]).tolist()} == {
        tree.all_leaves - tree.leaves_under("host")
    }
    clean(tmp_path / "more")


def test_supports_can_be_added_in_several_steps(lesions, organs, tmp_path):
    add(lesions, organs, tmp_path / "one", ["host"])
    (tmp_path / "one" / "supports").rename(tmp_path / "one" / "auxiliary")  # of an earlier version
    add(tmp_path / "one", organs, tmp_path / "two", ["decoy", "bowel", "spine"])
    add(lesions, organs, tmp_path / "all")
    both = [read_dataset(tmp_path / n) for n in ("two", "all")]
    for case in both[0].train:
        np.testing.assert_array_equal(
            read_label(case.label).array, read_label(both[1][case.name].label).array
        )
    assert both[0].labels.scheme("full") == both[1].labels.scheme("full")
    clean(tmp_path / "two")
    record = json.loads((tmp_path / "two" / "supports" / "provenance.json").read_text())
    assert record["before"]["structures"] == {"host": ["host"]}


def test_pictures_in_plain_folders(tmp_path):
    raw = make_phantoms(tmp_path / "raw", (3, 0, 0), dims=2, size=32)
    folder, masks = tmp_path / "plain", tmp_path / "masks" / "host"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    masks.mkdir(parents=True)
    for image in (raw / "imagesTr").iterdir():
        name = image.name.replace("_0000", "")
        shutil.copy(image, folder / "images" / name)
        label = read_label(raw / "labelsTr" / name)
        write_label(folder / "masks" / name, (label.array[0] == 5) * 255, like=label)
        write_label(masks / name, (label.array[0] == 1) * 255, like=label)
    found = add(folder, masks.parent, tmp_path / "out")
    assert found["integers"] == {"rest": 0, "host": 1, "foreground": 255}
    assert found["structures"][0]["median_volume_ml"] is None
    clean(tmp_path / "out")


def test_what_cannot_be_meant_is_refused(lesions, organs, tmp_path):
    with pytest.raises(HinterlandError, match="is \\(part of\\) the target lesion"):
        add(lesions, organs, tmp_path / "out", ["host=lesion"])
    with pytest.raises(HinterlandError, match="what no other class claims"):
        add(lesions, organs, tmp_path / "out", ["host=background"])
    with pytest.raises(HinterlandError, match="cannot name a class"):
        add(lesions, organs, tmp_path / "out", ["host=any"])
    with pytest.raises(HinterlandError, match=r"picks nothing.*host, decoy"):
        add(lesions, organs, tmp_path / "out", ["liver"])
    with pytest.raises(HinterlandError, match="holds no mask of these cases"):
        add(lesions, lesions / "imagesTr", tmp_path / "out")
    with pytest.raises(HinterlandError, match="there is no folder"):
        add(lesions, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(HinterlandError, match="--cases phantom_9: no case"):
        add(lesions, organs, tmp_path / "out", wanted=["phantom_9"])
    with pytest.raises(HinterlandError, match="lie inside of each other"):
        add(lesions, organs, lesions / "out")
    assert not list(tmp_path.iterdir())


def test_hidden_organs_come_back_under_an_integer_of_their_own(truth, tmp_path):
    """Read under `lesion`, the organs in the label files count as background."""
    data = read_dataset(truth)
    hidden = data.replace(cases=tuple(c.with_scheme("lesion") for c in data.cases))
    found = add(hidden, truth, tmp_path / "out", ["host"])
    ours = read_dataset(tmp_path / "out")
    assert {c.scheme for c in ours.train} == {"lesion"}
    host = found["integers"]["host"]
    assert host not in range(6)
    names = json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]
    assert names["host"] == host  # what the files hold, not what the unused scheme `full` says
    for case in ours.train:
        truly = read_label(truth / "labelsTr" / case.label.name).array
        np.testing.assert_array_equal(read_label(case.label).array == host, truly == 1)
    clean(tmp_path / "out")


def test_masks_may_be_another_data_set(truth, lesions, organs, tmp_path):
    add(lesions, truth, tmp_path / "out")
    add(lesions, truth / "labelsTr", tmp_path / "same")
    for case in read_dataset(truth).train:
        for name in ("out", "same"):
            ours = read_label(tmp_path / name / "labelsTr" / case.label.name)
            np.testing.assert_array_equal(ours.array, read_label(case.label).array)


def test_a_label_file_of_another_data_set_is_refused(lesions, organs, tmp_path):
    masks = tmp_path / "masks"
    shutil.copytree(organs, masks)
    (masks / "phantom_001.nii.gz").write_bytes(b"not an image")
    with pytest.raises(HinterlandError, match=r"phantom_001.*cannot be read"):
        add(lesions, masks, tmp_path / "out")
