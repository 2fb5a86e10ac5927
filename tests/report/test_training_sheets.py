"""`view --augmented` and `--preprocessed`: the patches of a training, and what the plan did."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_helpers import quick

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import plan_dataset
from hinterland.data.sampling.sampler import step_keys
from hinterland.phantoms.dataset import make_phantoms
from hinterland.report.viewing.augmented import augmented_page
from hinterland.report.viewing.overlay import slice_picture
from hinterland.report.viewing.preprocessed import preprocessed_page
from hinterland.report.viewing.training import open_training, row_colours
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import HinterlandError


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    return make_phantoms(folder, (4, 2, 2), dims=request.param, size=32)


def _pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(p)))) for p in found]


def test_the_sheet_shows_the_patches_that_training_draws(data: Path) -> None:
    view = open_training(data)
    page = augmented_page(view, 6)
    prepared = view.prepared(view.cases)
    streams = view.streams(6)
    patches = view.patches(prepared, streams)
    keys = step_keys(0, streams, 0, 1, view.config.data.foreground)
    items = [patches[key] for key in keys]
    assert re.findall(r"<strong>([^<]+)</strong>", page) == [item.case for item in items]
    assert page.count("centred on the target<") == sum(key.foreground for key in keys) > 0
    for item in items:
        told = f"grey {float(item.image[0].min()):.3g} to {float(item.image[0].max()):.3g}"
        assert told in page
    assert len(_pictures(page)) == 18


def test_a_run_shows_its_own_cases_and_settings(data: Path, tmp_path: Path) -> None:
    dataset = read_dataset(data)
    config = quick(steps=1, seed=5, data={"augmentation": "none", "foreground": 1.0})
    request = RunRequest(dataset, "backsplit", fold="fixed", plan=plan_dataset(dataset),
                         config=config)  # fmt: skip
    run = run_or_resume(request, tmp_path / "run", finish=False)
    page = augmented_page(open_training(run.path), 4)
    assert "method backsplit" in page
    assert page.count("centred on the target<") == 4
    assert "augmentation &#39;none&#39;, seed 5" in page
    shown = _pictures(page)
    for cut, trained in zip(shown[1::3], shown[2::3], strict=True):
        np.testing.assert_array_equal(cut, trained)  # without augmentation, the patch as cut


def test_preprocessing_is_told_case_by_case(data: Path) -> None:
    view = open_training(data)
    page = preprocessed_page(view, 2)
    prepared = view.prepared(view.cases[:2])
    for case in view.cases[:2]:
        stored = prepared[case.name]
        after = " × ".join(map(str, stored.image.shape[1:]))
        greys = ", ".join(f"{v:.4g}" for v in
                          np.percentile(stored.image[0], (0, 0.5, 50, 99.5, 100)))  # fmt: skip
        assert f"<td>{after}</td>" in page
        assert f"<td>{greys}</td>" in page
    assert len(_pictures(page)) == 4


def test_a_data_set_without_labels_has_nothing_to_train(data: Path, tmp_path: Path) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(data, bare)
    for mask in (*(bare / "masks").glob("*"), *(bare / "labelsTr").glob("*")):
        mask.unlink()
    with pytest.raises(HinterlandError):
        open_training(bare)


def test_colours_are_of_meanings_not_of_integers(data: Path) -> None:
    dataset = read_dataset(data)
    found = list(row_colours(dataset).values())
    named = {name for _, name in found}
    assert "lesion" in named
    assert "rest" not in named
    assert len(set(found)) == len(named)  # two schemes that both say lesion, one colour


def test_a_picture_shows_labels_box_and_shape() -> None:
    image = np.zeros((10, 20), np.float32)
    labels = np.zeros((10, 20), int)
    labels[2:4, 5:9] = 3
    uri = slice_picture(image, labels, {3: "#ff0000"}, grey=(0, 1), sides=(2.0, 1.0),
                        box=[(0, 5), (0, 10)])  # fmt: skip
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert picture.shape[0] == picture.shape[1]  # twice as high a pixel as wide
    high, wide = picture.shape[0] / 10, picture.shape[1] / 20
    red = (picture[..., 0] > 100) & (picture[..., 1] == 0)
    assert red.sum() == pytest.approx(2 * 4 * high * wide, rel=0.1)
    assert (picture[0, 0] == (0xFF, 0xE1, 0x4D)).all()
