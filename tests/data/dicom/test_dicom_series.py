"""Series of slices: voxels and geometry as SimpleITK reads them, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
from dicom_files import (  # noqa: E402
    AXIAL,
    OBLIQUE,
    PATIENT,
    patched,
    voxels,
    write_enhanced,
    write_series,
)
from pydicom.data import get_testdata_file  # noqa: E402

from hinterland.data.dicom.as_images import as_images  # noqa: E402
from hinterland.data.dicom.series import find_series  # noqa: E402
from hinterland.data.dicom.voxels import read_series  # noqa: E402
from hinterland.data.io.volume import read_volume  # noqa: E402
from hinterland.types import HinterlandError  # noqa: E402

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def one(folder: Path):
    (found,), problems = find_series(folder)
    assert not [p for p in problems if p.severity == "error"]
    return found


def by_itk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine as SimpleITK's own reader of series gives them."""
    reader = sitk.ImageSeriesReader()
    if folder.is_dir():
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        image = reader.Execute()
    else:
        image = sitk.ReadImage(str(folder))
    affine = np.eye(4)
    direction = np.reshape(image.GetDirection(), (3, 3))
    affine[:3, :3] = direction * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), LPS @ affine


@pytest.mark.parametrize("directions", [AXIAL, OBLIQUE, ((0, 1, 0), (0, 0, -1))])
@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, 0), (0.25, -3.5)])
def test_voxels_and_geometry_are_those_of_simpleitk(tmp_path, directions, slope, intercept):
    array = voxels()
    write_series(tmp_path / "s", array, directions=directions, slope=slope, intercept=intercept)
    volume = read_series(one(tmp_path / "s"))
    expected, affine = by_itk(tmp_path / "s")
    np.testing.assert_array_equal(volume.array[0], array.astype(int) * slope + intercept)
    np.testing.assert_array_equal(volume.array[0], expected)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert volume.array.dtype == (np.float32 if slope == 0.25 else np.int32)


def test_an_enhanced_multiframe_file_is_a_series(tmp_path):
    array = voxels(1)
    series = one(write_enhanced(tmp_path / "e" / "file.dcm", array).parent)
    volume = read_series(series)
    np.testing.assert_array_equal(volume.array[0], array * 0.5 + 1)
    assert volume.spacing == pytest.approx((3.0, 0.9, 0.6))  # gaps, not the slices' thickness
    assert [s.frame for s in series.slices] == list(range(len(array)))[::-1]


def test_an_enhanced_file_in_order_is_read_as_by_simpleitk(tmp_path):
    file = write_enhanced(tmp_path / "e" / "file.dcm", voxels(1), last_first=False)
    volume = read_series(one(file.parent))
    expected, affine = by_itk(file)
    np.testing.assert_array_equal(volume.array[0], expected)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


@pytest.mark.parametrize(
    ("syntax", "needs"),
    [("1.2.840.10008.1.2.5", "numpy"), ("1.2.840.10008.1.2.4.80", "jpeg_ls"),
     ("1.2.840.10008.1.2.4.90", "openjpeg")],
    ids=["RLE", "JPEG-LS", "JPEG 2000"],
)  # fmt: skip
def test_compressed_series_are_unpacked_to_the_voxel(tmp_path, syntax, needs):
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    array = voxels(2, (3, 64, 48))
    write_series(tmp_path / "s", array, syntax=syntax)
    volume = read_series(one(tmp_path / "s"))
    np.testing.assert_array_equal(volume.array[0], array.astype(int) - 1024)


def test_what_pydicom_cannot_unpack_gdcm_does(tmp_path, monkeypatch):
    array = voxels(3)
    write_series(tmp_path / "s", array, syntax="1.2.840.10008.1.2.5", slope=2)
    series = one(tmp_path / "s")

    def fail(*_: object) -> None:
        raise RuntimeError("no decoder")

    monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(fail))
    np.testing.assert_array_equal(read_series(series).array[0], array.astype(int) * 2 - 1024)


def test_where_no_series_can_be_read_each_says_why(tmp_path):
    file = min(write_series(tmp_path / "in" / "s", voxels(3)).iterdir())
    patched(file, lambda ds: setattr(ds, "PixelData", b"\0\0"))
    with (
        pytest.raises(HinterlandError, match=f"in holds no series.*\n?.*{file.name}"),
        as_images([tmp_path / "in"], tmp_path / "out"),
    ):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("left", [-2, -40, 0])
