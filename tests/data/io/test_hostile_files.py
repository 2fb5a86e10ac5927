"""Files that were made to do harm, or look so: refused with one message, and never run."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import broken
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import torch
from PIL import EpsImagePlugin

from hinterland.data.dataset.files import read_json
from hinterland.data.dataset.read import read_dataset, scan
from hinterland.data.integrity.check import check_dataset
from hinterland.data.io import limits
from hinterland.data.io.limits import TooLarge, refuse_huge
from hinterland.data.io.volume import VolumeError, read_header, read_label, read_volume
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.data.preprocessing.cache import prepare
from hinterland.labels import LabelError, LabelSpec
from hinterland.training.checkpoint import load_checkpoint
from hinterland.types import HinterlandError, Plan


class Shell:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    path = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Shell(path)))
    assert path.exists()  # the trap works
    path.unlink()
    return path


def test_a_pickle_in_a_checkpoint_does_not_run(tmp_path: Path, witness: Path):
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    for save in (torch.save, lambda content, p: p.write_bytes(pickle.dumps(content))):
        save({"format": 1, "networks": Shell(witness)}, path)
        with pytest.raises(HinterlandError, match=r"best\.ckpt cannot be read as a checkpoint"):
            load_checkpoint(path)
    assert not witness.exists()


def test_pickles_and_yaml_objects_in_lists_do_not_run(tmp_path: Path, witness: Path):
    broken.plain(tmp_path / "d")
    trap = pickle.dumps(Shell(witness))
    (tmp_path / "d/splits.json").write_bytes(trap)
    with pytest.raises(HinterlandError, match=r"splits\.json is not valid JSON"):
        read_dataset(tmp_path / "d")
    (tmp_path / "labels.yaml").write_bytes(trap)
    with pytest.raises(LabelError, match="not readable YAML"):
        LabelSpec.load(tmp_path / "labels.yaml")
    (tmp_path / "labels.yaml").write_text(f"tree: !!python/object/apply:os.system ['{witness}']")
    with pytest.raises(LabelError, match="could not determine a constructor"):
        LabelSpec.load(tmp_path / "labels.yaml")
    with pytest.raises(HinterlandError, match="not a plan"):
        Plan.from_json(trap.decode("latin-1"))
    assert not witness.exists()


def test_a_pickle_in_the_prepared_cache_does_not_run(tmp_path: Path, witness: Path, monkeypatch):
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "c"))
    data = read_dataset(broken.plain(tmp_path / "d"))
    plan = plan_dataset(data, PlanOptions(2, 2.0))
    prepared = prepare(data, plan, tmp_path / "c", workers=0)
    trap = np.empty(1, object)
    trap[0] = Shell(witness)
    np.save(prepared.folder / "p0.image.npy", trap, allow_pickle=True)
    with pytest.raises(HinterlandError, match=r"prepared case 'p0' .* is damaged .*Remove"):
        prepared["p0"]
    assert not witness.exists()


def nifti_header(shape: tuple[int, ...], voxels_at: float = 352) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", voxels_at
    return header.binaryblock + bytes(4)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_header_that_promises_a_trillion_voxels(tmp_path: Path, name: str):
    content = nifti_header((10000, 10000, 10000)) + bytes(1000)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    for read in (read_volume, read_label, read_header):
        with pytest.raises(VolumeError, match="promises 1,000,000,000,000 voxels of uint8"):
            read(path)


def zeros(path: Path, begin: bytes, count: int) -> Path:
    """Write `begin` and `count` blocks of 16 MiB of zeros, compressed once and repeated."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(begin)
        for _ in range(count):
            file.write(bytes(2**24))
    return path


def test_a_file_that_inflates_to_far_more_than_it_promises(tmp_path: Path):
    path = zeros(tmp_path / "x.nii.gz", nifti_header((9, 8, 6)), 3)
    with pytest.raises(VolumeError, match="goes on for megabytes after the last voxel"):
        read_volume(path)


