"""A file format and an augmentation of another package, from the command line."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
from cli_helpers import FAST

from hinterland.data.io.volume import read_label, read_volume
from outside import OUTSIDE, run_outside


@pytest.mark.slow
def test_check_train_and_predict_know_them(phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(OUTSIDE)])
    from outside_format import read, write

    data, run, out, calls = (tmp_path / n for n in ("data", "run", "out", "calls"))
    shutil.copytree(phantoms, data)
    for file in data.glob("*/*.png"):
        volume = (read_label if file.parent.name.startswith("labels") else read_volume)(file)
        write(file.with_suffix(".vol.npz"), volume.array, volume.affine)
        file.unlink()
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, "file_ending": ".vol.npz"}))
    assert json.loads(run_outside("check", data, "--json").stdout)["ok"]
    run_outside("train", data, "--method", "supervised", "--fold", "fixed", "--steps", 2,
                "--out", run, "--set", "data.augmentation=dimmed", "--set", "data.workers=0",
                *FAST, OUTSIDE_CALLS=str(calls))  # fmt: skip
    assert len(calls.read_text().splitlines()) == 2 * 2  # steps times the batch size of FAST
    run_outside("predict", run, data / "imagesTs", out)
    masks = sorted(out.glob("*.vol.npz"))
    assert len(masks) == 3
    image, _ = read(data / "imagesTs" / masks[0].name.replace(".vol", "_0000.vol"))
    found, _ = read(masks[0])
    assert found.shape == image.shape
    assert set(np.unique(found)) <= {0, 1, 2, 3, 4, 5}
