"""`hinterland classify train | predict | evaluate | relabel` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from cli_helpers import as_json

from hinterland.data.io.journal import Journal

QUICK = ["--steps", 2, "--set", "batch_size=2", "--set", "precision=fp32"]


@pytest.fixture(scope="module")
def answers(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image labels: every second case of each split is an `a`."""
    splits = json.loads((phantoms / "splits.json").read_text())
    lines = ["case,kind"]
    for names in (splits["train"], splits["val"], splits["test"]):
        lines += [f"{name},{'ab'[i % 2]}" for i, name in enumerate(names)]
    file = tmp_path_factory.mktemp("tables") / "answers.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(scope="module")
def classifier(hinterland, phantoms: Path, answers: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("classifiers") / "small"
    made = hinterland("classify", "train", phantoms, "--task", "kind=a", "--by", "small",
                      "--image-labels", answers, "--canvas", "16,16", *QUICK, "--out", out,
                      "--json")  # fmt: skip
    assert as_json(made)["classes"] == ["not a", "a"]
    return out


def test_evaluate_writes_tables_and_says_them(hinterland, classifier):
    shown = hinterland("classify", "evaluate", classifier, "--spurious", "kind", code=1)
    assert "mark of 0 or 1" in shown.stderr
    found = as_json(hinterland("classify", "evaluate", classifier, "--json"))
    assert {m["metric"] for m in found["metrics"]} >= {"auroc", "recall", "brier"}
    folder = classifier / "evaluation"
    assert set(pd.read_csv(folder / "metrics.csv")["class"]) == {"a"}
    assert list(pd.read_csv(folder / "predictions.csv")["label"]).count("a") == 2
    again = hinterland("classify", "evaluate", classifier, code=1)
    assert "--overwrite" in again.stderr


def test_predict_takes_files_and_refuses_to_overwrite(hinterland, phantoms, classifier, tmp_path):
    images = sorted((phantoms / "imagesTs").iterdir())[:1]
    out = tmp_path / "answers"
    found = as_json(hinterland("classify", "predict", classifier, *images, out, "--json"))
    row = found["cases"][0]
    assert row["probability: a"] + row["probability: not a"] == pytest.approx(1)
    assert row["mask"] == ""  # a network on images has no mask that shows why
    assert len(pd.read_csv(out / "predictions.csv")) == 1
    refused = hinterland("classify", "predict", classifier, *images, out, code=1)
    assert "--overwrite" in refused.stderr


@pytest.fixture(scope="module")
def rule(hinterland, runs, answers: Path, tmp_path_factory) -> Path:
    """A classifier whose masks explain its decisions; its `a` is the lesion."""
    out = tmp_path_factory.mktemp("rules") / "rule"
    named = out.with_name("named.csv")
    named.write_text(answers.read_text().replace(",a", ",lesion"))
    hinterland("classify", "train", runs / "backsplit", "--task", "kind=lesion", "--by", "rule",
               "--image-labels", named, "--out", out)  # fmt: skip
    return out


def test_a_classification_that_was_stopped_goes_on(
    hinterland, phantoms, rule, tmp_path, monkeypatch
):
    whole, out = tmp_path / "whole", tmp_path / "out"
    ask = ("classify", "predict", rule, phantoms / "imagesTs")
    hinterland(*ask, whole)
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    assert len(list((whole / "masks").iterdir())) > 0
    finish = Journal.finish

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "finish", stop)
    for _ in range(2):
        hinterland(*ask, out, code=130)
    monkeypatch.setattr(Journal, "finish", finish)
    assert not (out / "predictions.csv").exists()
    assert list((out / "masks").iterdir())
    refused = hinterland(*ask, out, "--patient-pattern", "(.*)", code=1).stderr
    assert "is there already" in refused  # another question must not mix with the masks of this one
    hinterland(*ask, out)
    assert sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file()) == files
    for file in files:
        text = (whole / file).read_bytes().replace(bytes(whole), bytes(out))
        assert (out / file).read_bytes() == text


def test_mistakes_are_said_in_one_message(
    hinterland, phantoms, runs, classifier, answers, tmp_path
):
    out = tmp_path / "out"

    def refused(*arguments: object) -> str:
        result = hinterland("classify", *arguments, code=1)
        assert "Traceback" not in result.stderr
        assert not out.exists()
        return result.stderr

    asked = ("--task", "kind=a", "--image-labels", answers, "--out", out)
    assert "need a segmentation run" in refused("train", phantoms, "--by", "rule", *asked)
    assert "leaves no validation cases" in refused("train", phantoms, "--fold", "all", *asked)
    assert "whole numbers" in refused("train", phantoms, "--canvas", "big", *asked)
    assert "is a classifier" in refused("train", classifier, *asked)
    assert "its own labels" in refused("train", runs / "binary", "--dims", 2, *asked)
    assert "needs a mask" in refused("train", runs / "binary", *asked)
    assert "no node of the label tree" in refused(
        "train", runs / "binary", "--task", "tumour", "--out", out
    )
    unknown = refused("train", phantoms, "--task", "tumour", "--out", out)
    assert "no node of the label tree" in unknown
    assert "preprocessing" not in unknown  # said before the long work
    assert "is no classifier" in refused("evaluate", runs / "binary")
    assert "masks of all" in refused("relabel", runs / "binary", "--out", out)