def test_a_small_file_that_inflates_to_an_image_of_equal_voxels(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(limits, "EVEN", 100)
    monkeypatch.setattr(limits, "MOST_EVEN", 2**24)
    path = zeros(tmp_path / "x.nii.gz", nifti_header((512, 512, 128)), 2)
    with pytest.raises(VolumeError, match=r"would inflate to 33,554,432.*uncompressed") as caught:
        read_volume(path)
    assert caught.value.code == "too-large"
    assert not read_label(path).array.any()  # a large scan without a lesion has such a mask
    picture = tmp_path / "x.tif"
    tifffile.imwrite(picture, np.zeros((8000, 8000), np.uint8), compression="zlib")
    with pytest.raises(VolumeError, match="would inflate to 64,000,000"):
        read_volume(picture)


def test_gigabytes_before_the_voxels(tmp_path: Path):
    path = tmp_path / "x.nii"
    path.write_bytes(nifti_header((9, 8, 6), 2.0**31) + bytes(432))
    with pytest.raises(VolumeError, match="2,147,483,648 bytes lie before the voxels"):
        read_header(path)


def test_an_array_must_fit_into_half_of_the_memory(monkeypatch):
    monkeypatch.setattr(limits, "memory", lambda: 1000)
    refuse_huge((1, 1, 25, 10), np.dtype(np.int16))  # 500 bytes
    with pytest.raises(TooLarge, match="promises 1 x 1 x 25 x 11 numbers of int16"):
        refuse_huge((1, 1, 25, 11), np.dtype(np.int16))
    assert limits.memory() > 0


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_huge_sizes_in_headers_of_itk(tmp_path: Path, ending: str):
    path = tmp_path / f"x{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.float32)), str(path))
    content = path.read_bytes()
    old = b"DimSize = 4 3 2" if ending == ".mha" else b"sizes: 4 3 2"
    assert old in content
    path.write_bytes(content.replace(old, old[:-5] + b"90000 90000 90000"))
    with pytest.raises(VolumeError, match="promises 1 x 90000 x 90000 x 90000 numbers of float32"):
        read_volume(path)


def test_voxels_in_another_file_are_not_followed(tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"S" * 96)
    data = tmp_path / "data"
    data.mkdir()
    mha = (
        "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_FLOAT\n"
        "ElementDataFile = ../secret\n"
    )
    nrrd = (
        "NRRD0004\ntype: float\ndimension: 3\nsizes: 4 3 2\nendian: little\nencoding: raw\n"
        "data file: ../secret\n\n"
    )
    for name, text in (("x.mha", mha), ("y.mha", mha.replace(" = .", ":.")), ("x.nrrd", nrrd)):
        (data / name).write_text(text)
        for read in (read_volume, read_header):
            with pytest.raises(VolumeError, match=r"another file \(\.\./secret\)"):
                read(data / name)


def test_an_ome_header_does_not_pull_in_other_files(tmp_path: Path):
    tifffile.imwrite(tmp_path / "secret.ome.tif", np.full((8, 9), 77, np.uint8), ome=True)
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{f}">urn:uuid:{u}</UUID>'
        "</TiffData>"
        for z, (f, u) in enumerate([("x.tif", "aa"), ("../secret.ome.tif", "bb")])
    )
    head = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:aa"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        'Type="uint8" SizeX="9" SizeY="8" SizeC="1" SizeZ="2" SizeT="1">'
        f"{planes}</Pixels></Image></OME>"
    )
    path = tmp_path / "data" / "x.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.full((8, 9), 5, np.uint8), description=head, metadata=None)
    assert np.unique(read_volume(path).array).tolist() == [5]


def png(path: Path, width: int, height: int) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        content = kind + data
        return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )  # fmt: skip
    return path


def test_pictures_of_huge_size(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    with pytest.raises(VolumeError, match="more pixels than the 178,956,970") as caught:
        read_volume(png(tmp_path / "x.png", 100_000, 100_000))
    assert caught.value.code == "too-large"
    assert read_header(png(tmp_path / "y.png", 12_000, 12_000)).shape == (1, 1, 12_000, 12_000)
    assert not recwarn.list


def test_a_tiff_header_that_promises_terabytes(tmp_path: Path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8), metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for tag in (256, 257):
            place = tiff.pages[0].tags[tag]
            struct.pack_into("<I" if place.dtype == 4 else "<H", content, place.valueoffset,
                             4_000_000 if place.dtype == 4 else 65_000)  # fmt: skip
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"x\.tif"):
        read_volume(path)


def test_postscript_called_png_reaches_no_interpreter(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it ran"))
    path = tmp_path / "x.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 8\n%%EndComments\nshowpage\n")
    with pytest.raises(VolumeError, match="cannot identify image file"):
        read_volume(path)


def test_pipes_are_not_waited_for(tmp_path: Path):
    root = broken.nnunet(tmp_path / "d")
    (root / "labelsTr/a1.nii.gz").unlink()
    os.mkfifo(root / "labelsTr/a1.nii.gz")
    found = check_dataset(root, workers=0)
    assert [(p.code, p.case) for p in found.problems if p.severity == "error"] == [
        ("no-file", "a1")
    ]
    for name in ("splits.json", "labels.yaml", "labels.csv"):
        (root / name).unlink(missing_ok=True)
        os.mkfifo(root / name)
    with pytest.raises(HinterlandError, match="is a pipe"):
        read_json(root / "splits.json")
    with pytest.raises(LabelError, match="a pipe or a device"):
        LabelSpec.load(root / "labels.yaml")


def test_lists_that_are_too_large_or_too_deep(tmp_path: Path, monkeypatch):
    path = tmp_path / "splits.json"
    path.write_text("[" * 100_000)
    with pytest.raises(HinterlandError, match="nested too deeply"):
        read_json(path)
    path.write_text(f"[1{'0' * 5000}]")
    with pytest.raises(HinterlandError, match="not valid JSON"):
        read_json(path)
    monkeypatch.setattr(limits, "MOST_TEXT", 100)
    with pytest.raises(HinterlandError, match="has 5,003 bytes; expected a text of 100"):
        read_json(path)


