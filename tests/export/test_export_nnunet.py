"""Model folders for nnU-Net: what they hold, what is refused, and what nnU-Net makes of them."""

from __future__ import annotations

import json
import os
import subprocess
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
from hinterland.export.nnunet import export_nnunet
from hinterland.inference.folder import predict_files
from hinterland.inference.volumes import Predictor, WindowOptions
from hinterland.labels import LabelTree
from hinterland.networks import create
from hinterland.types import HinterlandError, NetworkPlan, Normalisation, Plan

NNUNET = os.environ.get("HINTERLAND_NNUNET_PYTHON")
needs_nnunet = pytest.mark.skipif(
    not NNUNET, reason="HINTERLAND_NNUNET_PYTHON names no Python with nnU-Net"
)
LABELS = {"rest": 0, "lung": 1, "infection": 2}
ZSCORE = Normalisation("zscore", masked=True)
CT = Normalisation("ct", lower=-1.2, upper=1.5, mean=0.1, std=0.8)
RGB = Normalisation("rescale", lower=0.0, upper=255.0)


def plan_for(dims: int, **changes) -> Plan:
    """Anisotropic in 3D, so that kernels, strides and spacing are told apart."""
    strides = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
    kernels = ((1, 3, 3), (3, 3, 3), (3, 3, 3))
    values = {
        "normalisation": (CT, ZSCORE),
        "spacing": (2.0 if dims == 3 else None, 1.0, 1.1),
        "median_shape": (18, 50, 60),
        "network": NetworkPlan(
            (8, 12, 16), tuple(s[-dims:] for s in strides), tuple(k[-dims:] for k in kernels)
        ),
        **changes,
    }
    return plan_of((8, 24, 32)[-dims:], channels=("CT", "T2"), **values)


