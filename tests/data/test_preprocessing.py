"""Preprocessing and the way back, on phantoms whose answer is known."""

import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hinterland.data.fingerprint import fingerprint
from hinterland.data.geometry import Geometry
from hinterland.data.locations import LOCATIONS, label_locations
from hinterland.data.planning import make_plan
from hinterland.data.prepared import prepare, preprocessing_hash
from hinterland.data.preprocessing import geometry_of, normalise, preprocess
from hinterland.data.resampling import (
    resample,
    resample_labels,
    resampled_shape,
    separate_axis,
)
from hinterland.data.volume import Volume
from hinterland.data.workers import map_cases
from hinterland.labels import LabelSpec, LabelTree, Scheme
from hinterland.types import Case, Dataset, HinterlandError, NetworkPlan, Normalisation, Plan

OBLIQUE = np.array([[0.9, -0.3, 0.3], [0.3, 0.95, 0.1], [-0.3, 0.0, 0.95]])


def plan_for(spacing, transpose=(0, 1, 2), scheme="zscore", unit="mm", **more) -> Plan:
    dims = 2 if spacing[0] is None else 3
    return Plan(
        dims=dims,
        channels=("MR",),
        normalisation=(Normalisation(scheme, **more),),
        spacing=spacing,
        unit=unit,
        transpose=transpose,
        median_shape=(32, 32, 32),
        patch_size=(32,) * dims,
        batch_size=2,
        batch_dice=False,
        network=NetworkPlan((32,), ((1,) * dims,), ((3,) * dims,)),
        fingerprint="f" * 16,
    )


def volume(array, spacing=(1.0, 1.0, 1.0)) -> Volume:
    """A volume of an oblique affine with this spacing (z, y, x)."""
    affine = np.eye(4)
    columns = OBLIQUE / np.linalg.norm(OBLIQUE, axis=0)
    affine[:3, :3] = columns * np.array(spacing)[::-1]
    affine[:3, 3] = (-31, 12, 5)
    return Volume(array if array.ndim == 4 else array[None], affine)