def test_fewer_voxels_than_promised_are_not_filled_up(tmp_path, left):
    folder = write_series(tmp_path / "s", voxels(3))
    file = min(folder.iterdir())
    pixels = pydicom.dcmread(file).PixelData
    patched(file, lambda ds: setattr(ds, "PixelData", pixels[:left]))
    with pytest.raises(HinterlandError, match=f"{file}.*fewer than its header says"):
        read_series(one(folder))


def test_a_negative_is_not_turned_by_the_second_decoder(tmp_path, monkeypatch):
    write_series(tmp_path / "s", voxels(3), syntax="1.2.840.10008.1.2.5")
    for file in (tmp_path / "s").iterdir():
        patched(file, lambda ds: setattr(ds, "PhotometricInterpretation", "MONOCHROME1"))
    series = one(tmp_path / "s")
    np.testing.assert_array_equal(read_series(series).array[0], voxels(3).astype(int) - 1024)

    def fail(*_: object) -> None:
        raise RuntimeError("no decoder")

    monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(fail))
    with pytest.raises(HinterlandError, match="cannot be unpacked"):
        read_series(series)


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
             "MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm"],
)  # fmt: skip
def test_files_of_scanners_are_read_as_by_simpleitk(tmp_path, name):
    path = get_testdata_file(name, download=False)
    assert path is not None
    shutil.copy(path, tmp_path / name)
    volume = read_series(one(tmp_path))
    expected, affine = by_itk(tmp_path / name)
    np.testing.assert_array_equal(volume.array[0], expected)
    np.testing.assert_allclose(volume.affine[:3, [0, 1, 3]], affine[:3, [0, 1, 3]], atol=1e-6)


def test_several_series_in_a_folder_are_told_apart(tmp_path):
    write_series(tmp_path / "x" / "one", voxels(1), seed="a")
    write_series(tmp_path / "x" / "two", voxels(2), seed="b")
    write_series(tmp_path / "y", voxels(3), seed="a", patient=("Other^One", "77"))
    for number, file in enumerate(sorted((tmp_path / "x" / "two").iterdir())):
        file.rename(tmp_path / "x" / "one" / f"more{number}")  # all in one folder
    found, problems = find_series(tmp_path)
    assert len(found) == 3
    assert not problems
    assert sorted(s.group for s in found) in (
        ["patient001", "patient001", "patient002"], ["patient001", "patient002", "patient002"]
    )  # fmt: skip
    arrays = [read_series(s).array[0] for s in found]
    for seed in (1, 2, 3):
        assert sum(np.array_equal(a, voxels(seed).astype(int) - 1024) for a in arrays) == 1


@pytest.mark.parametrize(("first", "second", "patients"), [
    (("Mueller^Eva", "77"), ("MUELLER EVA", "77"), 1),
    (("Mueller^Eva", "77"), ("Mueller^Eva", "78"), 2),
    (("Mueller^Eva", ""), ("Mueller^Eva", ""), 1),
    (("Mueller^Eva", ""), ("Maier^Eva", ""), 2),
])  # fmt: skip
def test_patients_are_told_apart_by_their_id(tmp_path, first, second, patients):
    write_series(tmp_path / "a", voxels(1), seed="a", patient=first)
    write_series(tmp_path / "b", voxels(2), seed="b", patient=second)
    found, _ = find_series(tmp_path)
    assert len({series.group for series in found}) == patients


def test_echoes_of_one_place_become_volumes(tmp_path):
    write_series(tmp_path / "s", voxels(1), EchoTime="2.5")
    write_series(tmp_path / "t", voxels(2), EchoTime="10")
    found, problems = find_series(tmp_path)
    assert not problems
    assert [s.name[-2:] for s in found] == ["-1", "-2"]
    for series, seed in zip(found, (2, 1), strict=True):  # in the order of the texts
        np.testing.assert_array_equal(read_series(series).array[0], voxels(seed).astype(int) - 1024)


def test_directions_that_differ_in_their_last_digits_are_one_series(tmp_path):
    """0.7075 is a border of rounding to three digits; every second slice lies beyond it."""
    array = voxels(4)
    folder = write_series(tmp_path / "s", array)
    for number, file in enumerate(sorted(folder.iterdir(), key=_place)):
        sine = 0.7075 + (1e-7 if number % 2 else -1e-7)
        cosine = np.sqrt(1 - sine**2)
        turned = [f"{v:.12g}" for v in (cosine, sine, 0, -sine, cosine, 0)]
        patched(file, lambda ds, turned=turned: setattr(ds, "ImageOrientationPatient", turned))
    series = one(folder)
    assert series.shape == array.shape
    np.testing.assert_array_equal(read_series(series).array[0], array.astype(int) - 1024)
    assert np.linalg.norm(series.affine[:3, 2]) == pytest.approx(2.5)


