"""Classifiers from end to end, on small pictures made here: train, operate, predict, evaluate."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hinterland.classification.dataset.cases import check_split, units_of
from hinterland.classification.dataset.relabel import relabel
from hinterland.classification.evaluation.evaluate import evaluate_classifier
from hinterland.classification.fitting.operating_point import OperatingPoint
from hinterland.classification.predict import predict_images
from hinterland.classification.record import ClassifierRecord, ClassifierRun
from hinterland.classification.scores.subgroups import place_of
from hinterland.classification.train import ClassifierRequest, train_classifier
from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.fingerprint import fingerprint
from hinterland.data.planning.plan import make_plan
from hinterland.methods import make_method
from hinterland.training.config import make_config
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import train
from hinterland.types import Dataset, HinterlandError, Plan

EDGE = 32
KINDS = ("normal", "benign", "malignant")
LABELS = """
tree: {background: {}, lesion: {benign: {}, malignant: {}}}
target: [benign, malignant]
schemes: {full: {0: background, 1: benign, 2: malignant}}
spacing: unknown
image_labels: labels.csv
"""
FEW = 6
SETTINGS = {"steps": 6, "precision": "fp32", "batch_size": 4, "validation": {"interval": 3}}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("HINTERLAND_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Plan]:
    """30 pictures: nothing, a grey square, or a white one; a mark that goes with nothing."""
    root = tmp_path_factory.mktemp("pictures")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    (root / "labels.yaml").write_text(LABELS)
    rng = np.random.default_rng(0)
    rows, splits = [["name", "class", "mark"]], {"train": [], "val": [], "test": []}
    for i in range(30):
        kind = i % 3
        pixels = rng.normal(60, 8, (EDGE, EDGE))
        mask = np.zeros((EDGE, EDGE), np.uint8)
        if kind:
            y, x = rng.integers(2, 14, 2)
            mask[y : y + 14, x : x + 14] = kind
            pixels[mask > 0] += 70 * kind
        name = f"{KINDS[kind]}_{i:02}"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
        splits["train" if i < 15 else "val" if i < 21 else "test"].append(name)
        rows.append([name, KINDS[kind], str((i // 3) % 2)])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "splits.json").write_text(json.dumps(splits))
    dataset = read_dataset(root)
    return dataset, make_plan(fingerprint(dataset, workers=1), 2, memory_gb=0.25)


@pytest.fixture(scope="module")
def run(data: tuple[Dataset, Plan], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A segmentation run that saw the masks of six training cases."""
    dataset, plan = data
    config = make_config(
        {
            **SETTINGS,
            "steps": 80,
            "patch_size": [EDGE, EDGE],
            "network_options": {"features": [4, 8]},
            "deep_supervision": False,
            "optimiser": {"optimiser": "adam", "lr": 0.02},
            "validation": {"interval": 80, "mirror": False},
            "data": {"augmentation": "none"},
        }
    )
    method = make_method("supervised", dataset.labels, ("leaves",), {"dice_weight": 0.0})
    out = tmp_path_factory.mktemp("runs") / "few"
    return train(
        dataset, plan, method, out=out, fold="fixed", config=config, labelled=f"{FEW}:cases"
    )


def quick(source: Run | tuple[Dataset, Plan], task: str, by: str, **changes) -> ClassifierRequest:
    changes = {"canvas": (EDGE, EDGE), "settings": SETTINGS, **changes}
    if not isinstance(source, Run):
        source, changes["plan"] = source
    return ClassifierRequest(source, task, by, **changes)


