"""check, predict and import on DICOM: round trips to the voxel, and nothing of the patient told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import FAST, as_json

hd = pytest.importorskip("highdicom", reason="highdicom is not installed")
import pydicom  # noqa: E402
from dicom_files import OBLIQUE, patched, write_enhanced, write_outlines, write_series  # noqa: E402

from hinterland.data.dataset.read import read_dataset  # noqa: E402
from hinterland.data.dicom.series import find_series  # noqa: E402
from hinterland.data.io.volume import read_label, read_volume  # noqa: E402
from hinterland.phantoms.dataset import make_phantoms  # noqa: E402

SECRETS = ("Secret", "Person", "MRN4711", "Hidden", "1950")
LABELS = """
tree: {background: {host: {}, decoy: {}, bowel: {}, spine: {}, rest: {}}, lesion: {}}
target: [lesion]
schemes: {full: {0: rest, 1: host, 2: decoy, 3: bowel, 4: spine, 5: lesion}}
codes: {lesion: "SCT:52988006:Lesion", host: "99X:7:The host"}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, hinterland) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    data = make_phantoms(folder / "data", (3, 1, 1), size=16)
    (folder / "labels.yaml").write_text(LABELS)
    hinterland("train", data, "--labels", folder / "labels.yaml", "--method", "backsplit",
               "--fold", "fixed", "--dims", 3, "--steps", 2, "--set", "patch_size=[16, 16, 16]",
               "--out", folder / "run", *FAST)  # fmt: skip
    return folder / "run"


def scan(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, (9, 20, 18)).astype(np.uint16)


@pytest.fixture
def archive(tmp_path) -> Path:
    """An oblique series and an enhanced file in one tree of folders."""
    write_series(tmp_path / "scans" / "a", scan(0), directions=OBLIQUE, intercept=0)
    write_enhanced(tmp_path / "scans" / "deep" / "er" / "file", scan(1))
    return tmp_path / "scans"


def everything(folder: Path) -> bytes:
    """All names and bytes below a folder, DICOM-SEG left out, which names the patient."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".dcm"]
    return b"".join(str(p.relative_to(folder)).encode() + p.read_bytes() for p in files)


@pytest.mark.slow
def test_series_to_prediction_to_dicom_seg_and_back(hinterland, run, archive, tmp_path):
    done = hinterland("predict", run, archive, tmp_path / "out", "--dicom-seg", "--json")
    names = as_json(done)["cases"]
    assert len(names) == 2
    series = {s.name: s for s in find_series(archive)[0]}
    assert set(series) == set(names)
    for name, one in series.items():
        label = read_label(tmp_path / "out" / f"{name}.nii.gz")
        np.testing.assert_allclose(label.affine, one.affine, atol=1e-4)
        seg = hd.seg.segread(tmp_path / "out" / "dicom-seg" / f"{name}.dcm")
        told = {d.segment_label: d.segmented_property_type.value
                for d in map(seg.get_segment_description, seg.segment_numbers)}  # fmt: skip
        assert told["lesion"] == "52988006"
        assert told["host"] == "7"
        values = json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]
        integers = np.array([0, *(values[n] for n in told)])
        if len({s.path for s in one.slices}) == 1:
            uid = pydicom.dcmread(one.slices[0].path).SOPInstanceUID
            back = seg.get_pixels_by_source_frame(
                uid, [s.frame + 1 for s in one.slices], combine_segments=True,
                assert_missing_frames_are_empty=True,
            )  # fmt: skip
        else:
            uids = [pydicom.dcmread(s.path).SOPInstanceUID for s in one.slices]
            back = seg.get_pixels_by_source_instance(
                uids, combine_segments=True, assert_missing_frames_are_empty=True
            )
        np.testing.assert_array_equal(integers[back], label.array[0])
    told_all = (done.stdout + done.stderr).encode() + everything(tmp_path / "out")
    assert not [s for s in SECRETS if s.encode() in told_all]
    assert not list(tmp_path.glob(".tmp*"))
    refused = hinterland("predict", run, archive, tmp_path / "out", "--dicom-seg", code=1)
    assert "exist already" in refused.stderr
    hinterland("predict", run, archive, tmp_path / "out", "--dicom-seg", "--overwrite")


@pytest.mark.slow
def test_prediction_of_series_is_that_of_their_voxels(hinterland, run, archive, tmp_path):
    """As NIfTI by SimpleITK, DICOM's own reader, and by us: the same segmentation."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(archive / "a")))
    (tmp_path / "nii").mkdir()
    sitk.WriteImage(reader.Execute(), str(tmp_path / "nii" / "x.nii.gz"))
    hinterland("predict", run, tmp_path / "nii", tmp_path / "one")
    hinterland("predict", run, archive / "a", tmp_path / "two")
    (other,) = (tmp_path / "two").glob("*.nii.gz")
    one, two = read_label(tmp_path / "one" / "x.nii.gz"), read_label(other)
    np.testing.assert_array_equal(one.array, two.array)
    np.testing.assert_allclose(one.affine, two.affine, atol=1e-4)