def network_for(name: str, plan: Plan, norm: str = "instance", deep: bool = True):
    """Random weights with logits far enough apart that most voxels have a clear winner."""
    network = create(name, plan, 3, deep, norm=norm, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for key, p in network.named_parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
            if key.startswith("head"):
                p.mul_(10)
        if norm == "batch":  # moves the running statistics off their start
            network(torch.randn(4, len(plan.channels), *plan.patch_size, generator=generator))
    return network.eval()


def run(model: Path, what: str, source: Path, target: Path) -> None:
    command = [NNUNET, Path(__file__).with_name("nnunet_script.py"), model, what, source, target]
    folders = dict.fromkeys(("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"), str(model))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | folders
    done = subprocess.run(
        [str(c) for c in command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_folder_holds_what_nnunet_reads(tmp_path):
    plan = plan_for(3)
    network = network_for("unet", plan)
    out = tmp_path / "model"
    export_nnunet(network.state_dict(), "unet", plan, LABELS, out, mirror=(0, 1, 2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == [
        "dataset.json", "fold_0/checkpoint_final.pth", "plans.json"
    ]  # fmt: skip
    description = json.loads((out / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "lung": 1, "infection": 2}
    assert description["channel_names"] == {"0": "CT", "1": "T2"}
    plans = json.loads((out / "plans.json").read_text())
    config = plans["configurations"]["3d_fullres"]
    assert config["normalization_schemes"] == ["CTNormalization", "ZScoreNormalization"]
    assert config["use_mask_for_norm"] == [False, True]
    assert config["spacing"] == [2.0, 1.0, 1.1]
    assert config["resampling_fn_data_kwargs"]["order"] == 3
    assert plans["foreground_intensity_properties_per_channel"]["0"] == {
        "mean": 0.1, "std": 0.8, "percentile_00_5": -1.2, "percentile_99_5": 1.5
    }  # fmt: skip
    checkpoint = torch.load(out / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["trainer_name"] == "nnUNetTrainer"
    assert checkpoint["init_args"]["configuration"] == "3d_fullres"
    assert checkpoint["inference_allowed_mirroring_axes"] == (0, 1, 2)


def test_channels_are_put_in_the_order_of_their_integers(tmp_path):
    plan = plan_for(2)
    network = network_for("unet", plan)
    labels = {"rest": 0, "tumour": 7, "lung": 3}
    out = tmp_path / "m"
    numbers = export_nnunet(network.state_dict(), "unet", plan, labels, out)
    assert numbers == {"rest": 0, "lung": 1, "tumour": 2}
    weights = torch.load(out / "fold_0" / "checkpoint_final.pth")["network_weights"]
    ours = network.head.layers[0].weight
    assert torch.equal(weights["decoder.seg_layers.1.weight"], ours[[0, 2, 1]])


def test_voxel_plans_are_not_resampled(tmp_path):
    plan = plan_for(2, unit="voxel", spacing=(None, 1.0, 1.0))
    network = network_for("unet", plan)
    export_nnunet(network.state_dict(), "unet", plan, LABELS, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "plans.json").read_text())["configurations"]["2d"]
    assert config["resampling_fn_probabilities"] == "no_resampling_hack"


REFUSALS = {
    "network": ({"network": "segresnet"}, {}, "no network like segresnet"),
    "gap at zero": ({"labels": {"a": 1, "b": 2, "c": 3}}, {}, "0 for the background"),
    "too few labels": ({"labels": {"a": 0, "b": 1}}, {}, "3 channels"),
    "reserved": ({"labels": {"a": 0, "ignore": 1, "c": 2}}, {}, "reserves this name"),
    "background elsewhere": ({"labels": {"background": 1, "a": 0, "c": 2}}, {}, "reserves"),
    "jpeg": ({"file_ending": ".jpg"}, {}, "reads no .jpg"),
    "range": ({}, {"normalisation": (Normalisation("rescale", 0, 4095), CT)}, "fixed range"),
    "voxels": ({}, {"unit": "voxel", "spacing": (None, 2.0, 2.0)}, "by a factor"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_nnunet_cannot_express_is_refused(kind, tmp_path):
    arguments, changes, message = REFUSALS[kind]
    plan = plan_for(2, **changes)
    weights = network_for("unet", plan).state_dict()
    given = {"network": "unet", "labels": LABELS} | arguments
    with pytest.raises(HinterlandError, match=message):
        export_nnunet(weights, plan=plan, out=tmp_path / "m", **given)
    assert not list(tmp_path.iterdir())


def test_foreign_weights_are_refused(tmp_path):
    plan = plan_for(2)
    network = network_for("unet", plan)
    network.decoder = network.make_decoder("interpolate", seed=0)
    for weights in (network.state_dict(), torch.nn.Linear(2, 3).state_dict()):
        with pytest.raises(HinterlandError, match="not those of a U-Net"):
            export_nnunet(weights, "unet", plan, LABELS, tmp_path / "m")


def test_nothing_is_overwritten_unasked(tmp_path):
    plan = plan_for(2)
    weights = network_for("unet", plan).state_dict()
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "precious").write_text("x")
    with pytest.raises(HinterlandError, match="exists already"):
        export_nnunet(weights, "unet", plan, LABELS, tmp_path / "m")
    assert (tmp_path / "m" / "precious").exists()
    export_nnunet(weights, "unet", plan, LABELS, tmp_path / "m", overwrite=True)
    assert not (tmp_path / "m" / "precious").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@needs_nnunet
@pytest.mark.slow
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("name", "norm", "deep"),
    [("unet", "instance", True), ("unet", "batch", False), ("resenc-m", "instance", True),
     ("resenc-l", "batch", False)],
)  # fmt: skip
def test_nnunet_computes_the_same_logits(name, norm, deep, dims, tmp_path):
    plan = plan_for(dims)
    network = network_for(name, plan, norm, deep)
    export_nnunet(network.state_dict(), name, plan, LABELS, tmp_path / "m")
    patch = np.random.default_rng(0).normal(size=(2, 2, *plan.patch_size)).astype(np.float32)
    np.save(tmp_path / "in.npy", patch)
    run(tmp_path / "m", "patch", tmp_path / "in.npy", tmp_path / "out.npy")
    with torch.no_grad():
        expected = network(torch.from_numpy(patch)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-4)


def scan(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Smooth random (z, y, x) on scales of a few voxels, with a rim of zeros to be cropped."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, 2.5)
    smooth = (smooth / smooth.std()).astype(np.float32)
    for axis in (1, 2):
        np.moveaxis(smooth, axis, 0)[:4] = 0
    return smooth


def trained(network, plan: Plan):
    """After some steps towards "bright in the first channel is 2, in the second 1"."""
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    channels = len(plan.channels)
    for step in range(80):
        images = [scan((8, 40, 40), 100 + step * channels + c) for c in range(channels)]
        image = torch.from_numpy(np.stack(images))[:, : plan.patch_size[0], 5:29, 5:37]
        image = (image[None] if plan.dims == 3 else image[:, :, :24].transpose(0, 1)).float()
        target = torch.where(image[:, 0] > 0.5, 2, (image[:, 1] > 0.3).long())
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network.train()(image), target).backward()
        optimiser.step()
    return network.eval()


@needs_nnunet
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["3d", "3d-thick-transposed", "2d-slices", "2d-rgb"])
def test_nnunet_predicts_the_same_labels_from_raw_images(kind, tmp_path):
    plan = plan_for(3 if kind.startswith("3d") else 2)
    spacing = (2.5, 1.1, 1.0)
    if kind == "3d-thick-transposed":  # the thick axis is x in the file and z in the plan
        plan, spacing = replace(plan, transpose=(2, 0, 1), spacing=(4.0, 1.0, 1.1)), (1.2, 1.0, 5.0)
    images = tmp_path / "images"
    images.mkdir()
    if kind == "2d-rgb":
        plan = replace(
            plan, channels=("R", "G", "B"), normalisation=(RGB,) * 3, spacing=(None, 1.0, 1.0)
        )
        colours = np.clip(
            128 + 50 * np.stack([scan((1, 61, 70), s)[0] for s in range(3)], -1), 0, 255
        )
        Image.fromarray(colours.astype(np.uint8)).save(images / "case_0000.png")
        files, ending = [images / "case_0000.png"], ".png"
    else:
        ending = ".nii.gz"
        files = [images / f"case_000{c}{ending}" for c in (0, 1)]
        shape = (40, 44, 17) if kind == "3d-thick-transposed" else (17, 44, 50)
        affine = np.diag([*spacing[::-1], 1.0])
        for channel, path in enumerate(files):
            nib.save(nib.Nifti1Image(scan(shape, channel).transpose(2, 1, 0), affine), path)

    network = trained(network_for("unet", plan), plan)
    mirror = tuple(range(plan.dims))
    export_nnunet(
        network.state_dict(), "unet", plan, LABELS, tmp_path / "m", mirror=mirror,
        file_ending=ending,
    )  # fmt: skip
    run(tmp_path / "m", "images", images, tmp_path / "theirs")
    tree = LabelTree({"rest": {}, "lung": {}, "infection": {}}, remainder="rest")
    predictor = Predictor(
        lambda x: network(x).softmax(1), plan, tree.leaves, WindowOptions(mirror=mirror)
    )
    list(predict_files(predictor, [("case", files)], tmp_path / "ours", tree.leaves, LABELS))
    ours, theirs = (
        read_volume(tmp_path / who / f"case{ending}").array[0] for who in ("ours", "theirs")
    )
    assert set(np.unique(theirs)) == {0, 1, 2}
    agreement = (ours == theirs).mean()
    assert agreement >= 0.999, f"{agreement:.5f} of {ours.size} voxels agree"
    for value in (1, 2):
        a, b = ours == value, theirs == value
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) >= 0.99