def phantom(shape=(20, 40, 48), spacing=(3.0, 1.0, 1.5)):
    """A body inside zeros and a label of three structures, off centre in every axis."""
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)),
                          indexing="ij")  # fmt: skip
    extent = np.array(shape) * spacing

    def ball(centre, radius):
        cz, cy, cx = np.array(centre) * extent
        return (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < (radius * extent.min()) ** 2

    label = np.zeros(shape, np.uint8)
    label[ball((0.5, 0.45, 0.6), 0.3)] = 1
    label[ball((0.45, 0.5, 0.7), 0.15)] = 2
    label[ball((0.6, 0.3, 0.5), 0.1)] = 7
    body = ball((0.5, 0.45, 0.6), 0.42)
    rng = np.random.default_rng(0)
    image = np.where(body, 100 + 30 * label + rng.normal(0, 5, shape), 0).astype(np.float32)
    return image, label


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def one_hot(label, values=(0, 1, 2, 7)):
    return np.stack([label == v for v in values]).astype(np.float32)


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_round_trip_without_resampling_is_exact(transpose):
    image, label = phantom()
    scan = volume(image, (3.0, 1.0, 1.5))
    spacing = tuple(scan.spacing[a] for a in transpose)
    prepared, seen, geometry = preprocess(scan, plan_for(spacing, transpose), label)
    assert prepared.shape[1:] == seen.shape == geometry.shape
    assert prepared.shape[1:] != image.shape  # it was cropped
    back = geometry.undo(one_hot(seen))
    np.testing.assert_array_equal(back, one_hot(label))
    argmax = geometry.undo_argmax(one_hot(seen))
    np.testing.assert_array_equal(np.array([0, 1, 2, 7])[argmax], label)


@pytest.mark.parametrize("target", [(3.0, 0.5, 0.5), (1.5, 1.5, 1.5), (3.0, 2.0, 1.5)])
@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_round_trip_with_resampling_keeps_place_and_shape(target, transpose):
    image, label = phantom()
    scan = volume(image, (3.0, 1.0, 1.5))
    plan = plan_for(tuple(target[a] for a in transpose), transpose)
    _, seen, geometry = preprocess(scan, plan, label)
    back = geometry.undo_argmax(one_hot(seen))
    assert back.shape == label.shape
    restored = np.array([0, 1, 2, 7])[back]
    for value in (1, 2, 7):
        assert dice(restored == value, label == value) > 0.9
        centre = np.subtract(
            ndimage.center_of_mass(restored == value), ndimage.center_of_mass(label == value)
        )
        # a coarser grid rounds borders to its own voxels
        coarse = np.maximum(1, np.divide(target, (3.0, 1.0, 1.5)))
        assert (np.abs(centre) < 0.3 * coarse).all()


def test_physical_place_survives_cropping_and_resampling():
    """A point's place in mm along each axis, from the preprocessed grid and from the file's."""
    shape, spacing = (30, 60, 50), (2.0, 0.7, 0.9)
    image = np.zeros(shape, np.float32)
    image[4:27, 9:55, 11:47] = 50
    image[12:16, 20:30, 25:33] = 200
    plan = plan_for((1.0, 0.9, 0.7), transpose=(0, 2, 1), scheme="none")
    prepared, _, geometry = preprocess(volume(image, spacing), plan)
    centre = np.array(ndimage.center_of_mass(np.clip(prepared[0], 50, 200) - 50))
    step = np.array(geometry.cropped_shape) / geometry.shape  # of the grid, after rounding
    voxel = (centre + 0.5) * step - 0.5 + geometry.start
    back = voxel[np.argsort(plan.transpose)]
    assert np.abs(back - (13.5, 24.5, 28.5)).max() < 0.05


def test_outside_the_crop_is_background():
    image, _ = phantom()
    _, _, geometry = preprocess(volume(image), plan_for((1.0, 1.0, 1.0)))
    back = geometry.undo(np.full((3, *geometry.shape), 1 / 3, np.float32), background=1)
    np.testing.assert_allclose(back.sum(axis=0), 1, rtol=1e-6)
    assert back[:, 0, 0, 0].tolist() == [0, 1, 0]


def test_undo_refuses_another_shape():
    geometry = Geometry((4, 4, 4), (0, 1, 2), (0, 0, 0), (4, 4, 4), (1, 1, 1), (1, 1, 1))
    with pytest.raises(ValueError, match="expected"):
        geometry.undo(np.zeros((2, 4, 4, 5), np.float32))


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.permutations((0, 1, 2)),
    st.tuples(*[st.sampled_from([0.5, 1.0, 1.3, 5.0])] * 3),
    st.tuples(*[st.sampled_from([0.5, 1.0, 2.0])] * 3),
)
def test_geometry_holds_for_any_shape(shape, order, spacing, target):
    rng = np.random.default_rng(sum(shape))
    image = rng.normal(size=(1, *shape)) * (rng.random(shape) < 0.3)
    plan = plan_for(target, tuple(order))
    geometry = geometry_of(image, spacing, plan)
    assert Geometry.from_json(geometry.to_json()) == geometry
    probabilities = rng.dirichlet(np.ones(3), size=geometry.shape).transpose(3, 0, 1, 2)
    back = geometry.undo(probabilities.astype(np.float32))
    assert back.shape == (3, *shape)
    np.testing.assert_allclose(back.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(
        geometry.undo_argmax(probabilities.astype(np.float32)), back.argmax(axis=0)
    )
    # nothing that is not zero was cropped away
    assert np.count_nonzero(geometry.crop(image)) == np.count_nonzero(image)


def test_normalisation_schemes():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 200, (5, 6, 7, 8)).astype(np.float32)
    image[4, :3] = 0
    original = image.copy()
    schemes = [
        Normalisation("zscore"),
        Normalisation("ct", lower=20, upper=100, mean=60, std=20),
        Normalisation("rescale", upper=255),
        Normalisation("rescale"),
        Normalisation("none"),
    ]
    normalise(image, schemes)
    assert abs(image[0].mean()) < 1e-5
    assert abs(image[0].std() - 1) < 1e-5
    np.testing.assert_allclose(image[1], (original[1].clip(20, 100) - 60) / 20, rtol=1e-5)
    np.testing.assert_allclose(image[2], original[2] / 255, rtol=1e-5)
    assert (image[3].min(), image[3].max()) == (0, 1)
    np.testing.assert_array_equal(image[4], original[4])


