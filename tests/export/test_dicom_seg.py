"""DICOM-SEG: read back by highdicom, and by dcmqi, to the voxel and the slice; codes of classes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

hd = pytest.importorskip("highdicom", reason="highdicom is not installed")
from dicom_files import OBLIQUE, voxels, write_enhanced, write_series  # noqa: E402
from pydicom.sr.codedict import codes as known  # noqa: E402

from hinterland.data.dicom.series import find_series  # noqa: E402
from hinterland.export.dicom_seg import write_dicom_seg  # noqa: E402
from hinterland.export.snomed import (  # noqa: E402
    ABNORMAL,
    ANATOMY,
    PRIVATE,
    SYNONYMS,
    code_of,
    keyword_of,
)
from hinterland.labels.codes import Code  # noqa: E402
from hinterland.types import HinterlandError  # noqa: E402

VALUES = {"left kidney": 2, "lesion": 7, "blob": 3}


def labels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, 2, 3, 7], (7, 12, 10)).astype(np.uint8)


@pytest.fixture(params=["plain", "oblique", "enhanced", "RLE"])
def series(request, tmp_path):
    if request.param == "enhanced":
        write_enhanced(tmp_path / "in" / "file.dcm", voxels())
    else:
        write_series(
            tmp_path / "in", voxels(),
            syntax="1.2.840.10008.1.2.5" if request.param == "RLE" else None,
            **({"directions": OBLIQUE} if request.param == "oblique" else {}),
        )  # fmt: skip
    (found,), _ = find_series(tmp_path / "in")
    return found


def read_back(series, file: Path) -> tuple[np.ndarray, object]:
    """Integers (z, y, x), by the slices' own numbers in the archive."""
    import pydicom

    seg = hd.seg.segread(file)
    if len({s.path for s in series.slices}) == 1:
        uid = pydicom.dcmread(series.slices[0].path, stop_before_pixels=True).SOPInstanceUID
        array = seg.get_pixels_by_source_frame(
            uid, [s.frame + 1 for s in series.slices], combine_segments=True,
            assert_missing_frames_are_empty=True,
        )  # fmt: skip
    else:
        uids = [pydicom.dcmread(s.path, stop_before_pixels=True).SOPInstanceUID
                for s in series.slices]  # fmt: skip
        array = seg.get_pixels_by_source_instance(
            uids, combine_segments=True, assert_missing_frames_are_empty=True
        )
    values = [0, *VALUES.values()]
    return np.array(values)[array], seg


def test_segments_are_read_back_to_the_voxel(series, tmp_path):
    array = labels()
    array[2] = 0  # an empty slice is left out of the file
    file = write_dicom_seg(series, array, VALUES, tmp_path / "out.dcm",
                           codes={"blob": Code("SCT", "1234", "A blob")})  # fmt: skip
    found, seg = read_back(series, file)
    np.testing.assert_array_equal(found, array)
    told = [(s.segment_label, s.segmented_property_type.value) for s in
            map(seg.get_segment_description, seg.segment_numbers)]  # fmt: skip
    assert told == [("left kidney", "64033007"), ("lesion", "52988006"),
                    ("blob", "1234")]  # fmt: skip
    assert str(seg.PatientID) == "MRN4711"  # the archive must know whose it is
    assert seg.FrameOfReferenceUID


def test_an_empty_segmentation_is_written(series, tmp_path):
    array = np.zeros(series.shape, np.uint8)
    file = write_dicom_seg(series, array, VALUES, tmp_path / "out.dcm")
    np.testing.assert_array_equal(read_back(series, file)[0], array)


def test_geometry_is_the_series_own(series, tmp_path):
    file = write_dicom_seg(series, labels(), VALUES, tmp_path / "out.dcm")
    volume = hd.seg.segread(file).get_volume(combine_segments=True)
    found = volume.to_patient_orientation("LPH")
    mine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ series.affine
    np.testing.assert_allclose(
        np.sort(np.abs(np.linalg.norm(found.affine[:3, :3], axis=0))),
        np.sort(np.linalg.norm(mine[:3, :3], axis=0)), atol=1e-5,
    )  # fmt: skip
    corners = [np.array([x, y, z, 1.0]) for x in (0, 9) for y in (0, 11) for z in (0, 6)]
    theirs = [np.array([i, j, k, 1.0]) for i in (0, found.shape[0] - 1)
              for j in (0, found.shape[1] - 1) for k in (0, found.shape[2] - 1)]  # fmt: skip
    a = np.array(sorted(tuple(np.round((mine @ c)[:3], 4)) for c in corners))
    b = np.array(sorted(tuple(np.round((found.affine @ c)[:3], 4)) for c in theirs))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_dcmqi_reads_it_to_the_voxel(series, tmp_path):
    beside = Path(sys.executable).with_name("segimage2itkimage")
    tool = shutil.which("segimage2itkimage") or (str(beside) if beside.is_file() else None)
    if tool is None:
        pytest.skip("dcmqi is not installed")
    array = labels(1)
    file = write_dicom_seg(series, array, VALUES, tmp_path / "out.dcm")
    done = subprocess.run(
        [tool, "--inputDICOM", file, "--outputDirectory", tmp_path, "-t", "nrrd", "-p", "q"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    mine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ series.affine
    for number, value in enumerate(VALUES.values(), start=1):
        image = sitk.ReadImage(str(tmp_path / f"q-{number}.nrrd"))
        for z, y, x in np.ndindex(array.shape):  # each voxel at its place in the patient
            place = (mine @ [x, y, z, 1.0])[:3]
            index = image.TransformPhysicalPointToIndex(place.tolist())
            inside = all(0 <= i < n for i, n in zip(index, image.GetSize(), strict=True))
            assert (bool(image[index]) if inside else False) == (array[z, y, x] == value)
    told = json.loads((tmp_path / "q-meta.json").read_text())
    assert [s[0]["SegmentLabel"] for s in told["segmentAttributes"]] == list(VALUES)


def test_another_grid_is_refused(series, tmp_path):
    with pytest.raises(HinterlandError, match=r"\(7, 12, 9\)"):
        write_dicom_seg(series, labels()[..., :9], VALUES, tmp_path / "out.dcm")
    assert not (tmp_path / "out.dcm").exists()


@pytest.mark.parametrize("word", [*ANATOMY, *ABNORMAL, *SYNONYMS.values()])
def test_every_word_of_the_table_is_in_pydicoms(word):
    assert hasattr(known.SCT, word)


@pytest.mark.parametrize(
    ("name", "value"),
    [("liver", "10200004"), ("Lungs", "39607008"), ("left_kidney", "64033007"),
     ("LV", "87878005"), ("tumour", "108369006"), ("kidneys", "64033007"),
     ("kidney_right", "64033007"), ("leftventricle", "87878005")],
)  # fmt: skip
def test_common_names_have_their_code(name, value):
    _, code = code_of(name, {})
    assert (code.scheme, code.value) == ("SCT", value)


def test_a_name_without_a_code_is_its_own_concept():
    assert keyword_of("blob") is None
    category, code = code_of("blob", {})
    assert (code.scheme, code.meaning, category.value) == (PRIVATE, "blob", "91723000")
    assert code_of("blob", {})[1] == code != code_of("blobs", {})[1]
    assert len(code.value) <= 16
