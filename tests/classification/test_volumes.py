"""Is it in this slice, this volume, this patient? End to end on phantoms in 3D."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hinterland.classification.dataset.cases import check_split, targets_of
from hinterland.classification.dataset.negatives import with_negatives
from hinterland.classification.dataset.slices import slice_dataset
from hinterland.classification.evaluation.evaluate import evaluate_classifier
from hinterland.classification.fitting.operating_point import OperatingPoint
from hinterland.classification.scores.metrics import auroc
from hinterland.classification.train import ClassifierRequest, train_classifier
from hinterland.data.dataset.read import read_dataset
from hinterland.data.derived.erase import erase, sham
from hinterland.data.io.volume import read_label, read_volume
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.data.preprocessing.cache import prepare
from hinterland.phantoms.anatomy import HOST, LESION, PhantomParameters
from hinterland.phantoms.dataset import make_phantoms
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset, HinterlandError

SIZE = 16
LARGE = PhantomParameters(lesions=(0, 1), radius=(0.12, 0.14), contrast=(300.0, 320.0))
FAST = {"steps": 4, "precision": "fp32", "batch_size": 4, "validation": {"interval": 4}}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("HINTERLAND_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """18 phantoms, about half of them without a lesion."""
    out = tmp_path_factory.mktemp("data") / "phantoms"
    return read_dataset(make_phantoms(out, (6, 6, 6), size=SIZE, parameters=LARGE))


@pytest.fixture(scope="module")
def slices(volumes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("slices") / "data"
    slice_dataset(volumes, out)
    return read_dataset(out)


def segment(dataset: Dataset, dims: int, out: Path) -> Run:
    config = {
        **FAST, "steps": 40, "patch_size": [SIZE] * dims, "network_options": {"features": [4, 8]},
        "deep_supervision": False, "optimiser": {"optimiser": "adam", "lr": 0.02},
        "validation": {"interval": 40, "mirror": False}, "data": {"augmentation": "none"},
    }  # fmt: skip
    return run_or_resume(
        RunRequest(
            dataset, on=("lesion",), fold="fixed", plan=PlanOptions(dims, 0.5),
            config=make_config(config),
        ),
        out,
    )  # fmt: skip


def test_a_volume_is_one_answer(volumes, tmp_path):
    plan = plan_dataset(volumes, PlanOptions(3, 0.5))
    asked = ClassifierRequest(
        volumes, "lesion", "small", canvas=(SIZE,) * 3, plan=plan, settings=FAST
    )
    made = train_classifier(asked, tmp_path / "net")
    assert made.record.canvas == (SIZE,) * 3
    summary = evaluate_classifier(made, tmp_path / "net" / "evaluation")
    assert (summary["unit"], summary["units"]) == ("case", 6)
    truth = {c.name: int((read_label(c.label).array == LESION).any()) for c in volumes.cases}
    assert made.record.targets == truth
    assert set(truth.values()) == {0, 1}
    rule = train_classifier(
        ClassifierRequest(segment(volumes, 3, tmp_path / "run"), "lesion", "rule"),
        tmp_path / "rule",
    )
    summary = evaluate_classifier(rule, tmp_path / "rule" / "evaluation")
    table = pd.read_csv(tmp_path / "rule" / "evaluation" / "predictions.csv")
    for row in table[table["class"] == "lesion"].itertuples():
        mask = read_label(Path(row.mask)).array[0]
        assert mask.shape == (SIZE,) * 3
        assert mask.sum() == row.size_voxels > 0
        assert row.size_ml == pytest.approx(mask.sum() * LARGE.spacing**3 / 1000)
    assert "slices" in table["region"].dropna().iloc[0]  # a volume has a depth
    assert {r["by"] for r in summary["recall"]} == {"size", "place"}


def test_a_slice_and_a_patient_are_asked_the_same_question(slices, volumes, tmp_path):
    run = segment(slices, 2, tmp_path / "run")
    by_slice = train_classifier(ClassifierRequest(run, "lesion", "rule"), tmp_path / "slice")
    summary = evaluate_classifier(by_slice, tmp_path / "slice" / "evaluation")
    assert (summary["unit"], summary["units"]) == ("case", 6 * SIZE)
    asked = ClassifierRequest(run, "lesion", "rule", unit="patient", aggregate="max")
    by_patient = train_classifier(asked, tmp_path / "patient")
    point = OperatingPoint.read(by_patient.path).of("patient")
    assert point.cases == {c.name for c in volumes.val}  # patients, not slices
    summary = evaluate_classifier(by_patient, tmp_path / "patient" / "evaluation")
    assert (summary["unit"], summary["units"], summary["cases"]) == ("patient", 6, 6 * SIZE)
    folder = tmp_path / "patient" / "evaluation"
    rows, patients = (pd.read_csv(folder / f"{n}.csv") for n in ("predictions", "patients"))
    highest = rows.groupby("group")["score: lesion"].max()
    joined = patients.set_index("patient")
    assert np.allclose(joined["score: lesion"], highest[joined.index])
    has = {c.name: (read_label(c.label).array == LESION).any() for c in volumes.test}
    assert {p: row == "lesion" for p, row in joined["label"].items()} == has
    area = next(m["value"] for m in summary["metrics"] if m["metric"] == "auroc")
    truth = np.array([has[p] for p in joined.index], int)
    assert area == pytest.approx(auroc(truth, joined["score: lesion"].to_numpy()))


class TestSlices:
    def test_voxels_places_patients_and_splits_are_kept(self, volumes, slices):
        assert len(slices.cases) == len(volumes.cases) * SIZE
        case = next(c for c in volumes.cases if (read_label(c.label).array == LESION).any())
        whole, label = read_volume(case.images), read_label(case.label).array
        for z in (0, 7, SIZE - 1):
            part = slices[f"{case.name}_z{z:03d}"]
            found = read_volume(part.images)
            assert np.array_equal(found.array[:, 0], whole.array[:, z])
            assert np.array_equal(read_label(part.label).array[:, 0], label[:, z])
            here = found.affine @ [1, 2, 0, 1]
            assert np.allclose(here, whole.affine @ [1, 2, z, 1], atol=1e-3)
            assert (part.group, part.split) == (case.name, case.split)

    def test_a_volumes_labels_are_no_slices_labels(self, volumes, tmp_path):
        first, second = volumes.cases[:2]
        known = volumes.replace(
            cases=(
                replace(first, image_labels={"lesion": 1, "ward": "a"}),
                replace(second, image_labels={"lesion": 0, "ward": "b"}),
            )
        )
        slice_dataset(known, tmp_path / "out")
        made = read_dataset(tmp_path / "out")
        assert made[f"{first.name}_z003"].image_labels == {"ward": "a"}  # in which slice is open
        assert made[f"{second.name}_z003"].image_labels == {"ward": "b", "lesion": 0}

    def test_blocks_give_negatives_where_all_volumes_are_positive(self, volumes, tmp_path):
        positive = [c for c in volumes.cases if (read_label(c.label).array == LESION).any()]
        some = volumes.replace(
            cases=tuple(replace(c, split=("train", "val")[i % 2]) for i, c in enumerate(positive))
        )
        plan = plan_dataset(some, PlanOptions(3, 0.5))
        request = ClassifierRequest(some, "lesion", "small", plan=plan, settings=FAST)
        with pytest.raises(HinterlandError, match=r"nothing but 'lesion'.*add negatives"):
            train_classifier(request, tmp_path / "no")
        made = slice_dataset(some, tmp_path / "blocks", thickness=6)
        assert [len(v) for v in made.members.values()] == [3] * len(positive)  # 6, 6 and 4 slices
        blocks = read_dataset(tmp_path / "blocks")
        answers = [(read_label(c.label).array == LESION).any() for c in blocks.cases]
        assert 0 < sum(answers) < len(answers)
        record = json.loads((tmp_path / "blocks" / "slices.json").read_text())
        assert record["thickness"] == 6

    def test_what_has_no_slices_is_refused(self, slices, tmp_path):
        few = slices.replace(cases=slices.cases[:2])
        with pytest.raises(HinterlandError, match="no volume has more than 1 slice"):
            slice_dataset(few, tmp_path / "out")
        assert not list(tmp_path.iterdir())


class TestNegatives:
    @pytest.fixture(scope="class")
    def sick(self, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
        """Six phantoms, every one with a lesion."""
        out = tmp_path_factory.mktemp("sick") / "phantoms"
        parameters = replace(LARGE, lesions=(1, 1))
        return read_dataset(make_phantoms(out, (4, 2, 2), size=24, parameters=parameters))

    def test_lesions_are_painted_over_and_the_paint_is_no_answer(self, sick, tmp_path):
        task, before = targets_of(sick, "lesion", prepare(sick, plan_dataset(sick)))
        with pytest.raises(HinterlandError, match="nothing but 'lesion'"):
            check_split({p: [c.name for c in sick.of(p)] for p in ("train", "val")}, before, task)
        made = with_negatives(sick, "lesion", "host", tmp_path / "out")
        mixed = read_dataset(tmp_path / "out")
        painted = {True: [], False: []}
        for case in mixed.cases:
            negative = case.name in made.negative
            old, new = (d[case.name] for d in (sick, mixed))
            label, now = (read_label(c.label).array[0] for c in (old, new))
            image, seen = (read_volume(c.images).array[0] for c in (old, new))
            lesion, host = label == LESION, label == HOST
            changed = seen != image
            painted[negative].append(int(changed.sum()))
            assert np.array_equal(now[~lesion], label[~lesion])
            assert (now[lesion] == (HOST if negative else LESION)).all()
            assert not changed[~(lesion | host)].any()
            assert not changed[lesion].any() or negative
            assert changed[lesion].mean() > 0.9 or not negative
            healthy = image[host]
            assert np.isin(seen[changed], healthy).all()  # nothing but tissue of this scan
        for part, count in (("train", 2), ("val", 1), ("test", 1)):
            assert sum(c.name in made.negative for c in mixed.of(part)) == count
        assert min(painted[False]) > 0
        task, answers = targets_of(mixed, "lesion", prepare(mixed, plan_dataset(mixed)))
        assert answers == {c.name: int(c.name in made.positive) for c in mixed.cases}
        check_split({p: [c.name for c in mixed.of(p)] for p in ("train", "val")}, answers, task)

    def test_a_sham_is_as_large_as_a_lesion_and_leaves_tissue_to_paint_with(self):
        rng = np.random.default_rng(0)
        region, healthy = np.zeros((2, 1, 20, 20), bool)
        region[0, 2:7, 2:7] = True
        healthy[0, :, 8:] = True
        place = sham(region, healthy, rng)
        assert place.sum() == 25
        assert not (place & ~healthy).any()
        healthy[0, :, 11:] = False  # 60 voxels, too narrow for the shape
        assert sham(region, healthy, rng).sum() == 25
        healthy[0, 10:] = False  # 30 voxels
        tight = sham(region, healthy, rng)
        assert tight.sum() == 15
        image = np.arange(400.0).reshape(1, 1, 20, 20)
        painted = erase(image, tight, healthy & ~tight, rng)
        assert np.isin(painted[0][tight], image[0][healthy & ~tight]).all()
        assert np.array_equal(painted[0][~tight], image[0][~tight])

    def test_data_with_negatives_or_without_tissue_are_refused(self, volumes, sick, tmp_path):
        with pytest.raises(HinterlandError, match="has negatives of its own"):
            with_negatives(volumes, "lesion", "host", tmp_path / "a")
        with pytest.raises(HinterlandError, match="no 'lesion' away from its 'lesion'"):
            with_negatives(sick, "lesion", "lesion", tmp_path / "b")
        lone = sick.replace(cases=sick.cases[:1])
        with pytest.raises(HinterlandError, match=r"are of 1 patient\(s\)"):
            with_negatives(lone, "lesion", "host", tmp_path / "c")
        assert not list(tmp_path.iterdir())
