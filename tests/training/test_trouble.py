"""What people's files, disks and hands do to a training run: known early, said once, lost never."""

from __future__ import annotations

import csv
import errno
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

import hinterland as hl
from hinterland.data.io.files import sweep
from hinterland.data.io.lock import alone
from hinterland.data.io.volume import read_label, write_label
from hinterland.data.planning.plan_dataset import PlanOptions
from hinterland.data.preprocessing.cache import prepare
from hinterland.data.sampling.patches import PatchDataset
from hinterland.training.checkpoint import load_checkpoint, save_checkpoint
from hinterland.training.logbook import Logbook
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run_folder import new_folder
from hinterland.training.runs.run_training import run_or_resume

CONFIG = {
    "steps": 1, "batch_size": 2, "patch_size": [16, 16], "precision": "fp32", "accelerator": "cpu",
    "network_options": {"features": [4, 8]}, "validation": {"mirror": False},
}  # fmt: skip


def asked(folder, fold="fixed", **settings):
    config = hl.make_config({**CONFIG, **settings})
    dataset = hl.read_dataset(folder)
    return RunRequest(dataset, on=("leaves",), fold=fold, plan=PlanOptions(2, 1.0), config=config)


@pytest.fixture
def folder(tmp_path):
    return hl.make_phantoms(tmp_path / "phantoms", cases=(3, 1, 1), size=24)


def label_files(folder):
    return sorted(c.label for c in hl.read_dataset(folder).cases)


@pytest.fixture
def stages():
    return []


@pytest.mark.parametrize(("step", "dtype"), [(1000, np.uint16), (3000, np.uint16), (31, np.uint8)])
def test_any_label_value_is_trained_predicted_written_and_evaluated(folder, tmp_path, step, dtype):
    """FreeSurfer's 1002 and 2002, and whatever else 16 bits hold."""
    for file in label_files(folder):
        array = read_label(file).array[0].astype(np.int32)
        write_label(file, array * step, like=file, overwrite=True)
    text = yaml.safe_load((folder / "labels.yaml").read_text())
    text["schemes"] = {
        name: {value * step: node for value, node in values.items()}
        for name, values in text["schemes"].items()
    }
    (folder / "labels.yaml").write_text(yaml.safe_dump(text))
    run = run_or_resume(asked(folder), tmp_path / "run")
    case = run.dataset.test[0]
    written = nib.load(run.path / "predictions" / case.label.name)
    known = set(run.record.spec.default_scheme.label_values)
    assert max(known) >= step
    found = np.unique(np.asarray(written.dataobj))
    assert set(found.tolist()) <= known
    assert written.get_data_dtype() == np.min_scalar_type(int(found.max()))
    assert np.dtype(np.min_scalar_type(max(known))) == dtype
    # a reference against itself, through the same integers
    reference = tmp_path / "reference"
    reference.mkdir()
    write_label(reference / case.label.name, read_label(case.label).array[0], like=case.label)
    table = hl.evaluate(reference, run.dataset.test, labels=run.record.spec)
    assert table["dice"].tolist() == [1.0] * len(table)


def test_a_stray_value_is_known_before_the_first_step_however_small(folder, tmp_path, stages):
    """One voxel of a value that no scheme names, in a training and in a test case."""
    first, last = label_files(folder)[0], label_files(folder)[-1]
    for file, value in ((first, 77), (last, 200)):
        array = read_label(file).array[0].astype(np.int32)
        array[0, 0, 0] = value
        write_label(file, array, like=file, overwrite=True)
    with pytest.raises(hl.HinterlandError) as info:
        run_or_resume(asked(folder), tmp_path / "run", stage=stages.append)
    message = str(info.value)
    assert f"{first.name} holds 77" in message
    assert f"{last.name} holds 200" in message
    assert "labels.yaml" in message
    assert stages[-1] == "preprocessing"
    assert not (tmp_path / "run").exists()