def test_the_rule_from_a_run_to_an_explained_evaluation(run, tmp_path):
    made = train_classifier(quick(run, "lesion", "rule"), tmp_path / "rule")
    point = OperatingPoint.read(made.path)
    assert point.cases == frozenset(made.record.split["val"])  # and nobody else
    assert set(point.rules) == {1}
    assert len(made.record.split["train"]) == FEW
    summary = evaluate_classifier(made, tmp_path / "evaluation", spurious="mark")
    metrics = pd.DataFrame(summary["metrics"])
    found = metrics[metrics["subgroup"] == "all"].set_index("metric")
    assert found.loc["auroc", "value"] > 0.8  # bright squares on grey: 80 steps are enough
    assert found.loc["auroc", "low"] <= found.loc["auroc", "value"] <= found.loc["auroc", "high"]
    assert "strict_recall" in found.index
    assert "robust" in set(metrics["subgroup"])
    assert {r["by"] for r in summary["recall"]} == {"size", "place"}
    table = pd.read_csv(tmp_path / "evaluation" / "predictions.csv")
    assert len(table) == 9
    called = table[table["class"] == "lesion"]
    assert len(called)
    for row in called.itertuples():
        mask = np.array(Image.open(row.mask))
        assert mask.shape == (EDGE, EDGE)
        assert set(np.unique(mask)) == {0, 1}  # nothing is called positive without showing where
        assert mask.sum() == row.size_voxels >= point.rules[1][1]
        assert row.mask_threshold <= point.rules[1][0]
        assert row.region == place_of(mask[None] > 0)
        assert row.threshold == point.thresholds[1].value
    assert set(called["rule"]) <= {0, 1}
    assert called["size_ml"].isna().all()  # pictures have no spacing
    report = (tmp_path / "evaluation" / "report.html").read_text()
    for heading in ("Curves", "Decisions", "Recall by size", "Worst cases", "Best cases"):
        assert f"<h2>{heading}" in report
    assert report.count("<svg") == 3
    assert {"low", "high"} <= set(metrics.dropna().columns)
    shown = found.loc[["brier", "calibration_error"]]
    assert (shown["low"] <= shown["value"] + 0.1).all()
    assert shown["high"].notna().all()
    assert table[table["class"] == "no lesion"]["mask"].isna().all()
    columns = [c for c in table if c.startswith("probability")]
    assert np.allclose(table[columns].sum(axis=1), 1)
    with pytest.raises(HinterlandError, match="--overwrite"):
        evaluate_classifier(made, tmp_path / "evaluation")


def test_thresholds_that_are_given_are_kept(run, tmp_path):
    made = train_classifier(quick(run, "class", "rule", t=0.5, tau=100), tmp_path / "paper")
    point = OperatingPoint.read(made.path)
    assert made.record.task.classes == ("benign", "malignant", "normal")
    assert point.rules == {0: (0.5, 100), 1: (0.5, 100)}  # "normal" has no mask
    table = predict_images(made, [run.dataset[n] for n in made.record.split["test"][:2]])
    scores = table[[f"score: {c}" for c in made.record.task.classes]].to_numpy()
    assert np.allclose(scores[:, 2], 1 - scores[:, :2].max(axis=1))


@pytest.mark.parametrize(
    ("by", "embedding"), [("fully-connected", ""), ("simple", "deep"), ("complex", "encoder.0")]
)
def test_summarising_functions_read_masks_and_embeddings(run, tmp_path, by, embedding):
    request = quick(run, "class=malignant", by, embedding=embedding)
    made = train_classifier(request, tmp_path / by)
    summary = evaluate_classifier(made, tmp_path / "evaluation")
    assert summary["source"] == ("embeddings" if embedding else "masks")
    assert {m["class"] for m in summary["metrics"]} == {"malignant"}
    with pytest.raises(HinterlandError, match="finished"):
        train_classifier(request, tmp_path / by)


@pytest.mark.parametrize("by", ["small", "y-net"])
def test_networks_on_images_resume_and_classify_new_images(data, tmp_path, by):
    dataset, _ = data
    settings = {**SETTINGS, "network_options": {"features": [4, 8]}} if by == "y-net" else SETTINGS
    request = quick(data, "class", by, settings=settings, labelled=_few(tmp_path))
    out = tmp_path / by
    made = train_classifier(request, out)
    assert len(made.record.split["train"]) == FEW
    before = (out / "operating.json").read_text()
    (out / "operating.json").unlink()  # killed before it was written
    train_classifier(request, out)
    assert (out / "operating.json").read_text() == before
    cases = [dataset[n] for n in made.record.split["test"]]
    table = predict_images(made, cases, tmp_path / "masks")
    assert set(table["class"]) <= set(KINDS)
    again = predict_images(ClassifierRun(out), cases, None)
    assert np.allclose(table.filter(like="score"), again.filter(like="score"))
    assert ClassifierRecord.read(out).targets == made.record.targets


def test_a_record_of_an_earlier_version_reads(run, tmp_path):
    made = train_classifier(quick(run, "lesion", "rule"), tmp_path / "old")
    file = made.path / "config.yaml"
    text = file.read_text()
    assert "\nlayer: ''\n" in text
    file.write_text(text.replace("\nlayer: ''\n", "\ntap: decoder.0\n"))
    assert ClassifierRecord.read(made.path).layer == "decoder.0"


