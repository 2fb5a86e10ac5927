"""Phantoms: reproducible, complete on disk, and of the anatomy that they promise."""

import json
import time

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from hinterland.labels.spec import LabelSpec
from hinterland.phantoms.anatomy import DECOY, HOST, LEAVES, LESION, PhantomParameters
from hinterland.phantoms.dataset import make_phantoms, phantom_case
from hinterland.phantoms.shapes import Superquadric, grid, rotation, texture
from hinterland.types import HinterlandError

SMALL = (24, 24, 24)


def test_same_seed_same_bytes_other_seed_other_patient():
    a, b = phantom_case(1, seed=3, shape=SMALL), phantom_case(1, seed=3, shape=SMALL)
    assert a.image.tobytes() == b.image.tobytes()
    assert a.label.tobytes() == b.label.tobytes()
    other = phantom_case(1, seed=4, shape=SMALL)
    assert not np.array_equal(a.image, other.image)
    assert not np.array_equal(a.image, phantom_case(2, seed=3, shape=SMALL).image)


@pytest.mark.parametrize("shape", [(48, 48, 48), SMALL, (96, 96)])
def test_lesions_lie_in_the_host_and_mimics_in_the_decoy(shape):
    lesions, mimics = [], []
    for index in range(4):
        phantom = phantom_case(index, seed=0, shape=shape)
        assert np.isfinite(phantom.image).all()
        assert set(np.unique(phantom.label)) >= {0, HOST, DECOY, LESION}
        assert (phantom.label[phantom.mimics] == DECOY).all()
        lesion = phantom.label == LESION
        around = phantom.label[binary_dilation(lesion) & ~lesion]
        assert np.mean(around == HOST) > 0.9
        lesions.append(lesion.sum())
        mimics.append(phantom.mimics.sum())
    assert min(lesions) > 0
    assert min(mimics) > 0


def test_lesions_and_mimics_look_alike_and_darker_than_their_organs():
    """Over many patients the drop below the organ's level and the volume are the same for both."""
    drop: dict[str, list[float]] = {"lesion": [], "mimic": []}
    volume: dict[str, list[float]] = {"lesion": [], "mimic": []}
    for index in range(12):
        ph = phantom_case(index, seed=1)
        lesion = ph.label == LESION
        for name, blob, organ in (
            ("lesion", lesion, ph.label == HOST),
            ("mimic", ph.mimics, (ph.label == DECOY) & ~ph.mimics),
        ):
            drop[name].append(ph.image[organ].mean() - ph.image[blob].mean())
            volume[name].append(blob.sum())
    assert np.mean(drop["lesion"]) > 40
    assert abs(np.mean(drop["lesion"]) - np.mean(drop["mimic"])) < 25
    assert 0.5 < np.mean(volume["lesion"]) / np.mean(volume["mimic"]) < 2.0


def test_null_kind_has_the_same_images_but_supports_that_ignore_them():
    agreement, drift = [], []
    for index in range(8):
        true = phantom_case(index, kind="informative")
        null = phantom_case(index, kind="null")
        assert true.image.tobytes() == null.image.tobytes()
        assert np.array_equal(true.label == LESION, null.label == LESION)
        host = null.label == HOST
        agreement.append(np.mean(true.label[host] == HOST))
        drift.append(true.image[host].mean() - true.image[true.label == HOST].mean())
    # true hosts fill about 5 % of the volume: so much of a random solid falls into one by chance
    assert np.mean(agreement) < 0.25
    assert np.mean(drift) < -100