def test_masked_zscore_reads_the_body_and_leaves_the_rest_zero():
    image, _ = phantom()
    body = ndimage.binary_fill_holes(image != 0)
    scaled = image[None].copy()
    normalise(scaled, [Normalisation("zscore", masked=True)])
    assert (scaled[0][~body] == 0).all()
    assert abs(scaled[0][body].mean()) < 1e-5
    assert abs(scaled[0][body].std() - 1) < 1e-4


def test_constant_and_empty_images():
    for value in (0, 1000.1):
        image = np.full((1, 4, 5, 6), value, np.float32)
        out, _, geometry = preprocess(volume(image), plan_for((1.0, 1.0, 1.0)))
        assert geometry.shape == (4, 5, 6)
        assert np.abs(out).max() < 1e-3


def test_clear_refusals():
    image, label = phantom()
    plan = plan_for((3.0, 1.0, 1.5))
    with pytest.raises(HinterlandError, match="2 channels, the plan was made for 1"):
        preprocess(volume(np.stack([image, image])), plan)
    with pytest.raises(HinterlandError, match="differ in shape"):
        preprocess(volume(image), plan, label[1:])
    with pytest.raises(HinterlandError, match="NaN"):
        preprocess(volume(np.where(image > 110, np.nan, image)), plan)
    with pytest.raises(HinterlandError, match="8 bit"):
        preprocess(volume(image * 10), plan_for((1, 1, 1), scheme="rescale", upper=255.0))


def test_input_is_left_alone():
    image, label = phantom()
    before = image.copy(), label.copy()
    preprocess(volume(image), plan_for((1.0, 1.0, 1.0)), label)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_unit_voxel_ignores_spacing_and_2d_keeps_slices():
    image, _ = phantom()
    scan = volume(image, (9.0, 0.2, 0.4))
    out, _, geometry = preprocess(scan, plan_for((1.0, 1.0, 1.0), unit="voxel"))
    assert out.shape[1:] == geometry.cropped_shape
    flat, _, geometry = preprocess(scan, plan_for((None, 0.4, 0.4)))
    assert flat.shape[1] == geometry.cropped_shape[0]
    assert flat.shape[2] == round(geometry.cropped_shape[1] / 2)


def test_cubic_resampling_of_a_smooth_field_and_its_limits():
    def field(shape):
        grid = [(np.arange(n) + 0.5) / n for n in shape]
        z, y, x = np.meshgrid(*grid, indexing="ij")
        return (np.sin(3 * z) + np.cos(4 * y) * x).astype(np.float32)

    for old, new in (((20, 24, 30), (30, 40, 25)), ((40, 40, 40), (20, 20, 20))):
        out = resample(field(old)[None], new, (1, 1, 1), (1, 1, 1))[0]
        inner = (slice(2, -2),) * 3
        assert np.abs(out - field(new))[inner].max() < 5e-3
    step = np.zeros((1, 16, 16, 16), np.float32)
    step[:, 8:] = 1
    out = resample(step, (25, 25, 25), (1, 1, 1), (1, 1, 1))
    assert out.min() >= 0  # no overshoot beside an edge
    assert out.max() <= 1


def test_linear_resampling_equals_scipy():
    rng = np.random.default_rng(0)
    array = rng.random((1, 9, 14, 7)).astype(np.float32)
    for new in ((9, 20, 11), (4, 14, 21), (18, 5, 7)):
        factors = [n / o for n, o in zip(new, array.shape[1:], strict=True)]
        expected = ndimage.zoom(array[0], factors, order=1, mode="nearest", grid_mode=True)
        out = resample(array, new, (1, 1, 1), (1, 1, 1), order=1)[0]
        np.testing.assert_allclose(out, expected, atol=1e-5)