def test_several_classes_and_another_data_set(run, data, tmp_path):
    made = train_classifier(quick(run, "class", "rule"), tmp_path / "kinds")
    summary = evaluate_classifier(made, tmp_path / "own")
    table = pd.read_csv(tmp_path / "own" / "predictions.csv")
    right = table["class"] == table["label"]
    macro = np.mean([right[table["label"] == k].mean() for k in KINDS])
    mean = {m["metric"]: m for m in summary["metrics"] if m["class"] == "mean"}
    assert mean["recall"]["value"] == pytest.approx(macro)
    assert mean["recall"]["low"] <= macro <= mean["recall"]["high"]
    assert set(mean) == {"auroc", "recall"}
    outside = tmp_path / "outside"
    shutil.copytree(data[0].root, outside)
    (outside / "splits.json").unlink()  # all of it is a test
    with pytest.raises(HinterlandError, match="leave --data away"):
        evaluate_classifier(made, tmp_path / "same", data=data[0].root)
    with pytest.raises(HinterlandError, match="training or validation cases of the classifier"):
        evaluate_classifier(made, tmp_path / "copied", data=outside)
    for file in (outside / "images").iterdir():  # the same names, other pictures
        Image.fromarray(np.array(Image.open(file))[::-1]).save(file)
    external = evaluate_classifier(made, tmp_path / "external", data=outside)
    assert external["cases"] == 30
    assert external["data"] == str(outside)
    assert (tmp_path / "external" / "report.html").is_file()


def _few(folder: Path) -> str:
    (folder / "few.txt").write_text("\n".join(f"{KINDS[i % 3]}_{i:02}" for i in range(FEW)))
    return str(folder / "few.txt")


def test_what_cannot_be_fitted_or_shown_is_refused_before_training(data, run, tmp_path):
    with pytest.raises(HinterlandError, match="need a segmentation run"):
        train_classifier(quick(data, "lesion", "pool"), tmp_path / "a")
    with pytest.raises(HinterlandError, match="needs a mask for '1'"):
        train_classifier(quick(run, "mark=1", "rule"), tmp_path / "b")
    with pytest.raises(HinterlandError, match="expected shallow"):
        train_classifier(quick(run, "lesion", "simple", embedding="decoder.9"), tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_pseudo_masks_become_a_data_set_to_train_on(run, tmp_path):
    hidden = [n for n, s in run.record.schemes.items() if s == "none"]
    plain = relabel(run, tmp_path / "plain")
    assert sorted(plain.kept) == sorted(hidden)
    made = read_dataset(tmp_path / "plain")
    assert all(made[n].scheme == "pseudo" for n in hidden)
    assert made[hidden[0]].group == run.dataset[hidden[0]].group
    boosted = relabel(run, tmp_path / "boosted", boost=True, column="class")
    assert {*boosted.kept, *boosted.zeroed, *boosted.left_out} == set(hidden)
    more = read_dataset(tmp_path / "boosted")
    for name in hidden:
        if name in boosted.left_out:
            assert not more[name].labelled
            assert not name.startswith("normal")  # a negative image is zeroed, never left out
            continue
        mask = np.array(Image.open(more[name].label))
        others = {1, 2} - ({KINDS.index(name.split("_")[0])} if "normal" not in name else set())
        assert not np.isin(mask, list(others)).any()
    with pytest.raises(HinterlandError, match="--overwrite"):
        relabel(run, tmp_path / "plain")


def test_boosting_needs_image_labels(run, tmp_path):
    with pytest.raises(HinterlandError, match="--column"):
        relabel(run, tmp_path / "out", boost=True)
    assert not (tmp_path / "out").exists()


class TestUnits:
    def test_a_label_of_the_patient_is_judged_by_patient(self, data):
        from hinterland.classification.dataset.task import Task

        task = Task("group", "group", ("a", "b"), (None, None))
        groups = {"x1": "x", "x2": "x", "y1": "y"}
        units = units_of(task, ["x1", "x2", "y1"], {"x1": 0, "x2": 0, "y1": 1}, groups)
        assert units.name == "patient"
        assert units.members == {"x": ("x1", "x2"), "y": ("y1",)}
        differing = units_of(task, ["x1", "x2"], {"x1": 0, "x2": 1}, groups)
        assert differing.name == "case"

    def test_both_answers_are_needed_where_thresholds_are_fitted(self):
        from hinterland.classification.dataset.task import Task

        task = Task("lesion", "lesion", ("no lesion", "lesion"), (None, "lesion"), True)
        targets = {"a": 1, "b": 0, "c": 1, "d": 1}
        with pytest.raises(HinterlandError, match="val split"):
            check_split({"train": ["a", "b"], "val": ["c", "d"]}, targets, task)
        check_split({"train": ["a", "b"], "val": ["c", "b"]}, targets, task)