def test_data_set_on_disk(tmp_path):
    begun = time.perf_counter()
    root = make_phantoms(tmp_path / "Dataset900_Phantom", cases=(2, 1, 1), size=24, seed=5)
    assert time.perf_counter() - begun < 3
    splits = json.loads((root / "splits.json").read_text())
    assert [len(splits[s]) for s in ("train", "val", "test")] == [2, 1, 1]
    description = json.loads((root / "dataset.json").read_text())
    assert description["labels"]["lesion"] == LESION
    assert not (tmp_path / "Dataset900_Phantom.partial").exists()
    for name in splits["train"] + splits["val"] + splits["test"]:
        part = "Ts" if name in splits["test"] else "Tr"
        image = nib.load(root / f"images{part}" / f"{name}_0000.nii.gz")
        label = nib.load(root / f"labels{part}" / f"{name}.nii.gz")
        np.testing.assert_array_equal(image.affine, label.affine)
        phantom = phantom_case(int(name[-3:]), seed=5, shape=SMALL)
        np.testing.assert_array_equal(np.asarray(image.dataobj).T, phantom.image)
        np.testing.assert_array_equal(np.asarray(label.dataobj).T, phantom.label)
        assert image.header.get_zooms() == (PhantomParameters().spacing,) * 3


def test_labels_yaml_is_read_back(tmp_path):
    root = make_phantoms(tmp_path / "p", cases=(1, 0, 0), size=24)
    spec = LabelSpec.load(root / "labels.yaml")
    assert spec.target.names[spec.target.foreground[0]] == "lesion"
    label = np.asarray(nib.load(root / "labelsTr" / "phantom_000.nii.gz").dataobj)
    assert spec.default_scheme.name == "full"
    for scheme in spec.schemes.values():
        assert scheme.unknown(label) == ()
    full = spec.scheme("full").label_values
    assert {v: spec.tree.node_for(s) for v, s in full.items()} == dict(enumerate(LEAVES))


def test_flat_phantoms_are_grey_png(tmp_path):
    root = make_phantoms(tmp_path / "flat", cases=(1, 0, 1), dims=2, size=48)
    image = Image.open(root / "imagesTr" / "phantom_000_0000.png")
    label = np.asarray(Image.open(root / "labelsTr" / "phantom_000.png"))
    assert (image.mode, image.size) == ("L", (48, 48))
    assert np.asarray(image).std() > 20
    assert LESION in label


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cases": (0, 1, 1)}, "at least one train"),
        ({"kind": "nul"}, "'informative' or 'null'"),
        ({"dims": 4}, "2 or 3 dimensions"),
        ({"size": 8}, "too small"),
    ],
)
def test_refuses_senseless_arguments_and_writes_nothing(tmp_path, arguments, words):
    with pytest.raises(HinterlandError, match=words):
        make_phantoms(tmp_path / "p", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_does_not_overwrite_unless_told(tmp_path):
    make_phantoms(tmp_path / "p", cases=(1, 0, 0), size=24)
    with pytest.raises(HinterlandError, match="there already"):
        make_phantoms(tmp_path / "p", cases=(2, 0, 0), size=24)
    make_phantoms(tmp_path / "p", cases=(2, 0, 0), size=24, overwrite=True)
    assert len(list((tmp_path / "p" / "imagesTr").iterdir())) == 2


def test_superquadric_volume_and_rotation():
    points = grid((40, 40, 40))
    ball = Superquadric(np.full(3, 0.5), np.full(3, 0.3), np.eye(3))
    assert ball.mask(points).mean() == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.02)
    turn = rotation(np.random.default_rng(0), 3, 1.0)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    axes = np.array([0.35, 0.2, 0.1])
    egg = Superquadric(np.full(3, 0.5), axes, turn)
    tip = np.full(3, 0.5) + turn @ np.array([0.34, 0.0, 0.0])
    assert egg.mask(tip[:, None])[0]
    assert not egg.mask((np.full(3, 0.5) + turn @ np.array([0.0, 0.0, 0.34]))[:, None])[0]


def test_texture_grain():
    """Correlation at lag 2 * length is exp(-1)."""
    field = texture(np.random.default_rng(0), (96, 96, 96), 2.0)
    assert field.std() == pytest.approx(1.0)
    lagged = np.mean(field * np.roll(field, 4, axis=1))
    assert lagged == pytest.approx(np.exp(-1), abs=0.05)
