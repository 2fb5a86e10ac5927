"""Whole folders: a broken scan stops no other, and reading, predicting and writing overlap."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from broken import image_array, nifti
from scans import plan_for

from hinterland.data.io.journal import journal
from hinterland.data.io.volume import read_label
from hinterland.inference import folder
from hinterland.inference.folder import predict_files
from hinterland.inference.volumes import Predictor
from hinterland.labels import LabelTree
from hinterland.types import HinterlandError

TREE = LabelTree({"rest": {}, "lesion": {}})
VALUES = {"rest": 0, "lesion": 5}


def bright(x):
    logits = 4 * (x - 0.5)
    return torch.cat([-logits, logits], dim=1).softmax(dim=1)


@pytest.fixture
def predictor():
    plan = replace(plan_for((2.0, 0.8, 0.8)), patch_size=(4, 4, 4))
    return Predictor(bright, plan, TREE.leaves)


@pytest.fixture
def jobs(tmp_path):
    """Six scans; the third is cut short, the fifth holds NaN."""
    files = [tmp_path / "in" / f"s{i}.nii.gz" for i in range(6)]
    for seed, file in enumerate(files):
        nifti(file, np.where(seed == 4, np.nan, image_array(seed)))
    files[2].write_bytes(files[2].read_bytes()[:-400])
    return [(f.name.split(".")[0], (f,)) for f in files]


def test_a_truncated_scan_stops_no_other(predictor, jobs, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(HinterlandError, match="2 of 6 cases could not be predicted") as error:
        list(predict_files(predictor, jobs, out, TREE.leaves, VALUES))
    written = sorted(path.name for path in out.glob("*.nii.gz"))
    assert written == [f"s{i}.nii.gz" for i in (0, 1, 3, 5)]
    assert "case s2: " in str(error.value)
    assert "case s4: the image has NaN" in str(error.value)
    sound = [job for job in jobs if job[0] not in ("s2", "s4")]
    list(predict_files(predictor, sound, tmp_path / "sound", TREE.leaves, VALUES))
    for name in written:
        assert (out / name).read_bytes() == (tmp_path / "sound" / name).read_bytes()
        assert set(np.unique(read_label(out / name).array)) == {0, 5}


def test_the_same_command_tries_the_broken_ones_again_and_no_other(predictor, jobs, tmp_path):
    out, asked = tmp_path / "out", []

    def model(x):
        asked.append(len(x))
        return bright(x)

    counting = Predictor(model, predictor.plan, predictor.cells)
    broken: dict[str, str] = {}
    with journal(out, {"of": "this"}) as own:
        list(predict_files(counting, jobs, out, TREE.leaves, VALUES, journal=own, broken=broken))
        assert sorted(broken) == ["s2", "s4"]
        nifti(jobs[2][1][0], image_array(2))
        before, broken = len(asked), {}
        again = list(
            predict_files(counting, jobs, out, TREE.leaves, VALUES, journal=own, broken=broken)
        )
    assert [p.name for p in again] == [f"s{i}.nii.gz" for i in (0, 1, 3, 5, 2)]
    assert sorted(broken) == ["s4"]
    assert len(asked) - before == before // 4  # one scan after four


def test_one_scan_alone_is_named_once(predictor, jobs, tmp_path):
    with pytest.raises(HinterlandError, match=r"^case s2: "):
        list(predict_files(predictor, jobs[2:3], tmp_path / "out", TREE.leaves, VALUES))


def test_the_last_is_written_and_the_next_read_while_one_is_predicted(
    predictor, jobs, tmp_path, monkeypatch
):
    """The first prediction waits for the second scan, the first writer for the second prediction;
    one after the other, they would wait in vain."""
    write, load = folder.write_label, folder._load
    second_read, second_predicted = threading.Event(), threading.Event()
    met = []

    def waiting_write(path, *args, **kwargs):
        if path.name == "s0.nii.gz":
            met.append(("written", second_predicted.wait(20)))
        return write(path, *args, **kwargs)

    def noted_load(job, plan):
        found = load(job, plan)
        if job[0] == "s1":
            second_read.set()
        return found

    tiles = []

    def model(x):
        tiles.append(len(x))
        if len(tiles) == 1:
            met.append(("read", second_read.wait(20)))
        elif len(tiles) > tiles_of_one:
            second_predicted.set()
        return bright(x)

    counting = replace(predictor, model=lambda x: tiles.append(1) or bright(x))
    list(predict_files(counting, jobs[:1], tmp_path / "one", TREE.leaves, VALUES))
    tiles_of_one = len(tiles)
    tiles.clear()
    monkeypatch.setattr(folder, "write_label", waiting_write)
    monkeypatch.setattr(folder, "_load", noted_load)
    sound = [jobs[0], jobs[1], jobs[3]]
    list(
        predict_files(replace(predictor, model=model), sound, tmp_path / "out", TREE.leaves, VALUES)
    )
    assert met == [("read", True), ("written", True)]