def test_yaml_aliases_that_multiply(tmp_path: Path):
    bomb = "&a0 [" + ",".join(["x"] * 9) + "]"
    for i in range(1, 12):
        bomb = f"&a{i} [{bomb}," + ",".join([f"*a{i - 1}"] * 8) + "]"
    start = "tree: {background: {}, x: {}}\nschemes: {full: {0: background, 1: x}}\n"
    for key in ("target", "cases", "spacing", "group_pattern"):
        (tmp_path / "labels.yaml").write_text(f"{start}{key}: {bomb}\n")
        with pytest.raises(LabelError, match=r"stand for 3\.2e\+11 entries"):
            LabelSpec.load(tmp_path / "labels.yaml")
    few = f"{start}cases: {{a: &s {{group: p}}, b: *s}}\n"
    (tmp_path / "labels.yaml").write_text(few)
    assert LabelSpec.load(tmp_path / "labels.yaml").case_settings("b").group == "p"


@pytest.mark.parametrize("where", ["../secret.csv", "sub/../../secret.csv", "ABSOLUTE"])
def test_image_labels_stay_beside_labels_yaml(tmp_path: Path, where: str):
    root = broken.nnunet(tmp_path / "d")
    (tmp_path / "secret.csv").write_text("name,token\na1,s3cret\n")
    where = where.replace("ABSOLUTE", str(tmp_path / "secret.csv"))
    (root / "labels.yaml").write_text(f"{broken.LABELS_YAML}image_labels: {where}\n")
    for labels in (None, root / "labels.yaml"):
        _, problems = scan(root, labels)
        assert [p.code for p in problems] == ["bad-labels"]
        assert "leaves the folder" in problems[0].message
        assert "s3cret" not in problems[0].message


def test_paths_of_dataset_json_and_splits_are_not_followed(tmp_path: Path):
    root = broken.nnunet(tmp_path / "d")
    broken.write_json(root / "splits.json", {"train": ["../../x", str(tmp_path / "y"), "a1"]})
    assert "splits-unknown-case" in {p.code for p in scan(root)[1]}
    (root / "splits.json").unlink()
    broken.edit_json(root / "dataset.json", dataset={"a1": {"images": ["../x"], "label": "/y"}})
    with pytest.raises(HinterlandError, match=r"lists its files under `dataset`.*not followed"):
        read_dataset(root)


def test_links_out_of_the_data_set_are_read_and_named(tmp_path: Path):
    root = broken.nnunet(tmp_path / "d")
    inside = root / ".git/annex/objects/k"
    inside.parent.mkdir(parents=True)
    (root / "imagesTr/a2_0000.nii.gz").rename(inside)
    (root / "imagesTr/a2_0000.nii.gz").symlink_to(inside)
    assert "link-outside" not in {p.code for p in check_dataset(root, workers=0).problems}
    outside = tmp_path / "elsewhere.nii.gz"
    (root / "imagesTr/a1_0000.nii.gz").rename(outside)
    (root / "imagesTr/a1_0000.nii.gz").symlink_to(outside)
    found = check_dataset(root, workers=0)
    assert found.ok
    (note,) = [p for p in found.problems if p.code == "link-outside"]
    assert note.severity == "note"
    assert str(outside) in note.message
    assert note.message.startswith("1 file(s)")


def test_files_without_a_voxel(tmp_path: Path):
    path = tmp_path / "x.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((9, 0, 6), np.uint8), np.eye(4)), path)
    for read in (read_volume, read_label):
        with pytest.raises(VolumeError, match="holds no voxel") as caught:
            read(path)
        assert caught.value.code == "zero-size"


def test_reading_holds_a_compressed_volume_once(tmp_path: Path):
    """128 MiB of noise-free voxels, read in a process that may hold 1.5 times as much."""
    path = tmp_path / "x.nii.gz"
    array = np.zeros((512, 512, 512), np.uint8)
    array[::3] = np.random.default_rng(0).integers(0, 9, (171, 512, 512), np.uint8)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    script = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from hinterland.data.io.volume import read_volume\n"
        "def peak():\n"
        "    text = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', text)[1]) / 1024\n"
        "before = peak()\n"
        "array = read_volume(sys.argv[1]).array\n"
        "used = peak() - before\n"
        "print(array.shape, array.flags.c_contiguous, int(array.sum()))\n"
        "print(used)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    first, megabytes = done.stdout.splitlines()
    assert first == f"(1, 512, 512, 512) True {int(array.sum(dtype=np.int64))}"
    assert 120 < float(megabytes) < 1.5 * 128


def test_more_channels_than_four_digits_can_number(tmp_path: Path):
    root = broken.nnunet(tmp_path / "d")
    broken.edit_json(root / "dataset.json", channel_names={str(i): "c" for i in range(10_001)})
    with pytest.raises(HinterlandError, match="names 10,001 channels; expected at most 10,000"):
        read_dataset(root)