def test_thick_slices_are_never_blended():
    assert separate_axis((5, 1, 1), (5, 1, 1)) == 0
    assert separate_axis((3, 1, 1), (3, 1, 1)) is None  # exactly three is not more than three
    assert separate_axis((1, 1, 1), (1, 4, 1)) == 1
    assert separate_axis((0.2, 1, 1), (0.2, 1, 1)) is None  # two equally coarse axes
    stack = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 10, 10), np.float32)
    out = resample(stack[None], (6, 20, 20), (6, 1, 1), (4, 0.5, 0.5))[0]
    assert [float(np.unique(s)[0]) for s in out] == [0, 1, 1, 2, 3, 3]
    assert all(len(np.unique(s)) == 1 for s in out)


def test_label_resampling_keeps_every_value_and_no_other():
    _, label = phantom()
    out = resample_labels(label.astype(np.int16), (40, 25, 60), (1, 1, 1), (1, 1, 1))
    assert set(np.unique(out)) == {0, 1, 2, 7}
    thin = np.array([[[0, 0, 0, 5, 0, 0]]], np.int16)
    assert resample_labels(thin, (1, 1, 3), (1, 1, 1), (1, 1, 2)).tolist() == [[[0, 5, 0]]]
    upscaled = resample_labels(np.array([[[-1, 3]]], np.int16), (1, 1, 4), (1, 1, 1), (1, 1, 1))
    assert upscaled.tolist() == [[[-1, -1, 3, 3]]]
    assert resampled_shape((3, 10, 1), (1, 1, 1), (100, 3, 1)) == (1, 3, 1)


def test_locations_name_voxels_of_their_value():
    rng = np.random.default_rng(0)
    label = (rng.random((60, 80, 90)) < 0.1).astype(np.int16) * 3
    label[5, 6, 7] = 500
    found = label_locations(label, "a")
    assert set(found) == {0, 3, 500}
    assert found[500].tolist() == [[5, 6, 7]]
    for value, at in found.items():
        assert (label[tuple(at.T)] == value).all()
        assert len(at) == min(LOCATIONS, (label == value).sum())
        assert len(np.unique(at, axis=0)) == len(at)
    again = label_locations(label, "a")
    assert all((again[v] == found[v]).all() for v in found)
    assert (label_locations(label, "b")[3] != found[3]).any()


# -- on disk ---------------------------------------------------------------------------------------


def write_case(root: Path, name: str, seed: int, labelled=True) -> Case:
    shape = (12 + seed % 3, 20, 18)
    image, label = phantom(shape, (2.0, 1.0, 1.0))
    image = image + (image != 0) * np.float32(seed)
    affine = volume(image, (2.0, 1.0, 1.0)).affine
    paths = root / f"{name}_0000.nii.gz", root / f"{name}.nii.gz"
    nibabel.Nifti1Image(image.T, affine).to_filename(paths[0])
    nibabel.Nifti1Image(label.T, affine).to_filename(paths[1])
    if labelled:
        return Case(name, (paths[0],), paths[1])
    return Case(name, (paths[0],), None, scheme="none")


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    root = tmp_path / "data"
    root.mkdir()
    tree = LabelTree({name: {} for name in ("background", "a", "b", "c")})
    values = {0: "background", 1: "a", 2: "b", 7: "c"}
    full = Scheme("full", tree, tuple((v, tree.below(n)) for v, n in values.items()))
    spec = LabelSpec(tree, {"full": full}, {"leaves": tree.leaves})
    cases = tuple(write_case(root, f"case{i}", i) for i in range(4))
    return Dataset(root, cases, spec, ("MR",), "phantoms")


