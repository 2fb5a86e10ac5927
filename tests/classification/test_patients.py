"""Patients are judged by their own operating point; sizes and regions come from all their scans."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hinterland.classification import predict
from hinterland.classification.dataset.cases import Units, units_of
from hinterland.classification.dataset.task import Task
from hinterland.classification.evaluation.regions import Regions
from hinterland.classification.fitting.calibration import Calibration
from hinterland.classification.fitting.operating_point import OperatingPoint, aggregated
from hinterland.classification.predict import patient_table, with_patients
from hinterland.classification.scores.metrics import ImageScores, YoudenThreshold, image_metrics
from hinterland.types import Case, HinterlandError

TASK = Task("class=sick", "class", ("not sick", "sick"), (None, None))
KINDS = Task("class", "class", ("a", "b", "c"), (None, None, None))


def point(aggregate: str = "mean") -> OperatingPoint:
    """Images are sick from .6 on, patients from .3 on."""

    def of(unit: str, threshold: float, slope: float, **more: object) -> OperatingPoint:
        names = frozenset({f"{unit} of validation"})
        calibrations = {1: Calibration(slope, 0.0, names)}
        return OperatingPoint(
            unit, names, calibrations, {1: YoudenThreshold(threshold, names)},
            aggregate=aggregate, **more,
        )  # fmt: skip

    return of("case", 0.6, 1.0, patients=of("patient", 0.3, 2.0))


def test_the_point_of_patients_is_written_and_read(tmp_path):
    point("max").write(tmp_path)
    read = OperatingPoint.read(tmp_path)
    assert read == point("max")
    assert read.of("case").thresholds[1].value == 0.6
    assert read.of("patient").thresholds[1].value == 0.3
    assert read.of("patient").cases == {"patient of validation"}


def test_an_earlier_file_with_one_point_reads(tmp_path):
    (tmp_path / "operating.json").write_text(
        '{"unit": "patient", "fitted_on": "val", "cases": ["p"], "rules": {}, '
        '"classes": {"1": {"slope": 1.0, "offset": 0.0, "threshold": 0.4}}}'
    )
    read = OperatingPoint.read(tmp_path)
    assert read.of("patient").thresholds[1].value == 0.4
    assert read.of("patient").cases == {"p"}


@pytest.mark.parametrize(("aggregate", "sick"), [("mean", ["p1"]), ("max", ["p1", "p2"])])
def test_patients_are_decided_by_their_own_threshold(monkeypatch, aggregate, sick):
    own = point(aggregate)
    monkeypatch.setattr(predict, "load_model", lambda run: (None, own))
    run = SimpleNamespace(record=SimpleNamespace(task=TASK))
    scores = {"x1": ("p1", 0.5), "x2": ("p1", 0.4), "y1": ("p2", 0.5), "y2": ("p2", 0.0)}
    images = pd.DataFrame(
        [
            {"case": n, "group": g, "score: not sick": 1 - s, "score: sick": s}
            for n, (g, s) in scores.items()
        ]
    )
    table = patient_table(run, images).set_index("patient")
    assert table["images"].tolist() == [2, 2]
    assert table.index[table["class"] == "sick"].tolist() == sick
    assert (table["threshold"] == 0.3).all()
    s = table.loc["p1", "score: sick"]
    assert s == pytest.approx(0.45 if aggregate == "mean" else 0.5)
    assert table.loc["p1", "probability: sick"] == pytest.approx(s**2 / (s**2 + (1 - s) ** 2))
    for _, score in scores.values():  # no single image reaches the threshold of images
        assert own.called(np.array([[1 - score, score]])).tolist() == [[True, False]]


def test_aggregation_is_the_mean_or_the_maximum():
    units = Units({"p": ("a", "b")}, {}, "patient")
    scores = {"a": np.array([0.2, 0.8]), "b": np.array([0.6, 0.4])}
    assert aggregated(scores, units)["p"].tolist() == pytest.approx([0.4, 0.6])
    assert aggregated(scores, units, "max")["p"].tolist() == [0.6, 0.8]
    with pytest.raises(HinterlandError, match="mean, max"):
        aggregated(scores, units, "median")


def test_a_patient_is_positive_if_one_scan_is():
    groups = {"a": "p", "b": "p", "c": "q"}
    units = units_of(TASK, list("abc"), {"a": 0, "b": 1, "c": 0}, groups, "patient")
    assert units.targets == {"p": 1, "q": 0}
    assert units_of(TASK, list("abc"), {"a": 0, "b": 1, "c": 0}, groups).name == "case"
    with pytest.raises(HinterlandError, match="--unit case"):
        units_of(KINDS, list("abc"), {"a": 0, "b": 1, "c": 0}, groups, "patient")


def test_patients_of_new_images_come_out_of_their_names():
    cases = [Case("p07_left", (), group="p07_left"), Case("p07_right", (), group="p07_right")]
    found = with_patients(cases, SimpleNamespace(), "(p[0-9]+)_")
    assert [c.group for c in found] == ["p07", "p07"]
    with pytest.raises(HinterlandError, match="finds nothing in the image name 'p07_left'"):
        with_patients(cases, SimpleNamespace(), "scan[0-9]")


def test_size_and_place_are_those_of_the_largest_mask_of_any_scan():
    regions = Regions(SimpleNamespace(), {}, physical=False)
    regions.size = {1: {"a": 3.0, "b": 8.0, "c": 2.0}}
    regions.place = {1: {"a": "upper left", "b": "lower right", "c": ""}}
    regions.found = {1: {"a": False, "b": True, "c": False}}
    units = Units({"p": ("a", "b"), "q": ("c",), "r": ("d",)}, {}, "patient")
    assert regions.sizes(1, units) == {"p": 8.0, "q": 2.0}
    assert regions.places(1, units) == {"p": "lower right"}
    located = regions.located(1, units, ["p", "q", "r"])
    assert located[:2].tolist() == [1.0, 0.0]
    assert np.isnan(located[2])


def test_strict_recall_leaves_out_what_has_no_mask():
    scores, labels = np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 1, 1, 0])
    threshold = YoudenThreshold(0.5, frozenset({"v"}))
    known = np.array([1.0, 0.0, np.nan, 0.0])
    test = ImageScores(tuple("abcd"), scores, labels, known)
    assert image_metrics(test, threshold)["strict_recall"] == 0.5
    assert image_metrics(test, threshold)["recall"] == 1