def _place(file: Path) -> float:
    return float(pydicom.dcmread(file).ImagePositionPatient[2])


def test_names_of_patients_that_look_alike_never_meet(tmp_path):
    write_series(tmp_path / "a", voxels(1), seed="a", patient=("", "P1"))
    write_series(tmp_path / "b", voxels(2, (7, 8, 10)), seed="a", patient=("", "P1"))
    write_series(tmp_path / "c", voxels(3), seed="c", patient=("", "P1/1"))
    write_series(tmp_path / "d", voxels(4), seed="d", patient=("", "p1-2"))
    found, problems = find_series(tmp_path, anonymous=False)
    assert not problems
    assert len(found) == 4
    assert len({s.name.casefold() for s in found}) == 4
    assert [s.name for s in found if s.group == "P1"] == ["P1-1", "P1-2"]
    assert [s.name for s in found if s.group == "P1-1"] == ["P1-1-series2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("ImagePositionPatient", ["0", "0", "nan"]), ("PixelSpacing", ["inf", "1"]),
     ("RescaleSlope", "nan"), ("RescaleIntercept", "inf"), ("RescaleSlope", "0")],
)  # fmt: skip
def test_numbers_that_are_none_place_no_slice(tmp_path, name, value):
    folder = write_series(tmp_path / "s", voxels(4))
    middle = sorted(folder.iterdir(), key=_place)[3]
    patched(middle, lambda ds: setattr(ds, name, value))
    found, problems = find_series(folder)
    assert not found
    assert [p.code for p in problems] == ["dicom-no-slice", "dicom-missing-slice"]
    assert str(middle) in problems[0].message


def _missing(folder: Path) -> None:
    files = {float(pydicom.dcmread(f).ImagePositionPatient[2]): f for f in folder.iterdir()}
    files[sorted(files)[3]].unlink()


def _twice(folder: Path) -> None:
    shutil.copy(min(folder.iterdir()), folder / "again")


def _slanted(folder: Path) -> None:
    def shift(ds) -> None:
        x, y, z = map(float, ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y + 0.3 * (z - 100), z]

    for file in folder.iterdir():
        patched(file, shift)


def _uneven(folder: Path) -> None:
    def shift(ds) -> None:
        x, y, z = map(float, ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y, z + 0.02 * (z - 100) ** 2]

    for file in folder.iterdir():
        patched(file, shift)


def _cut(folder: Path) -> None:
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:300])


@pytest.mark.parametrize(
    ("harm", "code", "words"),
    [
        (_missing, "dicom-missing-slice", r"1 slice\(s\) are missing"),
        (_twice, "dicom-same-place", "1 of its 8 images"),
        (_slanted, "dicom-slanted", r"16\.7 degrees"),
        (_uneven, "dicom-uneven", "2.625 to 3.875 mm"),
    ],
)
def test_what_is_no_even_stack_is_an_error(tmp_path, harm, code, words):
    folder = write_series(tmp_path / "s", voxels())
    harm(folder)
    found, problems = find_series(folder)
    assert not found
    assert [p.code for p in problems] == [code]
    assert re.search(words, problems[0].message), problems[0].message
    with (
        pytest.raises(HinterlandError, match=words),
        as_images([folder], tmp_path / "out"),
    ):
        pass


