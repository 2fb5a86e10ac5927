"""Probabilities that mean what they say; canvases; tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import spec_of

from hinterland.classification.canvas import canvas_size, embedding_size, labels_on, on_canvas
from hinterland.classification.dataset.answers import answers, presence_in
from hinterland.classification.dataset.task import parse_task
from hinterland.classification.fitting.calibration import (
    brier,
    calibration_error,
    fit_calibration,
    logit,
)
from hinterland.classification.scores.metrics import auroc
from hinterland.types import Case, HinterlandError


def _overconfident(n: int = 4000) -> tuple[dict[str, float], dict[str, int]]:
    """True log-odds x, scores that say sigmoid(3 x + 1)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-x))).astype(int)
    scores = 1 / (1 + np.exp(-(3 * x + 1)))
    names = [str(i) for i in range(n)]
    return dict(zip(names, scores, strict=True)), dict(zip(names, labels.tolist(), strict=True))


def test_platt_scaling_undoes_overconfidence():
    scores, labels = _overconfident()
    found = fit_calibration(scores, labels, dict.fromkeys(scores, "val"))
    assert found.slope == pytest.approx(1 / 3, rel=0.1)
    assert found.offset == pytest.approx(-1 / 3, abs=0.1)
    raw, truth = np.array(list(scores.values())), np.array(list(labels.values()))
    fitted = found(raw)
    assert calibration_error(fitted, truth) < 0.03 < calibration_error(raw, truth)
    assert brier(fitted, truth) < brier(raw, truth)
    assert auroc(truth, fitted) == pytest.approx(auroc(truth, raw))
    assert found.cases == frozenset(scores)


def test_scores_that_separate_the_labels_stay_finite():
    scores = {"a": 0.99, "b": 0.97, "c": 0.01, "d": 0.0}
    labels = {"a": 1, "b": 1, "c": 0, "d": 0}
    found = fit_calibration(scores, labels, dict.fromkeys(scores, "val"))
    p = found(np.array([1.0, 0.5, 0.0]))
    assert np.isfinite(p).all()
    assert p[0] > 0.5 > p[2]
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()


def test_calibration_is_never_fitted_outside_validation():
    scores, labels = {"a": 0.9, "b": 0.1}, {"a": 1, "b": 0}
    with pytest.raises(HinterlandError, match="validation cases only"):
        fit_calibration(scores, labels, {"a": "val", "b": "test"})
    with pytest.raises(HinterlandError, match="both labels"):
        fit_calibration({"a": 0.9}, labels, {"a": "val"})


def test_calibration_error_by_hand():
    p, y = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1])
    assert calibration_error(p, y) == pytest.approx((abs(1 - 0.2) + abs(2 - 1.8)) / 4)
    assert brier(p, y) == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4)


def test_a_canvas_shows_the_whole_image():
    image = np.arange(2 * 1 * 8 * 6, dtype=np.float32).reshape(2, 1, 8, 6)
    small = on_canvas(image, (4, 3))
    assert small.shape == (2, 1, 4, 3)
    assert small[0, 0, 0, 0] == image[0, 0, :2, :2].mean()  # shrinking averages
    assert np.allclose(small.mean(), image.mean())
    assert on_canvas(image, (16, 3)).shape == (2, 1, 16, 3)  # one axis grows, one shrinks
    assert on_canvas(np.zeros((1, 5, 8, 8)), (4, 8, 16)).shape == (1, 4, 8, 16)
    label = np.zeros((1, 8, 8), np.int16)
    label[:, 4:, 4:] = 3
    assert labels_on(label, (4, 4))[0].tolist() == [[0, 0, 0, 0]] * 2 + [[0, 0, 3, 3]] * 2


def test_canvas_sizes():
    assert canvas_size([(1, 300, 200), (1, 90, 80)], None) == (224, 224)
    assert canvas_size([(10, 200, 200)] * 3, None) == (8, 64, 64)
    assert canvas_size([(90, 200, 200)] * 3, None) == (64, 64, 64)
    assert canvas_size([(1, 9, 9)], (96, 96)) == (96, 96)
    with pytest.raises(HinterlandError, match="three edges"):
        canvas_size([(9, 9, 9)], (96, 96))
    assert embedding_size((64, 64, 64), (4, 4, 4)) == (16, 16, 16)
    assert np.prod(embedding_size((128, 128, 128), (1, 1, 1))) <= 2**14


SPEC = spec_of(
    {"background": {}, "lesion": {"benign": {}, "malignant": {}}},
    target=["lesion"],
    schemes={
        "full": {0: "background", 1: "benign", 2: "malignant"},
        "coarse": {0: "background", 1: "lesion"},
    },
)


def _case(name: str, **labels: int | str) -> Case:
    return Case(name, (Path("i.png"),), Path("l.png"), image_labels=labels)


CASES = [
    _case("a", kind="malignant"),
    _case("b", kind="normal", lesion=0),
    _case("c", kind="benign"),
    _case("d"),
]


def test_a_node_is_asked_of_image_labels_first_then_of_masks():
    task = parse_task("lesion", CASES, SPEC.tree)
    assert task.classes == ("no lesion", "lesion")
    assert (task.scored, task.from_masks) == ((1,), True)
    seen = {"lesion": {"a": 1, "b": 1, "c": 0}}
    assert answers(task, CASES, seen, SPEC.tree) == {"a": 1, "b": 0, "c": 0}


def test_a_column_is_asked_whole_or_for_one_value():
    whole = parse_task("kind", CASES, SPEC.tree)
    assert whole.classes == ("benign", "malignant", "normal")
    assert whole.nodes == ("benign", "malignant", None)
    assert whole.scored == (0, 1, 2)
    assert answers(whole, CASES, {}, SPEC.tree) == {"a": 1, "b": 2, "c": 0}
    one = parse_task("kind=malignant", CASES, SPEC.tree)
    assert one.classes == ("not malignant", "malignant")
    assert answers(one, CASES, {}, SPEC.tree) == {"a": 1, "b": 0, "c": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [("tumour", "no node"), ("kind=tumour", "benign, malignant"), ("lesion=1", "tree")],
)
def test_tasks_that_cannot_be_meant(text, message):
    cases = [c for c in CASES if "lesion" not in c.image_labels]
    with pytest.raises(HinterlandError, match=message):
        parse_task(text, cases, SPEC.tree)


def test_presence_is_read_off_label_values():
    full, coarse = SPEC.scheme("full"), SPEC.scheme("coarse")
    assert presence_in(full, [0, 2], "malignant") == 1
    assert presence_in(full, [0, 1], "malignant") == 0
    assert presence_in(full, [0, 1], "lesion") == 1
    assert presence_in(coarse, [0, 1], "malignant") is None
    assert presence_in(coarse, [0], "malignant") == 0