def test_values_that_resampling_loses_are_remembered(folder):
    file = label_files(folder)[0]
    array = read_label(file).array[0].astype(np.int32)
    array[0, 0, 0] = 77
    write_label(file, array, like=file, overwrite=True)
    dataset = hl.read_dataset(folder)
    plan = hl.plan(dataset, dims=3, memory_gb=1.0)
    plan = replace(plan, spacing=tuple(3 * s for s in plan.spacing))
    prepared = prepare(dataset, plan)
    values = prepared[dataset.cases[0].name].values
    assert values == tuple(sorted(set(np.unique(array).tolist())))
    assert set(prepared[dataset.cases[0].name].locations) < set(values)


def test_a_label_that_is_stored_flipped_is_turned_onto_its_image(folder):
    dataset = hl.read_dataset(folder)
    plan = hl.plan(dataset, dims=2, memory_gb=1.0)
    case = dataset.cases[0]
    before = np.array(prepare(dataset, plan)[case.name].label)
    nib.save(nib.load(case.label).as_reoriented([[0, -1], [1, 1], [2, 1]]), case.label)
    np.testing.assert_array_equal(prepare(dataset, plan)[case.name].label, before)


def test_a_label_on_another_grid_is_known_before_the_first_step(folder, tmp_path, stages):
    file = label_files(folder)[0]
    image = nib.load(file)
    affine = image.affine.copy()
    affine[:3, 3] += 50  # mm
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), file)
    with pytest.raises(hl.HinterlandError, match=rf"{file.name}.* origin"):
        run_or_resume(asked(folder), tmp_path / "run", stage=stages.append)
    assert "training" not in stages
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accelerator": "cudda"}, r"'cudda': expected auto, cpu, cuda, mps"),
        ({"accelerator": "tpu"}, "expected auto"),
        ({"accelerator": "cuda"}, "this machine has none.*accelerator=cpu"),
        ({"accelerator": "gpu"}, "this machine has none"),
        ({"network": "magic"}, "magic"),
        ({"patch_size": [7, 7]}, r"patch_size \[7, 7\] is too small.*own patch is"),
        ({"patch_size": [0, 32]}, r"patch_size \[0, 32\] is too small"),
        ({"patch_size": [-8, 32]}, r"patch_size \[-8, 32\] is too small"),
        ({"patch_size": [16, 16, 16]}, "3 edges, the plan is 2D"),
        ({"patch_size": [11, 4]}, r"too small"),
    ],
)
def test_a_start_that_cannot_succeed_deletes_nothing(
    folder, tmp_path, monkeypatch, settings, message
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("of a finished run")
    with pytest.raises(hl.HinterlandError, match=message):
        run_or_resume(asked(folder, **settings), run, existing="replace")
    assert (run / "config.yaml").read_text() == "of a finished run"


@pytest.mark.parametrize("patch", [[8, 8], [12, 4], [7, 64]])
def test_small_patches_that_can_be_trained_are(folder, tmp_path, patch):
    assert run_or_resume(asked(folder, patch_size=patch), tmp_path / "run").finished


def test_more_devices_than_there_are_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    request = asked(folder, accelerator="cuda", devices=2)
    with pytest.raises(hl.HinterlandError, match=r"devices=2: this machine has 1 such device"):
        run_or_resume(request, tmp_path / "run")


def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "checkpoints" / "last.ckpt"
    save_checkpoint(file, {"step": 1})

    def full(_, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(hl.HinterlandError, match=r"last.ckpt cannot be written: no space"):
        save_checkpoint(file, {"step": 2})
    assert [p.name for p in file.parent.iterdir()] == ["last.ckpt"]
    assert load_checkpoint(file)["step"] == 1


def test_a_checkpoint_has_the_same_bytes_whoever_writes_it(tmp_path, monkeypatch):
    content = {"step": 1, "networks": {"a": torch.arange(5.0)}}
    save_checkpoint(tmp_path / "one.ckpt", content)
    monkeypatch.setattr(os, "getpid", lambda: 12345)
    save_checkpoint(tmp_path / "two.ckpt", content)
    assert (tmp_path / "one.ckpt").read_bytes() == (tmp_path / "two.ckpt").read_bytes()


def test_a_log_that_cannot_be_written_names_itself_and_the_way_on(tmp_path):
    logbook = Logbook(tmp_path)
    logbook._file.close()
    logbook._file = Path("/dev/full").open("w")  # noqa: SIM115
    logbook._csv = csv.writer(logbook._file)
    logbook.write("train", 0, {"loss": 1.0})
    with pytest.raises(hl.HinterlandError, match=r"log.csv cannot be written.*hinterland resume"):
        logbook.flush()


@pytest.mark.parametrize("variable", ["HINTERLAND_CACHE", "HOME"])
def test_a_cache_that_cannot_be_made_names_the_variable(folder, tmp_path, monkeypatch, variable):
    monkeypatch.delenv("HINTERLAND_CACHE", raising=False)
    monkeypatch.setenv(variable, "/proc/nowhere")
    with pytest.raises(hl.HinterlandError, match=r"cannot be written to.*Set HINTERLAND_CACHE"):
        run_or_resume(asked(folder), tmp_path / "run")


def test_without_any_home_the_variable_is_named(folder, monkeypatch):
    monkeypatch.delenv("HINTERLAND_CACHE", raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(hl.HinterlandError, match=r"no home. Set HINTERLAND_CACHE"):
        hl.plan(hl.read_dataset(folder))


def test_a_killed_loader_is_one_message(folder, tmp_path, monkeypatch):
    real, main = PatchDataset.__getitem__, os.getpid()

    def killed(self, key):
        if os.getpid() != main:
            os.kill(os.getpid(), 9)
        return real(self, key)

    monkeypatch.setattr(PatchDataset, "__getitem__", killed)
    with pytest.raises(hl.HinterlandError, match=r"has died.*hinterland resume .*workers=0"):
        run_or_resume(asked(folder, data={"workers": 1}), tmp_path / "run")
    monkeypatch.setattr(PatchDataset, "__getitem__", real)
    assert hl.resume(tmp_path / "run").finished


@pytest.mark.parametrize("cases", [1, 2])
def test_what_is_advised_to_few_patients_works(tmp_path, cases):
    folder = hl.make_phantoms(tmp_path / "few", cases=(cases, 0, 0), size=24)
    fold = "all" if cases == 1 else "fixed"
    with pytest.raises(hl.HinterlandError, match=rf"there are {cases}\. Take --fold {fold}"):
        run_or_resume(asked(folder, fold=0), tmp_path / "run")
    assert run_or_resume(asked(folder, fold=fold), tmp_path / "run").finished


def test_a_run_is_worked_on_by_one_process_at_a_time(folder, tmp_path):
    run, busy = tmp_path / "run", r"another process is working on .*run"
    run_or_resume(asked(folder), run, finish=False)
    with alone(run, "it"):
        with pytest.raises(hl.HinterlandError, match=busy):
            hl.resume(run)
        with pytest.raises(hl.HinterlandError, match=busy):
            run_or_resume(asked(folder), run)
        with pytest.raises(hl.HinterlandError, match=busy):
            run_or_resume(asked(folder), run, existing="replace")
    assert (run / "config.yaml").is_file()
    assert hl.resume(run).finished


def test_of_two_starts_at_once_one_trains_and_the_other_says_so(folder, tmp_path):
    run = tmp_path / "run"

    def meanwhile(stage):
        if stage == "preprocessing":
            (run / "checkpoints").mkdir(parents=True)
            (run / "config.yaml").write_text("of another process")

    with pytest.raises(hl.HinterlandError, match=r"exists already.*hinterland resume"):
        run_or_resume(asked(folder), run, stage=meanwhile)
    assert (run / "config.yaml").read_text() == "of another process"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["phantoms", "run"]


def test_a_run_that_was_being_replaced_when_it_was_stopped_can_be_started_again(
    folder, tmp_path, monkeypatch
):
    run_or_resume(asked(folder), tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: os._exit(9))
        child = os.fork()
        if child == 0:
            with new_folder(tmp_path / "run", overwrite=True):
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    sweep.cache_clear()  # as in a new process
    assert run_or_resume(asked(folder), tmp_path / "run", existing="replace").finished
    assert sorted(p.name for p in tmp_path.iterdir()) == ["phantoms", "run"]