@pytest.mark.slow
def test_a_broken_series_does_not_keep_the_others_from_being_predicted(
    hinterland, run, archive, tmp_path
):
    names = {s.slices[0].modality: s.name for s in find_series(archive)[0]}
    min((archive / "a").iterdir()).rename(tmp_path / "kept")
    (archive / "a" / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\x02")
    done = hinterland("predict", run, archive, tmp_path / "out", "--dicom-seg", code=1)
    assert "missing" in done.stderr
    assert names["CT"] in done.stderr
    assert "cut.dcm" in done.stderr
    assert [p.name for p in (tmp_path / "out").glob("*.nii.gz")] == [f"{names['MR']}.nii.gz"]
    assert [p.name for p in (tmp_path / "out" / "dicom-seg").iterdir()] == [f"{names['MR']}.dcm"]
    found = as_json(hinterland("check", archive, "--for", run, "--json", code=1))
    codes = {p["code"] for p in found["problems"] if p["severity"] == "error"}
    assert codes == {"dicom-missing-slice", "dicom-unreadable"}


@pytest.mark.slow
def test_check_for_a_run_and_dicom_seg_without_dicom(hinterland, run, archive, tmp_path):
    found = as_json(hinterland("check", archive, "--for", run, "--json"))
    assert found["cases"] == 2
    done = hinterland("predict", run, run.parent / "data" / "imagesTs", tmp_path / "out",
                      "--dicom-seg", code=1)  # fmt: skip
    assert "the images are no DICOM" in done.stderr


def test_check_lists_series_and_exits_with_1(hinterland, archive):
    done = hinterland("check", archive)
    assert "CT, 9 x 20 x 18 voxels of 2.5 x 0.8 x 0.7 mm" in done.stdout
    assert "MR, 9 x 20 x 18 voxels of 3 x 0.9 x 0.6 mm" in done.stdout
    assert "2 cases checked: 0 errors" in done.stdout
    for file in list((archive / "a").iterdir())[3:5]:
        file.unlink()
    for file in (archive / "a").iterdir():
        patched(file, lambda ds: ds.__setattr__("PatientComments", "Secret"))
    broken = hinterland("check", archive, "--json", code=1)
    found = as_json(broken)
    assert [p["code"] for p in found["problems"]] == ["dicom-missing-slice"]
    assert found["cases"] == 1
    assert not [s for s in SECRETS if s in broken.stdout + broken.stderr]


def test_import_makes_a_data_set_with_masks_from_outlines(hinterland, archive, tmp_path):
    series = {s.slices[0].modality: s for s in find_series(archive)[0]}
    ct = series["CT"]

    def outline(left, top, right, bottom, z):
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
        at = np.array([[x, y, z, 1.0] for x, y in points])
        return (ct.affine @ at.T).T[:, :3] * [-1, -1, 1]

    write_outlines(archive / "rt", ct.uid, {
        "GTV 1": [outline(2.5, 3.5, 6.5, 7.5, 4)], "Lung left": [outline(0.5, 0.5, 8.5, 9.5, 4)],
        "couch": [],
    })  # fmt: skip
    bare = hinterland("dicom", "import", archive, tmp_path / "set", code=1)
    assert "GTV 1, Lung left, couch" in bare.stderr
    asked = "GTV*=tumour,Lung*=lung"
    done = hinterland("dicom", "import", archive, tmp_path / "set", "--structures", asked)
    dataset = read_dataset(tmp_path / "set")
    by_name = {c.name: c for c in dataset.cases}
    assert by_name[ct.name].labelled
    assert not by_name[series["MR"].name].labelled
    assert len({c.group for c in dataset.cases}) == 1  # one patient
    expected = np.zeros(ct.shape, int)
    expected[4, 1:10, 1:9] = 2
    expected[4, 4:8, 3:7] = 1
    label = read_label(by_name[ct.name].label, like=by_name[ct.name].images[0])
    np.testing.assert_array_equal(label.array[0], expected)
    np.testing.assert_array_equal(read_volume(by_name[ct.name].images).array[0], scan(0))
    told = (done.stdout + done.stderr).encode() + everything(tmp_path / "set")
    assert not [s for s in SECRETS if s.encode() in told]
    hinterland("check", tmp_path / "set")
    again = hinterland("dicom", "import", archive, tmp_path / "set", code=1)
    assert "exists already" in again.stderr
    wrong = hinterland("dicom", "import", archive, tmp_path / "b", "--structures", "x=y", code=1)
    assert "--structures x" in wrong.stderr


def test_a_broken_series_does_not_keep_the_others_from_being_imported(
    hinterland, archive, tmp_path
):
    names = {s.slices[0].modality: s.name for s in find_series(archive)[0]}
    write_series(archive / "cut", scan(2), seed="cut")
    first = min((archive / "cut").iterdir())
    pixels = pydicom.dcmread(first).PixelData
    patched(first, lambda ds: setattr(ds, "PixelData", pixels[:-40]))
    write_series(archive / "gap", scan(3), seed="gap", places=[0, 1, 2, 4, 5, 6, 7, 8, 9])
    done = hinterland("dicom", "import", archive, tmp_path / "data", code=1)
    assert str(first) in done.output
    assert "slice(s) are missing" in done.output
    dataset = read_dataset(tmp_path / "data")
    assert {case.name for case in dataset.cases} == set(names.values())
    image = read_volume(dataset[names["CT"]].images).array[0]
    np.testing.assert_array_equal(image, scan(0))


def test_without_pydicom_one_message_says_what_to_install(hinterland, archive, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "pip install 'hinterland[dicom]'" in hinterland("check", archive, code=1).stderr


def test_series_are_viewed_as_they_are(hinterland, tmp_path):
    rng = np.random.default_rng(3)
    write_series(tmp_path / "scans" / "a", rng.integers(0, 900, (5, 12, 14)).astype(np.uint16))
    made = as_json(hinterland("view", tmp_path / "scans", "--out", tmp_path / "p.html", "--json"))
    assert made["shown"] == 1
    text = (tmp_path / "p.html").read_text()
    assert "1 series of DICOM" in text
    assert "Secret" not in text
    assert "MRN4711" not in text