def test_fingerprint_measures_and_its_hash_follows_the_files(dataset, tmp_path):
    measured = fingerprint(dataset, workers=2, cache=tmp_path / "cache")
    assert measured == fingerprint(dataset, workers=0)
    assert measured == fingerprint(dataset, cache=tmp_path / "cache")
    assert len(measured.shapes) == 4
    assert measured.spacings[0] == (2.0, 1.0, 1.0)
    assert 0 < measured.kept < 1
    pixels = [
        image[label > 0]
        for case in dataset.cases
        for image, label in [
            (np.asarray(nibabel.load(p).dataobj) for p in (case.images[0], case.label))
        ]
    ]
    expected = np.mean([p.mean() for p in pixels])  # every case counts alike
    assert abs(measured.intensities[0].mean - expected) < 0.1
    write_case(dataset.root, "case2", 5)
    changed = fingerprint(dataset, workers=0)
    assert changed.hash != measured.hash
    fewer = fingerprint(dataset, dataset.cases[:2], workers=0)
    assert fewer.hash != changed.hash


def test_prepare_writes_once_and_reads_back(dataset, tmp_path):
    plan = make_plan(fingerprint(dataset, workers=0))
    seen = []
    before = {p: p.stat().st_mtime_ns for p in dataset.root.iterdir()}
    prepared = prepare(dataset, plan, tmp_path / "cache", 2, progress=lambda *n: seen.append(n))
    assert seen == [(i, 4) for i in range(1, 5)]
    assert prepared.folder.name.startswith(plan.fingerprint)
    for case in dataset.cases:
        stored = prepared[case.name]
        image, label, geometry = preprocess(
            Volume(*_read(case.images[0])), plan, _read(case.label)[0][0]
        )
        assert isinstance(stored.image, np.memmap)
        np.testing.assert_array_equal(stored.image, image)
        np.testing.assert_array_equal(stored.label, label)
        assert stored.label.dtype == np.int16
        assert stored.geometry == geometry
        assert set(stored.locations) == set(np.unique(label))
    stamps = {p: p.stat().st_mtime_ns for p in prepared.folder.glob("case*")}
    again = prepare(dataset, replace(plan, batch_size=9), tmp_path / "cache", workers=0)
    assert again.folder == prepared.folder
    assert {p: p.stat().st_mtime_ns for p in prepared.folder.glob("case*")} == stamps
    assert {p: p.stat().st_mtime_ns for p in dataset.root.iterdir()} == before
    assert preprocessing_hash(plan) != preprocessing_hash(replace(plan, unit="voxel"))


def _read(path):
    file = nibabel.load(path)
    return np.asarray(file.dataobj).T[None], file.affine


def test_label_that_appears_later_and_one_that_is_hidden(dataset, tmp_path):
    plan = make_plan(fingerprint(dataset, workers=0))
    hidden = dataset.replace(cases=tuple(c.with_scheme("none") for c in dataset.cases))
    prepared = prepare(hidden, plan, tmp_path, workers=0)
    assert prepared["case0"].label is None
    assert prepared["case0"].locations == {}
    image = prepared.folder / "case0.image.npy"
    made = image.stat().st_mtime_ns
    shown = prepare(dataset, plan, tmp_path, workers=0)
    assert image.stat().st_mtime_ns == made  # only the label was missing
    assert shown["case0"].label.shape == shown["case0"].image.shape[1:]
    again = prepare(hidden, plan, tmp_path, workers=0)
    assert again["case0"].label is None  # although it lies in the cache


def test_changed_file_is_prepared_again(dataset, tmp_path):
    plan = make_plan(fingerprint(dataset, workers=0))
    old = np.array(prepare(dataset, plan, tmp_path, workers=0)["case1"].image)
    write_case(dataset.root, "case1", 40)
    new = prepare(dataset, plan, tmp_path, workers=0)["case1"].image
    assert old.shape != new.shape or (old != new).any()


