"""MONAI bundles, run by MONAI alone in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from factories import plan_of
from PIL import Image
from scipy import ndimage

from hinterland.data.io.volume import read_volume
from hinterland.export.monai import _save_network, export_monai
from hinterland.export.monai_axes import MonaiAxes
from hinterland.inference.folder import predict_files
from hinterland.inference.volumes import Predictor
from hinterland.labels import LabelTree
from hinterland.networks import create
from hinterland.types import HinterlandError, Normalisation, Plan

LABELS = {"rest": 0, "lung": 5, "infection": 2}
RUN = """
import sys, json
from monai.bundle import ConfigParser
root, images, out = sys.argv[1:]
assert not any(m.startswith("hinterland") for m in sys.modules)
parser = ConfigParser(ConfigParser.load_config_file(root + "/configs/inference.json"))
parser["bundle_root"], parser["images"], parser["output_dir"] = root, json.loads(images), out
parser.parse()
parser.get_parsed_content("imports"); parser.get_parsed_content("run")
assert not any(m.startswith("hinterland") for m in sys.modules)
"""


def plan_for(dims: int, **changes) -> Plan:
    values = {
        "normalisation": (Normalisation("ct", -1.2, 1.5, 0.1, 0.8), Normalisation("zscore")),
        "spacing": (2.0 if dims == 3 else None, 1.0, 1.1),
        "median_shape": (18, 50, 60),
        **changes,
    }
    return plan_of((8, 24, 32)[-dims:], (8, 12), ("CT", "T2"), **values)


class Threshold(torch.nn.Module):
    """Bright in the first channel is class 2, in the last class 1; looks one voxel along axis 0."""

    def forward(self, x):
        a, b = x[:, 0], x[:, -1]
        a = (a + torch.roll(a, 1, 1)) / 2
        return torch.stack([torch.zeros_like(a), 4 * (b - 0.5), 6 * (a - 0.5)], 1)


def scan(shape, seed):
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, [min(3.0, n / 4) for n in shape])
    return (smooth / smooth.std()).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["3d", "3d-transposed", "2d-slices", "2d-rgb"])
def test_monai_predicts_nearly_the_same(kind, tmp_path):
    plan = plan_for(3 if kind.startswith("3d") else 2)
    shape, spacing, ending = (17, 44, 50), (2.0, 1.0, 1.1), ".nii.gz"
    if kind == "3d-transposed":
        plan, shape = replace(plan, transpose=(2, 0, 1)), (44, 50, 17)
        spacing = (1.0, 1.1, 2.0)
    if kind == "2d-rgb":
        rgb = Normalisation("rescale", 0, 255)
        plan = replace(plan, channels=("R", "G", "B"), normalisation=(rgb,) * 3)
        grey = np.stack([scan((61, 70), s) for s in range(3)], -1)
        ending, files = ".png", [tmp_path / "case_0000.png"]
        Image.fromarray(np.clip(128 + 50 * grey, 1, 255).astype(np.uint8)).save(files[0])
    else:
        files = [tmp_path / f"case_000{c}.nii.gz" for c in (0, 1)]
        for channel, path in enumerate(files):
            array = scan(shape, channel).transpose(2, 1, 0)
            nib.save(nib.Nifti1Image(array, np.diag([*spacing[::-1], 1.0])), path)

    bundle = tmp_path / "bundle"
    export_monai(Threshold(), plan, LABELS, bundle, file_ending=ending)
    images = json.dumps([[str(f) for f in files] if len(files) > 1 else str(files[0])])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(bundle), images, str(tmp_path / "theirs")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    tree = LabelTree({"rest": {}, "lung": {}, "infection": {}}, remainder="rest")
    net = Threshold()
    predictor = Predictor(lambda x: net(x).softmax(1), plan, tree.leaves)
    list(predict_files(predictor, [("case", files)], tmp_path / "ours", tree.leaves, LABELS))
    ours = read_volume(tmp_path / "ours" / f"case{ending}").array[0]
    (path,) = (tmp_path / "theirs").iterdir()
    theirs = read_volume(path).array[0]
    assert theirs.shape == ours.shape
    assert set(np.unique(theirs)) == {0, 2, 5}
    assert (ours == theirs).mean() > 0.99


@pytest.mark.parametrize(("name", "dims"), [("unet", 3), ("resenc-m", 2), ("segresnet", 2)])
def test_networks_survive_torchscript(name, dims, tmp_path):
    plan = plan_for(dims)
    network = create(name, plan, 3, features=(8, 16))
    export_monai(network, plan, LABELS, tmp_path / "b")
    loaded = torch.jit.load(tmp_path / "b" / "models" / "model.ts")
    roi = MonaiAxes.of(plan, flat_files=False).roi
    x = torch.randn(2, 2, *roi, generator=torch.Generator().manual_seed(0))
    flip = (0, 1, *range(dims + 1, 1, -1))  # x, y, z and z, y, x
    with torch.no_grad():
        expected = network.eval()(x.permute(flip)).permute(flip)[:, [0, 2, 1]]
        torch.testing.assert_close(loaded(x), expected, atol=1e-4, rtol=1e-4)
    metadata = json.loads((tmp_path / "b" / "configs" / "metadata.json").read_text())
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert channels == {"0": "rest", "1": "infection", "2": "lung"}


def test_refusals(tmp_path):
    plan, net = plan_for(2), Threshold()
    masked = (Normalisation("zscore", masked=True), Normalisation("zscore"))
    for changed in (replace(plan, normalisation=masked),
                    replace(plan, normalisation=(Normalisation("rescale"),) * 2)):  # fmt: skip
        with pytest.raises(HinterlandError, match="--to onnx"):
            export_monai(net, changed, LABELS, tmp_path / "b")
    with pytest.raises(HinterlandError, match="0 for the background"):
        export_monai(net, plan, {"a": 1, "b": 2, "c": 3}, tmp_path / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "b").mkdir()
    with pytest.raises(HinterlandError, match="exists already"):
        export_monai(net, plan, LABELS, tmp_path / "b")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_does_not_end_the_process():
    """Nor is the network blamed."""
    plan = plan_for(2)
    axes = MonaiAxes.of(plan, flat_files=False)
    with pytest.raises(OSError, match="No space left"):
        _save_network(Threshold(), axes, [0, 1, 2], plan, Path("/dev/full"))
