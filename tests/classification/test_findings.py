"""Several findings of one image: one network, one evaluation, and no label that is made up."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from factories import batch_of, plan_of, spec_of
from PIL import Image

from hinterland.classification import predict
from hinterland.classification.dataset.answers import answers, contradict, joined
from hinterland.classification.dataset.cases import check_split, unit_of, units_of
from hinterland.classification.dataset.task import parse_task
from hinterland.classification.evaluation.compare import compare_classifiers
from hinterland.classification.evaluation.evaluate import evaluate_classifier
from hinterland.classification.fitting.calibration import Calibration
from hinterland.classification.fitting.operating_point import OperatingPoint
from hinterland.classification.methods import (
    UNKNOWN,
    ClassifierContext,
    ClassTargets,
    ImageClassifier,
    YNet,
    class_loss,
)
from hinterland.classification.record import ClassifierRecord
from hinterland.classification.scores.metrics import YoudenThreshold, auroc
from hinterland.classification.train import ClassifierRequest, train_classifier
from hinterland.classification.trainer import mean_auroc, selected
from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.fingerprint import fingerprint
from hinterland.data.planning.plan import make_plan
from hinterland.methods import make_method
from hinterland.report.image_level import answers_of_classifier
from hinterland.training.config import make_config
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import train
from hinterland.types import Case, Dataset, HinterlandError, Plan, Progress

SPEC = spec_of(
    {"background": {}, "lesion": {"benign": {}, "malignant": {}}, "cyst": {}},
    target=["lesion"],
    schemes={"full": {0: "background", 1: "benign", 2: "malignant", 3: "cyst"}},
)


def _case(name: str, **labels: int | str) -> Case:
    return Case(name, (Path("i.png"),), Path("l.png"), image_labels=labels)


CASES = [
    _case("a", malignant=1, tube="1", kind="left"),
    _case("b", lesion=0, tube="no", kind="right"),
    _case("c", tube="-1", cyst=1),
    _case("d", kind="left"),
    _case("e"),
]


class TestTask:
    def test_findings_are_nodes_columns_and_values(self):
        task = parse_task("lesion, malignant,tube, kind=left", CASES, SPEC.tree)
        assert task.independent
        assert task.text == "lesion,malignant,tube,kind=left"
        assert task.classes == ("lesion", "malignant", "tube", "left")
        assert task.nodes == ("lesion", "malignant", None, None)
        assert task.scored == (0, 1, 2, 3)
        assert task.from_masks
        assert not parse_task("lesion,", CASES, SPEC.tree).independent  # one is no list

    def test_unknown_stays_unknown_and_the_tree_fills_in(self):
        task = parse_task("lesion,malignant,tube,kind=left", CASES, SPEC.tree)
        found = answers(task, CASES, {}, SPEC.tree)
        assert found["a"] == (1, 1, 1, 1)  # what is malignant is a lesion
        assert found["b"] == (0, 0, 0, 0)  # without a lesion nothing is malignant
        assert "c" not in found  # -1 is "uncertain", and nothing else was asked of it
        assert found["d"] == (None, None, None, 1)
        assert "e" not in found

    def test_masks_answer_where_no_table_does(self):
        task = parse_task("lesion,cyst", CASES, SPEC.tree)
        seen = {"lesion": {"e": 1, "b": 1}, "cyst": {"e": 0, "c": 0}}
        found = answers(task, CASES, seen, SPEC.tree)
        assert found["e"] == (1, 0)
        assert found["b"] == (0, None)  # the image label comes first
        assert found["c"] == (None, 1)

    @pytest.mark.parametrize(
        "labels",
        [{"malignant": 1, "lesion": 0}, {"lesion": 1, "benign": 0, "malignant": 0}],
        ids=["a part without the whole", "a whole without parts"],
    )
    def test_labels_that_contradict_the_tree_are_refused(self, labels):
        task = parse_task("lesion,benign,malignant", CASES, SPEC.tree)
        with pytest.raises(HinterlandError, match=r"1 case.*\(x\) contradict the label tree"):
            answers(task, [*CASES, _case("x", **labels)], {}, SPEC.tree)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("lesion,kind", "Write kind=left"),
            ("lesion,lesion", "asks for 'lesion' twice"),
            ("lesion,tumour", "no node"),
        ],
    )
    def test_what_is_no_finding_is_refused(self, text, message):
        with pytest.raises(HinterlandError, match=message):
            parse_task(text, CASES, SPEC.tree)

    def test_a_value_with_a_comma_is_one_value(self):
        cases = [_case("a", kind="left, upper"), _case("b", kind="right")]
        assert parse_task("kind=left, upper", cases, SPEC.tree).classes[1] == "left, upper"

    def test_equal_names_are_told_apart_by_their_columns(self):
        cases = [_case("a", one="mass", two="none"), _case("b", one="none", two="mass")]
        task = parse_task("one=mass,two=mass", cases, SPEC.tree)
        assert task.classes == ("one=mass", "two=mass")


class TestPatients:
    def test_a_patient_has_what_one_scan_shows(self):
        assert joined([(0, None, 1), (1, None, 0)]) == (1, None, 1)
        assert contradict([(0, None), (1, None)], 2)
        assert not contradict([(0, None), (None, 1)], 2)

    def test_scans_that_know_different_things_are_one_patient(self):
        task = parse_task("tube,kind=left", CASES, SPEC.tree)
        targets = {"x1": (1, None), "x2": (None, 0), "y": (0, 0)}
        groups = {"x1": "x", "x2": "x", "y": "y"}
        assert unit_of(task, targets, groups) == "patient"
        assert units_of(task, [*targets], targets, groups).targets == {"x": (1, 0), "y": (0, 0)}
        assert unit_of(task, {**targets, "x2": (0, 0)}, groups) == "case"

    def test_each_finding_needs_both_answers(self):
        task = parse_task("tube,kind=left", CASES, SPEC.tree)
        targets = {"a": (1, 0), "b": (0, 1), "c": (1, None), "d": (0, 1)}
        check_split({"train": ["a", "b"], "val": ["a", "b"]}, targets, task)
        with pytest.raises(HinterlandError, match=r"val split \(1 cases\) has nothing but 'left'"):
            check_split({"train": ["a", "b"], "val": ["c", "d"]}, targets, task)


def test_unknown_labels_count_for_nothing_in_the_loss():
    logits = torch.tensor([[0.3, -1.2], [2.0, 0.4]], requires_grad=True)
    target = torch.tensor([[1, UNKNOWN], [0, 1]])
    loss = class_loss(logits, target)
    p = logits.detach().sigmoid()
    expected = -(p[0, 0].log() + (1 - p[1, 0]).log() + p[1, 1].log()) / 3
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    loss.backward()
    assert logits.grad[0, 1] == 0
    assert class_loss(logits, torch.full((2, 2), UNKNOWN)) == 0
    found = ClassTargets({"a": (1, None)}, 2)(("a", "z"))
    assert found.tolist() == [[1, UNKNOWN], [UNKNOWN, UNKNOWN]]


def test_checkpoints_are_chosen_by_the_mean_over_findings():
    p = {"a": np.array([0.9, 0.2]), "b": np.array([0.4, 0.6]), "c": np.array([0.7, 0.9])}
    targets = {"a": (1, 0), "b": (0, None), "c": (0, 1)}
    assert mean_auroc(p, targets) == 1.0  # b is unknown to the second
    assert mean_auroc({**p, "c": np.array([0.95, 0.9])}, targets) == pytest.approx((0.5 + 1) / 2)
    # first: recall 1, specificity 1/2; second: 1 and 1
    assert selected("balanced-accuracy", 0.0, p, targets) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_two_findings_are_no_yes_or_no_question(tmp_path):
    same = {i: Calibration(cases=frozenset()) for i in (0, 1)}
    thresholds = {0: YoudenThreshold(0.3, frozenset()), 1: YoudenThreshold(0.8, frozenset())}
    point = OperatingPoint("case", frozenset("v"), same, thresholds, independent=True)
    scores = np.array([[0.4, 0.9], [0.4, 0.5], [0.1, 0.1]])
    assert point.called(scores).tolist() == [[True, True], [True, False], [False, False]]
    assert np.allclose(point.probabilities(scores), scores)
    point.write(tmp_path)
    assert OperatingPoint.read(tmp_path).independent


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("by", ["small", "y-net"])
def test_findings_are_learnt_by_every_kind_of_network(by, dims):
    cases, size = tuple("abcdef"), (16,) * dims
    spec = spec_of({"background": {}, "lesion": {}}, ["lesion"])
    context = ClassifierContext(
        plan_of(size, batch_size=6, batch_dice=True), spec, spec.label_sets,
        deep_supervision=False, channels=1, classes=("bright", "dark"),
        targets={c: (i % 2, i // 2 % 2 if i < 4 else None) for i, c in enumerate(cases)},
    )  # fmt: skip
    noise = torch.Generator().manual_seed(0)
    image = 0.3 * torch.randn((6, 1, *size), generator=noise)
    for i in range(6):
        image[i, :, :8] += 2.0 * (i % 2)
        image[i, :, 8:] -= 2.0 * (i // 2 % 2)
    rows = torch.full((6, *size), spec.label_sets.label_set_ids(spec.scheme("full"))[0])
    batch = batch_of(
        image, rows, nodes=len(spec.tree.nodes), covers=torch.ones(6, dtype=torch.bool),
        case=cases, group=cases,
    )  # fmt: skip
    recipe = (
        ImageClassifier("small", True) if by == "small" else YNet((spec.target,), independent=True)
    )
    networks = recipe.build(context)
    optimiser = torch.optim.Adam(networks.parameters(), 3e-3)
    losses = []
    for step in range(25):
        loss = recipe.losses(networks, batch, Progress("train", step, 25)).terms["ce"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    # instance normalisation leaves Y-Net's pooled bottleneck little of how bright an image is
    assert losses[-1] < (0.5 if by == "small" else 0.98) * losses[0]
    p = recipe.probabilities(networks.eval(), image)
    assert p.shape == (6, 2)
    assert ((p > 0) & (p < 1)).all()
    assert not torch.allclose(p.sum(dim=1), torch.ones(6), atol=0.01)  # they exclude nothing


def test_a_patients_findings_are_decided_by_the_point_of_patients(monkeypatch):
    same = {i: Calibration(cases=frozenset()) for i in (0, 1)}

    def point(unit: str, *values: float) -> OperatingPoint:
        cut = {i: YoudenThreshold(v, frozenset()) for i, v in enumerate(values)}
        return OperatingPoint(unit, frozenset(), same, cut, independent=True)

    own = replace(point("case", 0.9, 0.9), patients=point("patient", 0.5, 0.3))
    monkeypatch.setattr(predict, "load_model", lambda run: (None, own))
    task = parse_task("tube,kind=left", CASES, SPEC.tree)
    run = SimpleNamespace(record=SimpleNamespace(task=task))
    images = pd.DataFrame(
        {"case": ["a", "b", "c"], "group": ["p", "p", "q"], "score: tube": [0.8, 0.4, 0.4],
         "score: left": [0.5, 0.3, 0.2]}
    )  # fmt: skip
    table = predict.patient_table(run, images).set_index("patient")
    assert table["class"].to_dict() == {"p": "tube, left", "q": "none"}
    assert table.loc["p", "score: tube"] == pytest.approx(0.6)
    assert table["called: left"].to_dict() == {"p": 1, "q": 0}
    assert set(table["threshold: left"]) == {0.3}
    assert predict.decisions(task, table) == {"tube": 1, "left": 1}


EDGE = 32
LABELS = """
tree: {background: {}, mass: {}, fluid: {}}
target: [mass, fluid]
schemes: {full: {0: background, 1: mass, 2: fluid}}
spacing: unknown
image_labels: labels.csv
"""
FAST = {"steps": 60, "precision": "fp32", "batch_size": 8, "validation": {"interval": 30}}
TASK = "mass,fluid,tube"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Plan]:
    """48 pictures: a grey square above, a white one below, both, or neither, and a bright line."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HINTERLAND_CACHE", str(tmp_path_factory.mktemp("cache")))
    root = tmp_path_factory.mktemp("findings")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    (root / "labels.yaml").write_text(LABELS)
    rng = np.random.default_rng(0)
    rows, splits = [["name", "mass", "tube"]], {"train": [], "val": [], "test": []}
    for i in range(48):
        pixels = rng.normal(60, 8, (EDGE, EDGE))
        mask = np.zeros((EDGE, EDGE), np.uint8)
        mass, fluid, tube = i % 2, i // 2 % 2, i // 4 % 2
        x, y = rng.integers(2, 20, 2)
        mask[3:13, x : x + 10] = mass
        mask[18:28, y : y + 10] = 2 * fluid
        pixels[mask == 1] += 80
        pixels[mask == 2] += 160
        pixels[:, 30:] += 120 * tube
        name = f"p{i:02}"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
        splits["train" if i < 16 else "val" if i < 32 else "test"].append(name)
        rows.append([name, "" if i % 5 == 0 else str(mass), ("no", "yes", "-1")[tube + (i > 43)]])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "splits.json").write_text(json.dumps(splits))
    dataset = read_dataset(root)
    yield dataset, make_plan(fingerprint(dataset, workers=1), 2, memory_gb=0.25)
    patch.undo()


