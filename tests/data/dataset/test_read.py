"""From a folder to cases."""

from __future__ import annotations

import os
from pathlib import Path

import broken as make
import numpy as np
import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.integrity.check import check_dataset
from hinterland.labels import LabelSpec
from hinterland.types import HinterlandError

DATA = Path(os.environ.get("HINTERLAND_DATA", Path(__file__).parents[4] / "shared/data"))


def test_nnunet_layout(tmp_path: Path) -> None:
    data = read_dataset(make.nnunet(tmp_path / "Dataset001_Toy"))
    assert data.name == "Dataset001_Toy"
    assert data.channels == ("T1", "T2")
    assert [c.name for c in data.train] == ["b1", "a1", "a2", "c1"]  # the order of splits.json
    assert [c.name for c in data.test] == ["t1"]
    case = data["a1"]
    assert [p.name for p in case.images] == ["a1_0000.nii.gz", "a1_0001.nii.gz"]
    assert case.label is not None
    assert case.label.name == "a1.nii.gz"
    assert (case.scheme, case.group, case.split, case.labelled) == ("full", "a1", "train", True)
    assert data.labels.tree.leaf_names == ("background", "organ", "lesion")
    assert data.spacing_known


def test_without_splits_the_folders_say_who_tests(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "splits.json").unlink()
    data = read_dataset(root)
    assert [c.name for c in data.train] == ["a1", "a2", "b1", "c1"]
    assert [c.name for c in data.test] == ["t1"]