KILLED = """
import sys, time
from pathlib import Path
import hinterland.data.prepared as prepared
from hinterland.types import Case, Plan

root, folder, stop = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
plan = Plan.from_json((folder / "plan.json").read_text())
save, saves = prepared._save, []

def watched(path, write):
    def slow(file):
        saves.append(path)
        if len(saves) == stop:
            file.write(b"half a file")
            file.flush()
            print("writing", flush=True)
            time.sleep(600)
        write(file)
    save(path, slow)

prepared._save = watched
for i in range(4):
    name = f"case{i}"
    case = Case(name, (root / f"{name}_0000.nii.gz",), root / f"{name}.nii.gz")
    prepared.prepare_case(case, plan, folder)
"""


def test_killed_while_preparing_goes_on(dataset, tmp_path):
    """kill -9 in the middle of each kind of file: whatever carries its name is whole."""
    plan = make_plan(fingerprint(dataset, workers=0))
    folder = tmp_path / f"{plan.fingerprint}-{preprocessing_hash(plan)}"
    folder.mkdir()
    (folder / "plan.json").write_text(plan.to_json())
    for stop in (1, 2, 6):  # an image, a label, the locations of the second case
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, dataset.root, folder, str(stop)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout.readline() == b"writing\n"
            process.send_signal(signal.SIGKILL)
    assert len([p for p in folder.iterdir() if p.name.startswith(".")]) == 3
    assert not (folder / "case1.json").exists()
    prepared = prepare(dataset, plan, tmp_path, workers=0)
    fresh = prepare(dataset, plan, tmp_path / "fresh", workers=0)
    for name in fresh:
        np.testing.assert_array_equal(prepared[name].image, fresh[name].image)
        np.testing.assert_array_equal(prepared[name].label, fresh[name].label)
        assert prepared[name].geometry == fresh[name].geometry


def test_unreadable_case_is_named(dataset, tmp_path):
    plan = make_plan(fingerprint(dataset, workers=0))
    path = dataset.cases[2].images[0]
    path.write_bytes(path.read_bytes()[:500])
    for workers in (0, 2):
        with pytest.raises(HinterlandError, match="case 'case2'"):
            prepare(dataset, plan, tmp_path, workers)


def test_cache_that_cannot_be_written(dataset, tmp_path):
    plan = make_plan(fingerprint(dataset, workers=0))
    (tmp_path / "file").write_text("")
    with pytest.raises(HinterlandError, match="HINTERLAND_CACHE"):
        prepare(dataset, plan, tmp_path / "file", workers=0)


def test_read_only_data_set(dataset, tmp_path):
    for path in (*dataset.root.iterdir(), dataset.root):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = sorted(p.name for p in dataset.root.iterdir())
    plan = make_plan(fingerprint(dataset, workers=0, cache=tmp_path))
    prepare(dataset, plan, tmp_path, workers=0)
    assert sorted(p.name for p in dataset.root.iterdir()) == before
    dataset.root.chmod(0o755)


def _work(item: int, parent: int) -> int:
    if item == 3:
        assert os.getpid() != parent
        os.kill(os.getpid(), signal.SIGKILL)  # what the system does when memory runs out
    if item == 7:
        raise ValueError("a bug of ours")
    return item * item


def test_dead_worker_is_reported_by_case_name():
    work = partial(_work, parent=os.getpid())
    names = [f"c{i}" for i in range(6)]
    with pytest.raises(HinterlandError, match=r"case 'c3'.*signal 9"):
        map_cases(work, list(range(6)), names, workers=2)
    assert map_cases(work, [0, 1, 2, 4], names[:4], workers=3) == [0, 1, 4, 16]
    with pytest.raises(RuntimeError, match="a bug of ours"):
        map_cases(work, [1, 7], ["a", "b"], workers=2)


def test_record_is_plain_json(dataset, tmp_path):
    plan = make_plan(fingerprint(dataset, workers=0))
    prepared = prepare(dataset, plan, tmp_path, workers=0)
    record = json.loads((prepared.folder / "case0.json").read_text())
    assert Geometry.from_dict(record["geometry"]) == prepared["case0"].geometry