@pytest.fixture(scope="module")
def run(data: tuple[Dataset, Plan], tmp_path_factory: pytest.TempPathFactory) -> Run:
    dataset, plan = data
    config = make_config(
        {
            **FAST,
            "steps": 150,
            "patch_size": [EDGE, EDGE],
            "network_options": {"features": [4, 8]},
            "deep_supervision": False,
            "optimiser": {"optimiser": "adam", "lr": 0.02},
            "validation": {"interval": 150, "mirror": False},
            "data": {"augmentation": "none"},
        }
    )
    method = make_method("supervised", dataset.labels, ("leaves",), {"dice_weight": 0.0})
    return train(
        dataset, plan, method, out=tmp_path_factory.mktemp("runs") / "run", fold="fixed",
        config=config,
    )  # fmt: skip


def test_one_network_answers_all_findings(data, tmp_path):
    dataset, plan = data
    settings = {**FAST, "optimiser": {"lr": 3e-3}, "data": {"augmentation": "none"}}
    asked = ClassifierRequest(
        dataset, TASK, "small", canvas=(EDGE, EDGE), plan=plan, settings=settings, balanced=True
    )
    made = train_classifier(asked, tmp_path / "net")
    assert ClassifierRecord.read(made.path).targets == made.record.targets
    with pytest.raises(HinterlandError, match="this classifier, finished"):  # it knows itself
        train_classifier(asked, made.path)
    assert made.record.targets["p01"] == (1, 0, 0)
    assert made.record.targets["p05"] == (1, 0, 1)  # its mass is empty in the table: the mask says
    summary = evaluate_classifier(made, tmp_path / "net" / "evaluation")
    metrics = pd.DataFrame(summary["metrics"])
    whole = metrics[metrics["subgroup"] == "all"]
    area = whole[whole["metric"] == "auroc"].set_index("class")["value"]
    assert set(area.index) == {"mass", "fluid", "tube", "mean"}
    assert area["mean"] == pytest.approx(area[["mass", "fluid", "tube"]].mean())
    assert area["fluid"] > 0.9  # the brightest of all
    rates = whole[whole["metric"] == "balanced_accuracy"].set_index("class")
    assert rates.loc["mean", "value"] == pytest.approx(
        rates.loc[["mass", "fluid", "tube"], "value"].mean()
    )
    assert rates.loc["tube", "cases"] == 12  # of four the tube is uncertain
    assert rates.loc["mass", "cases"] == 16
    table = pd.read_csv(tmp_path / "net" / "evaluation" / "predictions.csv")
    assert table["label: tube"].isna().sum() == 4
    for name in ("mass", "fluid", "tube"):
        known = table.dropna(subset=[f"label: {name}"])
        own = auroc(known[f"label: {name}"].to_numpy(), known[f"score: {name}"].to_numpy())
        assert own == pytest.approx(area[name])
        needed = table[f"score: {name}"] >= table[f"threshold: {name}"]
        assert (table[f"called: {name}"] == needed).all()
    report = (tmp_path / "net" / "evaluation" / "report.html").read_text()
    for name in ("mass", "fluid", "tube"):
        assert f"{name}: true (rows) and decided" in report
        assert f"threshold for {name}" in report
    shown = {a.group: a for a in answers_of_classifier(made.path)}
    assert len(shown["tube"].truth) == 12


