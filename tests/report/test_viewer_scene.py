"""Volumes for the viewer: shrunk within a budget, with their geometry, labels and errors."""

from __future__ import annotations

import base64
import gzip
import hashlib
from importlib.resources import files

import nibabel as nib
import numpy as np
import pytest
from factories import spec_of
from hypothesis import given
from hypothesis import strategies as st

from hinterland.data.io.volume import Volume
from hinterland.evaluation.masks import encode
from hinterland.report.viewer.page import engine, render_view
from hinterland.report.viewer.scene import CaseVolumes, make_scene, make_scenes
from hinterland.report.viewer.shrink import (
    factors_for,
    mean_blocks,
    pick_blocks,
    sharpest_plane,
    shrunk_affine,
    straightened,
)

SIZES = st.tuples(*[st.integers(1, 40)] * 3)


@given(SIZES, st.tuples(*[st.floats(0.2, 8)] * 3), st.integers(1, 5000))
def test_factors_fit_and_none_could_be_smaller(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], most: int
) -> None:
    factors = factors_for(shape, spacing, most)
    left = [-(-n // f) for n, f in zip(shape, factors, strict=True)]
    assert np.prod(left) <= most or left == [1, 1, 1]
    if np.prod(shape) <= most:
        assert factors == (1, 1, 1)


def test_the_finest_axis_is_shrunk_first() -> None:
    assert factors_for((40, 200, 200), (5.0, 0.5, 0.5), 400_000) == (1, 2, 2)


@given(SIZES, st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 99))
def test_blocks_match_brute_force(
    shape: tuple[int, int, int], factors: tuple[int, int, int], seed: int
) -> None:
    array = np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)
    means, picks = mean_blocks(array, factors), pick_blocks(array, factors)
    for place in np.ndindex(means.shape):
        box = tuple(slice(i * f, (i + 1) * f) for i, f in zip(place, factors, strict=True))
        assert means[place] == pytest.approx(array[box].mean(), rel=1e-5)
        assert picks[place] in array[box]


def test_affine_keeps_the_centres_of_blocks() -> None:
    affine = np.array([[0, -0.7, 0, 11], [0.7, 0, 0, -5], [0, 0, 3, 2], [0, 0, 0, 1.0]])
    small = shrunk_affine(affine, (2, 3, 4))  # z, y, x
    first = np.mean([affine @ [x, y, z, 1] for x in range(4) for y in range(3) for z in range(2)],
                    axis=0)  # fmt: skip
    np.testing.assert_allclose(small @ [0, 0, 0, 1], first)
    np.testing.assert_allclose(small[:3, :3], affine[:3, :3] @ np.diag([4, 3, 2]))


def test_an_oblique_volume_is_shown_along_its_own_axes() -> None:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, 0.9, -np.sqrt(0.19)], [0, np.sqrt(0.19), 0.9]]
    )
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([0.7, 0.8, 6]), (5, -20, 40)
    shape = (5, 30, 40)
    straight = straightened(affine, shape)
    np.testing.assert_allclose(straight[:3, :3], np.diag([0.7, 0.8, 6]), atol=1e-9)
    centre = [19.5, 14.5, 2, 1]
    np.testing.assert_allclose(straight @ centre, affine @ centre)
    assert straightened(straight, shape) is straight
    scene = make_scene(CaseVolumes("oblique", Volume(np.zeros((1, *shape)), affine)), 10**6)
    assert scene.content["oblique"]
    assert "oblique" in scene.content["shrunk"]


@pytest.mark.parametrize(
    ("sides", "order", "plane"),
    [
        ((1, 1, 5), (0, 1, 2), 0),
        ((1, 1, 1.4), (0, 1, 2), 0),
        ((5, 1, 1), (0, 1, 2), 2),
        ((1, 5, 1), (0, 1, 2), 1),
        ((1, 1, 5), (1, 2, 0), 2),  # stored sagittally: the third voxel axis runs to the right
        ((1, 1, 1), (1, 2, 0), 0),
    ],
)
def test_the_sharpest_plane_is_the_large_one(
    sides: tuple[float, ...], order: tuple[int, ...], plane: int
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, side) in enumerate(zip(order, sides, strict=True)):
        affine[world, axis] = -side
    assert sharpest_plane(affine) == plane


