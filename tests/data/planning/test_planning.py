"""Planning rules: against nnU-Net's own plans, and on made-up data sets."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import broken
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning import fingerprint as fingerprints
from hinterland.data.planning.fingerprint import Fingerprint, Intensity, fingerprint
from hinterland.data.planning.nnunet import plan_with_nnunet, translate
from hinterland.data.planning.plan import make_plan, plan_cost
from hinterland.data.planning.topology import feature_voxels
from hinterland.types import HinterlandError, Plan

HERE = Path(__file__).parent
STATS = Intensity(1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0)
REFERENCE = json.loads((HERE / "nnunet_plans.json").read_text())


def made_up(shapes, spacings, channels=("MR",), kept=1.0, known=True) -> Fingerprint:
    return Fingerprint(
        hash="0123456789abcdef",
        channels=tuple(channels),
        shapes=tuple(map(tuple, shapes)),
        spacings=tuple(map(tuple, spacings)),
        intensities=(STATS,) * len(channels),
        kept=kept,
        spacing_known=known,
    )


def uniform(shape, spacing, cases=20, **more) -> Fingerprint:
    return made_up([shape] * cases, [spacing] * cases, **more)


@pytest.mark.parametrize("entry", REFERENCE, ids=lambda e: e["name"])
@pytest.mark.parametrize("dims", [2, 3])
def test_plan_equals_nnunet(entry, dims):
    """The file is what nnunetv2 2.8.1 made; see `test_reference_is_what_nnunet_says`."""
    if dims == 3 and "3d_fullres" not in entry["plans"]["configurations"]:
        dims = 2
    data = made_up(entry["shapes"], entry["spacings"], entry["channels"], entry["kept"])
    ours = make_plan(data, dims, entry["memory_gb"], entry["classes"])
    theirs = translate(
        entry["plans"], data.channels, data.hash, dims=dims, memory_gb=entry["memory_gb"]
    )
    assert ours == replace(theirs, planner="hinterland")


@pytest.mark.slow
def test_reference_is_what_nnunet_says():
    interpreter = os.environ.get("HINTERLAND_NNUNET_PYTHON")
    if not interpreter:
        pytest.skip("HINTERLAND_NNUNET_PYTHON names no interpreter with nnunetv2")
    done = subprocess.run(
        [interpreter, HERE / "nnunet_reference.py"],
        input=json.dumps([{k: v for k, v in e.items() if k != "plans"} for e in REFERENCE]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [entry["plans"] for entry in REFERENCE]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["Dataset004_Hippocampus", "Dataset027_ACDC", "Dataset101_LA_half", "Dataset116_MyoPS"],
)
def test_plan_equals_nnunet_on_real_data(name):
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.planning.fingerprint import fingerprint

    root = Path(os.environ.get("HINTERLAND_DATA", HERE.parents[3] / "shared" / "data")) / name
    if not os.environ.get("HINTERLAND_NNUNET_PYTHON"):
        pytest.skip("HINTERLAND_NNUNET_PYTHON names no interpreter with nnunetv2")
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    dataset = read_dataset(root)
    measured = fingerprint(dataset)
    classes = len(dataset.labels.tree.leaves)
    for dims in (2, 3):
        ours = make_plan(measured, dims, classes=classes)
        theirs = plan_with_nnunet(dataset, dims)
        # we round the spacings of the headers to nanometres
        known = [(a, b) for a, b in zip(ours.spacing, theirs.spacing, strict=True) if a]
        assert np.allclose(*zip(*known, strict=True), atol=1e-6)
        assert ours == replace(theirs, planner="hinterland", spacing=ours.spacing)


def test_isotropic_ct():
    plan = make_plan(uniform((512, 512, 512), (0.8, 0.8, 0.8), channels=("CT",)))
    assert plan.dims == 3
    assert plan.patch_size == (128, 128, 128)
    assert plan.batch_size == 2
    assert plan.network.features == (32, 64, 128, 256, 320, 320)
    assert plan.batch_dice
    (scheme,) = plan.normalisation
    assert (scheme.scheme, scheme.lower, scheme.upper) == ("ct", 0.0, 2.0)


def test_thick_slices():
    spacings = [(5 if i < 3 else 10, 1.5, 1.5) for i in range(20)]
    plan = make_plan(made_up([(10, 256, 216)] * 20, spacings), dims=3)
    assert plan.spacing == (5.0, 1.5, 1.5)  # the 10th percentile, not the median
    assert plan.network.kernels[0] == (1, 3, 3)
    assert plan.network.strides[1] == (1, 2, 2)
    assert make_plan(made_up([(10, 256, 216)] * 20, spacings)).dims == 3  # 20 slices of 5 mm


def test_few_slices_are_planned_in_2d_and_keep_their_distance():
    plan = make_plan(uniform((6, 256, 256), (12, 0.7, 0.7)))
    assert plan.dims == 2
    assert plan.spacing == (None, 0.7, 0.7)
    assert len(plan.patch_size) == 2
    assert plan.network.features[-1] == 512


def test_coarsest_axis_comes_first():
    plan = make_plan(uniform((256, 200, 30), (0.5, 0.5, 3)))
    assert plan.transpose == (2, 0, 1)
    assert plan.median_shape == (30, 256, 200)
    assert plan.spacing == (3, 0.5, 0.5)


def test_images_with_one_slice():
    data = uniform((1, 512, 500), (1, 1, 1), channels=("R", "G", "B"), known=False)
    plan = make_plan(data)
    assert (plan.dims, plan.unit, plan.spacing) == (2, "voxel", (None, 1, 1))
    assert {n.scheme for n in plan.normalisation} == {"rescale"}
    assert {n.upper for n in plan.normalisation} == {255.0}
    with pytest.raises(HinterlandError, match="one slice"):
        make_plan(data, dims=3)
    # a NIfTI with its single slice along x, whatever its spacing says
    sideways = make_plan(uniform((200, 300, 1), (5, 0.5, 0.5)))
    assert sideways.transpose == (2, 0, 1)
    assert sideways.dims == 2


def test_unknown_spacing_counts_voxels():
    data = uniform((40, 64, 64), (7.0, 0.3, 0.3), known=False)
    assert make_plan(data).dims == 2
    plan = make_plan(data, dims=3)
    assert (plan.unit, plan.spacing, plan.transpose) == ("voxel", (1, 1, 1), (0, 1, 2))


def test_masked_zscore_where_much_is_cropped():
    assert not make_plan(uniform((64,) * 3, (1,) * 3, kept=0.8)).normalisation[0].masked
    assert make_plan(uniform((64,) * 3, (1,) * 3, kept=0.6)).normalisation[0].masked


def test_small_memory_small_plan_and_too_small_is_refused():
    data = uniform((36, 50, 35), (1, 1, 1), cases=200)
    assert make_plan(data).patch_size == (40, 56, 40)
    big = uniform((300, 300, 300), (1, 1, 1))
    costs = [plan_cost(make_plan(big, memory_gb=gb)).memory_gb for gb in (8, 2, 0.5)]
    assert all(cost <= 1.05 * gb for cost, gb in zip(costs, (8, 2, 0.5), strict=True))
    assert costs == sorted(costs, reverse=True)
    with pytest.raises(HinterlandError, match="--memory"):
        make_plan(big, memory_gb=1e-5)


def test_plan_and_fingerprint_survive_json():
    data = uniform((40, 200, 200), (3, 0.7, 0.7), channels=("CT", "T1"), kept=0.5)
    assert Fingerprint.from_json(data.to_json()) == data
    plan = make_plan(data)
    assert Plan.from_json(plan.to_json()) == plan


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(*[st.integers(2, 300)] * 3), min_size=1, max_size=5),
    st.tuples(*[st.floats(0.2, 9)] * 3),
    st.sampled_from([2, 3]),
    st.sampled_from([1.0, 2.0, 8.0]),
)
def test_every_plan_holds_together(shapes, spacing, dims, memory):
    plan = make_plan(made_up(shapes, [spacing] * len(shapes)), dims, memory, classes=4)
    pooled = np.prod(plan.network.strides, axis=0)
    assert all(n % p == 0 for n, p in zip(plan.patch_size, pooled, strict=True))
    halves = [n // p for n, p in zip(plan.patch_size, pooled, strict=True)]
    assert all(h >= 4 or p == 1 for h, p in zip(halves, pooled, strict=True))
    assert plan.network.strides[0] == (1,) * dims
    stages = len(plan.network.strides)
    assert len(plan.network.kernels) == len(plan.network.features) == stages
    assert plan.batch_size >= 2
    # a patch is the median shape at most, rounded up to what pooling needs
    median = plan.median_shape[3 - dims :]
    assert all(n < m + 1 + p for n, m, p in zip(plan.patch_size, median, pooled, strict=True))
    two = 2 * feature_voxels(plan.patch_size, plan.network, 4)
    assert two <= {2: 12 * 85e6, 3: 2 * 560e6}[dims] * memory / 8


@pytest.mark.parametrize("dims", [2, 3])
def test_parameters_are_those_of_the_network(dims):
    from hinterland.networks import create

    plan = make_plan(uniform((24, 40, 40), (3, 1, 1)), dims)
    network = create("unet", plan, out_channels=5)
    expected = sum(p.numel() for p in network.parameters())
    assert plan_cost(plan, classes=5).parameters == expected


def test_too_many_channels_are_refused_before_their_voxels_are_read(tmp_path, monkeypatch):
    """501 channels of a tiny file once filled 5 GB before they were counted."""
    root = broken.nnunet(tmp_path / "d")
    broken.nifti(root / "imagesTr/a1_0000.nii.gz", np.zeros((9, 8, 6, 500), np.uint8))
    monkeypatch.setattr(fingerprints, "read_volume", lambda *_: pytest.fail("read"))
    with pytest.raises(
        HinterlandError, match=r"case 'a1': it has 501 channels, the data set has 2"
    ):
        fingerprint(read_dataset(root), [read_dataset(root)["a1"]], workers=0)