def test_the_rule_has_a_map_and_a_pair_for_each_finding(run, data, tmp_path):
    asked = ClassifierRequest(run, "mass,fluid", "rule")
    made = train_classifier(asked, tmp_path / "rule")
    point = OperatingPoint.read(made.path)
    assert set(point.rules) == {0, 1}
    summary = evaluate_classifier(made, tmp_path / "rule" / "evaluation")
    area = {m["class"]: m["value"] for m in summary["metrics"] if m["metric"] == "auroc"}
    assert area["mean"] > 0.9
    assert {(r["class"], r["by"]) for r in summary["recall"]} == {
        (c, by) for c in ("mass", "fluid") for by in ("size", "place")
    }
    table = pd.read_csv(tmp_path / "rule" / "evaluation" / "predictions.csv")
    both = table[(table["called: mass"] == 1) & (table["called: fluid"] == 1)]
    assert len(both)  # an image may hold two things
    assert set(both["class"]) == {"mass, fluid"}
    for row in both.to_dict("records"):
        masks = [np.array(Image.open(row[f"mask: {c}"])) for c in ("mass", "fluid")]
        for mask, name in zip(masks, ("mass", "fluid"), strict=True):
            assert mask.sum() == row[f"size_voxels: {name}"] > 0
        assert not np.array_equal(*masks)
    assert table.loc[table["called: mass"] == 0, "mask: mass"].isna().all()
    asked = ClassifierRequest(run, "mass,tube", "rule")
    with pytest.raises(HinterlandError, match="needs a mask for 'tube'"):
        train_classifier(asked, tmp_path / "none")
    head = ClassifierRequest(run, "mass,fluid", "pool", canvas=(EDGE, EDGE), settings=FAST)
    pooled = train_classifier(head, tmp_path / "pool")
    evaluate_classifier(pooled, tmp_path / "pool" / "evaluation")
    difference = compare_classifiers(made.path, pooled.path)
    assert set(difference["class"]) == {"mass", "fluid"}
    assert set(difference["test"]) == {"DeLong", "paired bootstrap"}
