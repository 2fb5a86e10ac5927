"""Pooled and noisy copies of data sets, and grey-level divergences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from factories import spec_of
from picture_sets import pictures
from PIL import Image

from hinterland.data.dataset.read import read_dataset
from hinterland.data.derived.dataset import pool, resized, write_derived
from hinterland.data.io.volume import read_label, read_volume
from hinterland.studies.addition.grey_levels import divergences, grey, grey_levels
from hinterland.studies.addition.study import amounts, make_pool
from hinterland.studies.noise import gaussian, noisy_dataset
from hinterland.theory.divergences import histogram_js, histogram_kl
from hinterland.types import HinterlandError


@pytest.fixture
def two(tmp_path):
    base = pictures(tmp_path / "base", {"train": 4, "test": 2})
    novel = pictures(tmp_path / "novel", {"train": 5, "test": 3}, ground=0.6, edge=48, seed=1)
    return base, novel


def test_pooling_keeps_base_splits_and_adds_novel_training_cases_only(two, tmp_path):
    pooled = make_pool(*two, tmp_path / "data", size=(32, 32))
    dataset = pooled.dataset
    assert len(dataset.test) == 2
    assert all(c.domain == "base" for c in (*dataset.test, *dataset.val))
    assert len(dataset.val) == 1  # drawn from base's training cases: a fifth, at least one
    assert sum(c.domain == "novel" for c in dataset.train) == 5
    assert (len(pooled.base), len(pooled.novel)) == (3, 5)
    assert set(pooled.novel) == {f"novel-train{i}" for i in range(5)}
    for case in dataset.cases:
        assert read_volume(case.images).array.shape == (1, 1, 32, 32)
        assert set(np.unique(read_label(case.label).array)) <= {0, 1}
    again = make_pool(*two, tmp_path / "data", size=(32, 32))
    assert again == pooled
    with pytest.raises(HinterlandError, match="holds something else"):
        make_pool(*two, tmp_path / "data", size=(16, 16))


def test_schemes_of_two_data_sets_may_differ_but_not_their_trees(two, tmp_path):
    base, novel = two
    tree = {"background": {}, "foreground": {}}
    values = spec_of(
        tree, target=["foreground"], schemes={"full": {0: "foreground", 1: "background"}}
    )
    members, spec = pool(base, novel.replace(labels=values))
    assert set(spec.schemes) == {"full", "novel-full"}
    assert {m.scheme for m in members if m.domain == "novel"} == {"novel-full"}
    dataset = write_derived(tmp_path / "data", [m for m in members if m.split], spec, ["grey"])
    assert dataset["novel-train0"].scheme == "novel-full"
    assert dataset["base-train0"].group == "base-train0"
    other = spec_of({"a": {}, "b": {}})
    with pytest.raises(HinterlandError, match="label trees differ"):
        pool(base, novel.replace(labels=other))
    with pytest.raises(HinterlandError, match=r"has 2\. Expected the same channels"):
        pool(base, replace(novel, channels=("a", "b")))


def test_volumes_are_copied_as_nifti_and_not_resized(tmp_path):
    from hinterland.phantoms.dataset import make_phantoms

    phantoms = read_dataset(make_phantoms(tmp_path / "phantoms", cases=(2, 1, 1), size=16))
    copy = noisy_dataset(phantoms, tmp_path / "copy", 0.1, noisy=("train",))
    for case in copy.cases:
        before, after = (read_volume(d[case.name].images) for d in (phantoms, copy))
        low, high = before.array.min(), before.array.max()
        assert after.spacing == pytest.approx(before.spacing)
        change = (after.array - before.array) / (high - low)
        if case.split == "train":
            inside = (before.array > low + 0.4 * (high - low)) & (
                before.array < low + 0.6 * (high - low)
            )
            assert change[inside].std() == pytest.approx(0.1, rel=0.25)
            assert after.array.min() >= low - 1e-3
            assert after.array.max() <= high + 1e-3
        else:
            assert np.abs(change).max() < 1e-4
    with pytest.raises(HinterlandError, match="resizing is for 2D"):
        noisy_dataset(phantoms, tmp_path / "other", 0.1, noisy=("train",), size=(8, 8))


def test_noise_is_gaussian_clipped_and_each_case_has_its_own():
    change = gaussian(0.1, 0)
    half = np.full((1, 1, 200, 200), 0.5, np.float32)
    one, two = change("a", half), change("b", half)
    assert one.std() == pytest.approx(0.1, rel=0.02)
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] == pytest.approx(0, abs=0.02)
    assert np.array_equal(one, change("a", half))
    edge = change("a", np.ones_like(half))
    assert edge.max() == 1
    assert (edge == 1).mean() == pytest.approx(0.5, abs=0.02)


def test_amounts_are_numbers_and_shares():
    assert amounts(["0", "1/4", "all", "15"], 60) == (0, 15, 60)
    for bad in ("61", "1.5", "-1", "x", "1/0", "5/4"):
        with pytest.raises(HinterlandError, match="expected a number from 0 to 60"):
            amounts([bad], 60)


def test_divergences_by_hand():
    p, q = np.array([3, 1]), np.array([1, 1])
    kl = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert histogram_kl(p, q) == pytest.approx(kl, abs=1e-6)
    m = np.array([0.625, 0.375])
    js = 0.5 * (0.75 * math.log(0.75 / m[0]) + 0.25 * math.log(0.25 / m[1]))
    js += 0.5 * (0.5 * math.log(0.5 / m[0]) + 0.5 * math.log(0.5 / m[1]))
    assert histogram_js(p, q) == pytest.approx(math.sqrt(js), abs=1e-9)
    assert histogram_js(p, 7 * p) == 0
    assert histogram_js(np.array([1, 0]), np.array([0, 1])) == pytest.approx(math.sqrt(math.log(2)))
    assert math.isfinite(histogram_kl(np.array([1, 0]), np.array([0, 1])))
    assert math.isnan(histogram_kl(np.zeros(2), q))
    assert math.isnan(histogram_js(p, np.zeros(2)))


def test_grey_is_luminosity():
    colours = np.array([255, 0, 0, 0, 255, 0, 0, 0, 255], np.uint8).reshape(3, 1, 1, 3)
    assert grey(colours)[0, 0].tolist() == pytest.approx([54.213, 182.376, 18.411])
    assert grey(np.full((1, 1, 1, 1), 7)).item() == 7


def test_grey_levels_of_foreground_and_background(two, tmp_path):
    base, novel = two
    found = grey_levels(base.train, base.labels)
    mask = read_label(base.train[0].label).array[0] > 0
    image = read_volume(base.train[0].images).array[0]
    assert found["foreground"][0].sum() == mask.sum()
    assert found["background"][0].sum() == (~mask).sum()
    assert np.array_equal(found["image"][0], np.bincount(image.ravel(), minlength=256))
    both = grey_levels([*base.train, *novel.train], base.labels)
    apart = divergences(both, range(4), range(4, 9))
    same = divergences(both, range(2), range(2, 4))
    assert apart["js_background"] > 0.8  # grounds of 0.2 and 0.6
    assert same["js_background"] < 0.3
    assert apart["js_foreground"] < 0.4
    assert math.isnan(divergences(both, range(4), [])["kl_image"])


def test_resizing_averages_images_and_keeps_labels():
    image = np.array([[0, 100], [100, 200]], np.uint8)
    assert resized(image, (1, 1), labels=False).tolist() == [[100]]
    label = np.array(Image.fromarray(np.eye(4, dtype=np.uint8) * 3))
    assert set(np.unique(resized(label, (8, 8), labels=True))) == {0, 3}