def test_files_that_are_no_slices_are_told_of(tmp_path):
    folder = write_series(tmp_path / "s", voxels())
    for name in ("rtstruct.dcm", "SC_rgb_small_odd.dcm", "image_dfl.dcm"):
        shutil.copy(get_testdata_file(name, download=False), folder / name)
    (folder / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\x02")
    (folder / "notes.txt").write_text("no DICOM")
    found, problems = find_series(folder)
    assert len(found) == 1
    codes = sorted((p.severity, p.code) for p in problems)
    assert ("note", "dicom-no-image") in codes
    assert ("warning", "dicom-no-slice") in codes
    unreadable = [p.message for p in problems if p.code == "dicom-unreadable"]
    assert any("image_dfl.dcm" in m and "deflated" in m for m in unreadable)
    assert any("cut.dcm" in m for m in unreadable)
    assert len(unreadable) == 2


@pytest.mark.parametrize(
    ("kept", "severity", "code"),
    [(140, "error", "dicom-unreadable"), (300, "error", "dicom-unreadable"),
     (500, "warning", "dicom-no-slice")],
)  # fmt: skip
def test_files_that_are_cut_off_are_told_of(tmp_path, kept, severity, code):
    folder = write_series(tmp_path / "s", voxels())
    file = min(folder.iterdir())
    file.write_bytes(file.read_bytes()[:kept])
    _, problems = find_series(folder)
    assert (severity, code) in {(p.severity, p.code) for p in problems}
    assert file.name in " ".join(p.message for p in problems)


def test_names_and_messages_tell_nothing_of_the_patient(tmp_path, caplog, recwarn):
    folder = write_series(tmp_path / "s", voxels())
    for file in folder.iterdir():
        patched(file, lambda ds: ds.add_new(0x00100030, "DA", "Secret not a date"))
    caplog.clear()
    recwarn.clear()
    found, problems = find_series(folder)
    with as_images([folder], tmp_path / "out") as (series, files, _):
        shown = [p.name for p in files.iterdir()]
        assert files.stat().st_mode & 0o077 == 0
    assert not files.exists()
    told = " ".join([*map(str, found), *map(repr, found), *shown, *map(str, problems), *series,
                     found[0].group, caplog.text, *(str(w.message) for w in recwarn)])  # fmt: skip
    for secret in ("Secret", "Person", "MRN4711", "Hidden", "1950"):
        assert secret not in told
    named, _ = find_series(folder, anonymous=False)
    assert named[0].name == PATIENT[1]
    assert PATIENT[1] in named[0].group


def test_a_series_as_nifti_is_the_series(tmp_path):
    folder = write_series(tmp_path / "s", voxels(4), directions=OBLIQUE)
    with as_images([folder], tmp_path / "out") as (series, files, _):
        (name,) = series
        volume = read_volume(files / f"{name}.nii.gz")
        np.testing.assert_array_equal(volume.array, read_series(series[name]).array)
        np.testing.assert_allclose(volume.affine, series[name].affine, atol=1e-5)


def test_a_series_too_large_for_memory_is_refused(tmp_path):
    folder = write_series(tmp_path / "s", voxels())

    def grow(ds) -> None:
        ds.Rows = ds.Columns = 65535

    for file in folder.iterdir():
        patched(file, grow)
    series = one(folder)
    big = type(series)(series.name, series.slices * 10_000, series.affine)
    with pytest.raises(HinterlandError, match="is not read"):
        read_series(big)


@pytest.mark.parametrize("value", [b"Secret", b"1Secre", b"17\\MRN", b"\xff\xfe\x00ABC"])
def test_values_that_are_read_late_are_not_quoted_either(tmp_path, caplog, recwarn, value):
    """pydicom turns bytes into numbers when they are asked for, and remarks on them then."""
    folder = write_series(tmp_path / "s", voxels(), AcquisitionNumber=123456)
    for file in folder.iterdir():
        raw = file.read_bytes()
        assert raw.count(b"123456") == 1
        file.write_bytes(raw.replace(b"123456", value))
    found, problems = find_series(folder)
    for series in found:
        read_series(series)
    told = " ".join([*map(str, problems), caplog.text, *(str(w.message) for w in recwarn)])
    assert not [secret for secret in ("Secre", "MRN", "ABC") if secret in told]


def test_files_without_a_preamble_are_read(tmp_path):
    array = voxels()
    folder = write_series(tmp_path / "s", array)
    for file in list(folder.iterdir()):
        ds = pydicom.dcmread(file)
        ds.remove_private_tags()
        bare = pydicom.dataset.Dataset(ds)
        pydicom.dcmwrite(folder / f"{file.name}.dcm", bare, implicit_vr=True, little_endian=True)
        file.unlink()
    np.testing.assert_array_equal(read_series(one(folder)).array[0], array.astype(int) - 1024)


def test_a_scanners_series_is_that_of_simpleitk(tmp_path):
    """Five CT slices of pydicom's own test files, among series of one and two images."""
    root = Path(get_testdata_file("dicomdirtests/DICOMDIR", download=False)).parent
    found, problems = find_series(root)
    (ct,) = [s for s in found if len(s.slices) == 5]
    folder = ct.slices[0].path.parent
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), ct.uid))
    image = reader.Execute()
    np.testing.assert_array_equal(read_series(ct).array[0], sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(ct.affine[:3, 3], LPS[:3, :3] @ image.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ct.affine[:3, :3], axis=0), image.GetSpacing(),
                               atol=1e-6)  # fmt: skip
    assert len(found) == 20
    assert [p.code for p in problems if p.severity == "error"] == ["dicom-missing-slice"]
