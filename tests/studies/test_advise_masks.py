"""Advice before labelling: the divergences it reads, and what it says of data of known making."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hinterland.data.dataset.read import read_dataset
from hinterland.studies.advise_masks import advise, advise_masks
from hinterland.studies.mask_samples import INSIDE, NEGATIVE, OUTSIDE, PixelSamples, sample_pixels
from hinterland.types import HinterlandError


def dataset(root: Path, positives: int, negatives: int) -> Path:
    """Noise of 40 pixels a side; the target is a bright square of 6, 36 / 1600 of the image."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(positives + negatives):
        image, mask = rng.normal(100, 10, (40, 40)), np.zeros((40, 40), np.uint8)
        if i < positives:
            y, x = rng.integers(4, 30, 2)
            mask[y : y + 6, x : x + 6] = 1
            image += 60 * mask
        for folder, array in (("images", image), ("masks", mask)):
            Image.fromarray(array.clip(0, 255).astype(np.uint8)).save(
                root / folder / f"c{i:02d}.png"
            )
    return root


def test_samples_weigh_kinds_as_their_areas(tmp_path):
    found = sample_pixels(read_dataset(dataset(tmp_path / "d", 6, 4)), _target(tmp_path / "d"))
    assert (found.positives, found.negatives) == (6, 4)
    assert found.share == pytest.approx(36 / 1600)
    sums = [found.of(kind).sum() for kind in (NEGATIVE, OUTSIDE, INSIDE)]
    assert sums == pytest.approx([4, 6 * (1 - 36 / 1600), 6 * 36 / 1600])
    assert found.features.shape == (len(found.kind), 6)
    assert np.isfinite(found.features).all()


def _target(root: Path):
    return read_dataset(root).labels.target


def test_small_bright_targets_make_masks_pay(tmp_path):
    advice = advise_masks(read_dataset(dataset(tmp_path / "d", 14, 10)), resamples=200)
    assert advice.verdict == "likely"
    assert advice.confidence > 0.8
    assert advice.masks.value > 1
    assert advice.masks.low <= advice.masks.value <= advice.masks.high
    assert advice.ratio.value > 30
    assert "likely to pay" in advice.findings()[0]


def synthetic_samples(target: float, background: float, share: float) -> PixelSamples:
    """One feature: negative pixels N(0, 1), background N(background, 1), target N(target, 1)."""
    rng = np.random.default_rng(0)
    images, each = 60, 40
    kind = np.concatenate([np.full(images * each, k) for k in (NEGATIVE, OUTSIDE, INSIDE)])
    mean = np.array([0.0, background, target])[kind]
    weight = np.array([1.0, 1 - share, share])[kind] / each
    group = np.concatenate([np.repeat(np.arange(images), each) + s for s in (0, images, images)])
    features = (mean + rng.standard_normal(len(kind)))[:, None]
    return PixelSamples(features, kind, weight, group.astype(str), images, images)


@pytest.mark.parametrize(
    ("target", "background", "share", "verdict"),
    [(2.0, 0.0, 0.02, "likely"), (2.0, 0.0, 0.9, "unlikely"), (0.1, 0.0, 0.05, "unlikely")],
)
def test_the_verdict_follows_size_and_contrast(target, background, share, verdict):
    advice = advise(synthetic_samples(target, background, share), resamples=200)
    assert advice.verdict == verdict


def test_a_background_that_knows_the_label_is_called_a_shortcut():
    said = " ".join(advise(synthetic_samples(2.0, 1.0, 0.02), resamples=100).findings())
    assert "background alone" in said
    honest = " ".join(advise(synthetic_samples(2.0, 0.0, 0.02), resamples=100).findings())
    assert "background alone" not in honest


def test_one_label_only_is_refused(tmp_path):
    with pytest.raises(HinterlandError, match="both kinds"):
        advise_masks(read_dataset(dataset(tmp_path / "d", 3, 0)))


def test_command_line(tmp_path):
    from hinterland.cli.main import app

    root = dataset(tmp_path / "d", 6, 5)
    done = CliRunner().invoke(app, ["advise", "masks", str(root), "--json", "--cases", "11"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["patients"] == 11
    assert set(found["masks"]) == {"value", "low", "high"}
    wrong = CliRunner().invoke(app, ["advise", "masks", str(tmp_path / "nothing")])
    assert wrong.exit_code == 1