def _case(shape: tuple[int, int, int] = (12, 20, 24), seed: int = 0) -> CaseVolumes:
    rng = np.random.default_rng(seed)
    spec = spec_of(
        tree={"background": {"lung": {}, "rest": {}}, "lesion": {}}, target=["lesion"],
        schemes={"full": {0: "rest", 1: "lung", 2: "lesion", 3: ["lung", "lesion"]}},
    )  # fmt: skip
    labels = rng.integers(0, 4, shape).astype(np.uint8)
    reference = encode(labels, spec.scheme("full").label_values, spec.tree.leaves, "labels")
    predictions = {"a": (labels == 2).astype(np.uint8), "b": rng.integers(0, 2, shape, np.uint8)}
    affine = np.diag([0.8, 0.8, 2.0, 1.0])
    volume = Volume(rng.normal(size=(1, *shape)).astype(np.float32), affine)
    at = spec.target
    on = {name: np.where(mask, at.foreground[0], at.background).astype(np.uint8)
          for name, mask in predictions.items()}  # fmt: skip
    return CaseVolumes("case", volume, at, reference, on, spec.tree.leaves_under("rest"))


def test_scene_holds_the_volumes_and_their_meaning() -> None:
    case = _case()
    scene = make_scene(case, 10**7)
    content = scene.content
    assert scene.factors == (1, 1, 1)
    image = gzip.decompress(base64.b64decode(content["image"]))
    low, step = content["grey"]
    assert len(image) == case.volume.array.size
    values = low + step * np.frombuffer(image, np.uint8).reshape(case.volume.shape)
    inside = (case.volume.array[0] > low) & (case.volume.array[0] < low + 255 * step)
    assert abs(values - case.volume.array[0])[inside].max() <= step / 2 + 1e-5
    header = nib.Nifti1Image.from_bytes(base64.b64decode(content["header"]) + image)
    np.testing.assert_allclose(header.affine, case.volume.affine, atol=1e-5)
    # NIfTI's x runs fastest, as our last axis does
    np.testing.assert_array_equal(
        np.asarray(header.dataobj).transpose(2, 1, 0).ravel(), np.frombuffer(image, np.uint8)
    )
    names = content["structures"]
    assert sorted(names[:3]) == ["lesion", "lung", "rest"]
    assert sorted(names[3].split(" or ")) == ["lesion", "lung"]
    [lesion] = content["classes"]
    assert (lesion["inside"], lesion["undecided"]) == ([names.index("lesion")], [3])
    assert [content["structures"][i] for i in content["hidden"]] == ["rest"]


def _names(case: CaseVolumes) -> np.ndarray:
    assert case.reference is not None
    return np.array([*case.reference.at.names, "undecided"])[case.reference.codes]


def test_errors_are_counted_on_the_full_volumes() -> None:
    case = _case()
    scene = make_scene(case, 3000)
    assert scene.factors != (1, 1, 1)
    assert "shrunk" in scene.content["shrunk"]
    assert case.reference is not None
    assert case.at is not None
    is_, said = _names(case), case.predictions["b"] == case.at.foreground[0]
    voxel = 0.8 * 0.8 * 2 / 1000
    found = scene.content["errors"]["lesion"]["methods"]["b"]
    assert found["correct"] == pytest.approx((said & (is_ == "lesion")).sum() * voxel)
    assert found["missed"] == pytest.approx((~said & (is_ == "lesion")).sum() * voxel)
    assert found["false"] == {
        "lung": pytest.approx((said & (is_ == "lung")).sum() * voxel),
        "rest": pytest.approx((said & (is_ == "rest")).sum() * voxel),
    }  # what may be a lesion is no error
    assert scene.content["errors"]["lesion"]["methods"]["a"]["false"] == {}


@pytest.mark.parametrize("budget", [3_000, 10_000, 200_000])
def test_scenes_stay_within_the_budget(budget: int) -> None:
    scenes = make_scenes([_case((30, 60, 50), seed) for seed in (1, 2)], budget)
    assert sum(s.size for s in scenes) <= budget
    for scene in scenes:
        texts = [scene.content[k] for k in ("image", "reference", "prediction0", "prediction1")]
        assert scene.size == sum(map(len, texts))


def test_the_engine_is_the_one_that_its_note_names() -> None:
    note = (files("hinterland.report.vendor") / "niivue" / "README.md").read_text()
    packed = base64.b64decode(engine())
    script = gzip.decompress(packed)
    for content in (packed, script):
        assert hashlib.sha256(content).hexdigest() in note
        assert str(len(content)) in note
    licences = (files("hinterland.report.vendor") / "niivue" / "LICENSES.txt").read_text()
    assert "BSD 2-Clause" in licences
    assert len(packed) < 400_000


def test_a_page_is_its_data_and_little_more() -> None:
    scene = make_scene(_case(), 10**6)
    page = render_view("title", "lede", [scene], 10**6)
    assert len(page.encode()) - scene.size < 500_000
    assert "1 MB that they may" in page


def test_hostile_names_are_data() -> None:
    name = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(2)>"
    case = CaseVolumes(name, Volume(np.zeros((1, 2, 2, 2)), np.eye(4)))
    page = render_view(name, name, [make_scene(case, 10**6)], 10**6)
    assert "<script>alert" not in page
    assert "<img" not in page
