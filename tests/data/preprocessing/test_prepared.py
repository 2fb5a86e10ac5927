"""Fingerprints and prepared cases on disk: idempotent, resumable, no death unnoticed."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scans import phantom, volume

from hinterland.data.integrity.before_training import refuse_unknown_values
from hinterland.data.io.volume import Volume, read_label, write_label
from hinterland.data.planning.fingerprint import fingerprint
from hinterland.data.planning.plan import make_plan
from hinterland.data.preprocessing.cache import cache_root, prepare, preprocessing_hash
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.data.workers import map_cases, outcomes
from hinterland.labels import LabelSpec, LabelTree, Scheme
from hinterland.types import Case, Dataset, HinterlandError


def write_case(root: Path, name: str, seed: int) -> Case:
    shape = (12 + seed % 3, 20, 18)
    image, label = phantom(shape, (2.0, 1.0, 1.0))
    image = image + (image != 0) * np.float32(seed)
    affine = volume(image, (2.0, 1.0, 1.0)).affine
    paths = root / f"{name}_0000.nii.gz", root / f"{name}.nii.gz"
    nibabel.Nifti1Image(image.T, affine).to_filename(paths[0])
    nibabel.Nifti1Image(label.T, affine).to_filename(paths[1])
    return Case(name, (paths[0],), paths[1])


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    root = tmp_path / "data"
    root.mkdir()
    tree = LabelTree({name: {} for name in ("background", "a", "b", "c")})
    values = {0: "background", 1: "a", 2: "b", 7: "c"}
    full = Scheme("full", tree, tuple((v, tree.leaves_under(n)) for v, n in values.items()))
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
import hinterland.data.preprocessing.cache as prepared
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
    # what the first two left, those after them have swept away
    assert len([p for p in folder.iterdir() if p.name.startswith(".")]) == 1
    assert not (folder / "case1.json").exists()
    prepared = prepare(dataset, plan, tmp_path, workers=0)
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
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


def test_a_fingerprint_that_cannot_be_kept_names_the_variable(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HinterlandError, match=r"cannot be written.*HINTERLAND_CACHE"):
        fingerprint(dataset, workers=0, cache=tmp_path / "file")


def test_without_a_home_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("HINTERLAND_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(HinterlandError, match="Set HINTERLAND_CACHE"):
        cache_root()


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


def _die_on_three(item: int) -> int:
    if item in (3, 4):
        os._exit(9)
    return item * item


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_others_go_on_after_deaths(workers):
    found = dict(outcomes(_die_on_three, list(range(9)), workers))
    assert {i: o.result for i, o in found.items() if o.kind == "done"} == {
        i: i * i for i in range(9) if i not in (3, 4)
    }
    assert [found[i].kind for i in (3, 4)] == ["died", "died"]
    assert found[3].message == "ended (9)"


def _die_beside_another(item: str) -> str:
    """Dies unless it is alone: the other process's mark is a file."""
    mark = Path(item)
    if mark.with_name("first").exists() and mark.name == "second":
        return "fitted"
    if mark.name == "second":
        mark.with_name("first").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_a_case_that_only_fits_alone_is_tried_again(tmp_path):
    items = [str(tmp_path / name) for name in ("a", "second", "b")]
    assert map_cases(_die_beside_another, items, items, workers=2) == ["done", "fitted", "done"]


def test_record_is_plain_json(dataset, tmp_path):
    plan = make_plan(fingerprint(dataset, workers=0))
    prepared = prepare(dataset, plan, tmp_path, workers=0)
    record = json.loads((prepared.folder / "case0.json").read_text())
    assert Geometry.from_dict(record["geometry"]) == prepared["case0"].geometry


ORPHANS = """
import os, time
from hinterland.data.workers import map_cases

def sleep(item):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece, unbuffered or not
    time.sleep(60)

map_cases(sleep, [1, 2], ["a", "b"], workers=2)
"""


def test_workers_leave_when_their_parent_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True
    ) as process:
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_a_stray_value_is_known_before_the_first_step(dataset, tmp_path):
    case = dataset.cases[1]
    label = read_label(case.label)
    array = label.array[0].astype(np.int16)
    array[0, 0, 0] = 99  # one voxel, which a patch would hardly ever hit
    write_label(case.label, array, like=label, overwrite=True)
    plan = make_plan(fingerprint(dataset, workers=0))
    for _ in range(2):  # also where everything is prepared already
        prepared = prepare(dataset, plan, tmp_path, workers=0)
        with pytest.raises(HinterlandError, match=rf"{case.label.name} holds 99, which"):
            refuse_unknown_values(dataset.cases, dataset.labels.schemes, prepared)