def test_splits_decide_over_folders(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    make.edit_json(root / "splits.json", train=["t1", "a1", "a2"], val=["b1"], test=["c1"])
    data = read_dataset(root)
    assert [c.split for c in data.cases] == ["train", "train", "train", "val", "test"]
    assert data.train[0].name == "t1"


def test_unlabelled_cases(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "labelsTr/a1.nii.gz").unlink()
    (root / "labelsTs/t1.nii.gz").unlink()
    make.edit_json(root / "splits.json", train=["b1", "a2", "c1"])
    data = read_dataset(root)
    assert (data["a1"].scheme, data["a1"].labelled, data["a1"].split) == ("none", False, "train")
    assert [c.name for c in data.train] == ["b1", "a2", "c1", "a1"]
    assert (data["t1"].scheme, data["t1"].split) == ("none", "test")


def test_a_listed_case_without_label_is_refused_unless_said_so(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "labelsTr/a1.nii.gz").unlink()
    with pytest.raises(HinterlandError, match=r"a1: .*splits\.json.*scheme: none"):
        read_dataset(root)
    (root / "labels.yaml").write_text(make.LABELS_YAML + "cases: {a1: {scheme: none}}\n")
    assert not read_dataset(root)["a1"].labelled


def test_labels_yaml_sets_scheme_domain_and_group(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "labels.yaml").write_text(
        make.LABELS_YAML.replace("schemes: {full", "schemes: {lesion: {0: background, 2: lesion}, "
                                 "image: {}, full")
        + "group_pattern: '^([a-z])'\n"
        "spacing: unknown\n"
        "cases: {'a*': {scheme: lesion, domain: hospital_b}, a2: {group: x}, "
        "b1: {scheme: image}}\n"
    )  # fmt: skip
    data = read_dataset(root)
    assert {c.name: c.group for c in data.cases} == {
        "a1": "a", "a2": "x", "b1": "b", "c1": "c", "t1": "t",
    }  # fmt: skip
    assert data["a1"].scheme == data["a2"].scheme == "lesion"
    assert data["a1"].domain == "hospital_b"
    assert data["c1"].domain == ""
    assert (data["b1"].scheme, data["b1"].label) == ("image", None)
    assert data["c1"].scheme == "full"
    assert not data.spacing_known


def test_labels_by_path_and_by_value(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    path = tmp_path / "other.yaml"
    path.write_text(make.LABELS_YAML)
    by_path = read_dataset(root, path)
    assert by_path.labels.tree.leaf_names == ("organ", "rest", "lesion")
    assert read_dataset(root, LabelSpec.load(path)).labels == by_path.labels


def test_patients_from_splits_json(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    make.edit_json(
        root / "splits.json", train=["b1", "a1", "a2", "c1"], cases={"a1": {"patient": "p7"}}
    )
    groups = {c.name: c.group for c in read_dataset(root).cases}
    assert groups == {"a1": "p7", "a2": "a2", "b1": "b1", "c1": "c1", "t1": "t1"}


def test_patient_lists_name_the_beginnings_of_cases(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("p1_ed", "p1_es", "p10_ed"):
        make.picture(root / f"images/{name}.png", np.arange(72, dtype=np.uint8).reshape(8, 9))
        make.picture(root / f"masks/{name}.png", np.eye(8, 9, dtype=np.uint8))
    make.write_json(
        root / "splits.json",
        {"train": ["p1_ed", "p1_es", "p10_ed"], "train_patients_in_order": ["p1", "p10"]},
    )
    assert [c.group for c in read_dataset(root).cases] == ["p1", "p1", "p10"]


@pytest.mark.parametrize("foreground", [1, 255])
def test_plain_folders(foreground: int, tmp_path: Path) -> None:
    data = read_dataset(make.plain(tmp_path / "set", foreground))
    assert [c.name for c in data.train] == ["p0", "p1", "p2", "p3"]
    assert data.channels == ("grey",)
    assert not data.spacing_known  # pictures know no millimetres
    spec = data.labels
    assert spec.tree.leaf_names == ("background", "foreground")
    assert spec.scheme("full").label_values == {0: frozenset({0}), foreground: frozenset({1})}
    assert spec.target.names == ("background", "foreground")


def test_plain_folders_with_several_classes(tmp_path: Path) -> None:
    root = make.plain(tmp_path / "set")
    make.picture(root / "masks/p1.png", np.full((8, 9), 3, np.uint8))
    spec = read_dataset(root).labels
    assert spec.tree.leaf_names == ("background", "class1", "class3")


def test_plain_colour_other_endings_and_mask_suffix(tmp_path: Path) -> None:
    root = tmp_path / "set"
    picture = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    make.picture(root / "images/x.jpg", picture)
    make.picture(root / "images/y.tif", picture)
    make.picture(root / "images/z.bmp", picture)
    make.picture(root / "labels/x.png", np.eye(8, 9, dtype=np.uint8))
    make.picture(root / "labels/y_mask.png", np.eye(8, 9, dtype=np.uint8))
    data = read_dataset(root)
    assert data.channels == ("R", "G", "B")
    assert [c.labelled for c in data.cases] == [True, True, False]


def test_plain_nifti_with_numbered_channels(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("v1", "v2"):
        for channel in (0, 1):
            make.nifti(root / f"images/{name}_000{channel}.nii.gz", make.image_array(channel))
        make.nifti(root / f"masks/{name}.nii.gz", make.label_array())
    data = read_dataset(root)
    assert [c.name for c in data.cases] == ["v1", "v2"]
    assert data.channels == ("channel0", "channel1")
    assert len(data["v1"].images) == 2
    assert data.spacing_known


def test_rgb_pictures_in_nnunet_layout(tmp_path: Path) -> None:
    root = tmp_path / "set"
    picture = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    make.picture(root / "imagesTr/a_0000.png", picture)
    make.picture(root / "labelsTr/a.png", np.eye(8, 9, dtype=np.uint8))
    make.write_json(
        root / "dataset.json",
        {"channel_names": {"0": "R", "1": "G", "2": "B"}, "file_ending": ".png",
         "labels": {"background": 0, "road": 1}},
    )  # fmt: skip
    data = read_dataset(root)
    assert data.channels == ("R", "G", "B")
    assert len(data["a"].images) == 1


def test_image_labels(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "labels.csv").write_text(
        "name,lesion,organ,site\na1,1,,north\nb1,0.0,1,\npat,0,1,south\n"
    )
    outside = tmp_path / "labels.yaml"
    outside.write_text(
        make.LABELS_YAML + "image_labels: labels.csv\ncases: {c1: {group: pat}, a1: {group: pat}}\n"
    )
    data = read_dataset(root, outside)  # the CSV is not beside labels.yaml: the data set's is read
    assert data["a1"].image_labels == {"lesion": 1, "organ": 1, "site": "north"}  # case over group
    assert data["b1"].image_labels == {"lesion": 0, "organ": 1}
    assert data["c1"].image_labels == {"lesion": 0, "organ": 1, "site": "south"}
    assert data["a2"].image_labels == {}


def test_all_errors_are_in_the_exception(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "imagesTr/a1_0001.nii.gz").unlink()
    make.edit_json(root / "splits.json", test=["t1", "nobody"])
    with pytest.raises(HinterlandError) as info:
        read_dataset(root)
    assert "T2" in str(info.value)
    assert "nobody" in str(info.value)
    with pytest.raises(HinterlandError, match="there is no folder"):
        read_dataset(tmp_path / "nowhere")


def test_files_that_are_listed_are_never_left_out(tmp_path: Path) -> None:
    """Links whose content was not fetched (git-annex) are errors, not cases less."""
    root = make.nnunet(tmp_path / "set")
    for file in ("imagesTr/a2_0000.nii.gz", "labelsTr/b1.nii.gz", "imagesTs/t1_0001.nii.gz"):
        (root / file).unlink()
        (root / file).symlink_to(f"../.git/annex/objects/{Path(file).name}")
    assert [c.name for c in read_dataset(root).cases] == ["b1", "a1", "a2", "c1", "t1"]
    found = {p.case: p for p in check_dataset(root, workers=0).errors}
    assert {c: p.code for c, p in found.items()} == dict.fromkeys(
        ("a2", "b1", "t1"), "missing-file"
    )
    assert "git annex get" in found["a2"].message


@pytest.mark.parametrize("name", ["labels.yaml", "splits.json", "dataset.json"])
def test_a_file_that_says_how_to_read_is_not_left_out_either(name: str, tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / name).unlink(missing_ok=True)
    (root / name).symlink_to("../.git/annex/objects/content")
    with pytest.raises(HinterlandError, match=f"{name}.*cannot be read|{name}: there is no such"):
        read_dataset(root)


EXPECTED = {  # train, val, test, channels, leaves, groups
    "BUSI": (546, 78, 156, 1, 2, 780),
    "Dataset004_Hippocampus": (200, 0, 60, 1, 3, 260),
    "Dataset027_ACDC": (140, 20, 40, 1, 4, 100),
    "Dataset101_LA_half": (80, 0, 20, 1, 2, 100),
    "Dataset115_COVID19CT": (10, 0, 5, 1, 3, 14),
    "Dataset116_MyoPS": (28, 0, 7, 3, 6, 35),
    "MoNuSeg": (24, 6, 14, 3, 2, 44),
    "STU": (28, 0, 14, 1, 2, 42),
}


@pytest.mark.data
@pytest.mark.parametrize("name", EXPECTED)
def test_real_data_sets(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not there")
    data = read_dataset(DATA / name)
    found = (
        len(data.train), len(data.val), len(data.test), len(data.channels),
        len(data.labels.tree), len({c.group for c in data.cases}),
    )  # fmt: skip
    assert found == EXPECTED[name]
    assert all(c.labelled for c in data.cases)
    if name == "Dataset027_ACDC":  # the order in which SSL4MIS takes its labelled patients
        assert list(dict.fromkeys(c.group for c in data.train))[:7] == [
            f"patient{n}" for n in ("099", "038", "050", "100", "058", "021", "049")
        ]
