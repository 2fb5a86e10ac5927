"""train, resume, predict, evaluate, compare, export: on two tiny runs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from cli_helpers import FAST, as_json
from PIL import Image

from hinterland.data.io.journal import Journal


def config(run):
    return yaml.safe_load((run / "config.yaml").read_text())


def test_train_leaves_a_complete_run(runs):
    run = runs / "backsplit"
    for name in ("config.yaml", "plan.json", "labels.yaml", "log.csv", "metrics.csv",
                 "summary.json", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):  # fmt: skip
        assert (run / name).is_file(), name
    assert len(list((run / "predictions").glob("*.png"))) == 3
    assert len(config(run)["on"][0]) == 6
    assert len(config(runs / "binary")["on"][0]) == 2


def test_train_refuses_to_overwrite(hinterland, phantoms, runs):
    before = (runs / "binary" / "summary.json").read_text()
    result = hinterland(
        "train", phantoms, "--method", "supervised", "--out", runs / "binary", code=1
    )
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert f"hinterland resume {runs / 'binary'}" in result.stderr
    assert (runs / "binary" / "summary.json").read_text() == before


def test_train_with_everything_said(hinterland, phantoms, tmp_path):
    plan, run = tmp_path / "plan.json", tmp_path / "run"
    hinterland("plan", phantoms, "--out", plan, "--memory", 2)
    result = hinterland(
        "train", phantoms, "--method", "supervised", "--on", "leaves,target", "--fold", 1,
        "--plan", plan, "--labelled", "4:cases", "--fine", 2, "--steps", 2, "--seed", 3,
        "--set", "optimiser.lr=1e-3", "--set", "method.ce_weight=2.0",
        "--out", run, *FAST, "--json",
    )  # fmt: skip
    summary = as_json(result)
    assert summary["split"] == "val"
    assert summary["run"] == str(run)
    known = config(run)
    assert known["train"]["optimiser"]["lr"] == 1e-3
    assert known["method_options"]["ce_weight"] == 2
    assert (known["seed"], known["steps"], len(known["on"])) == (3, 2, 2)
    schemes = [known["schemes"][name] for name in known["split"]["train"]]
    assert schemes.count("full") == 2
    assert schemes.count("full@coarse") == 2
    assert set(schemes) == {"full", "full@coarse", "none"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "magic"], "expected one of supervised, backsplit"),
        (["--method", "backsplit", "--on", "target"], "takes no --on"),
        (["--method", "supervised", "--on", "liver"], "liver"),
        (["--method", "supervised", "--on", "host"], "does not distinguish"),
        (["--method", "supervised", "--with", "magic"], "regulariser 'magic'"),
        (["--method", "supervised", "--fold", "first"], "a number from 0, `fixed` or `all`"),
        (["--method", "supervised", "--fold", "9"], "there is no fold 9"),
        (["--method", "supervised", "--labelled", "99"], "99 labelled groups were asked for"),
        (["--method", "supervised", "--set", "optimiser.lr=-1"], "optimiser.lr"),
        (["--method", "supervised", "--set", "speed=high"], "expected one of accelerator,"),
        (["--method", "supervised", "--set", "optimiser.rl=1"], "lr, momentum"),
        (["--method", "supervised", "--set", "steps.of=1"], "steps"),
        (["--method", "cvbm"], "wants training cases without a label"),
        (["--method", "supervised", "--set", "method.magic=1"], "method 'supervised'"),
        (["--method", "supervised", "--set", "network=alexnet"], "network 'alexnet'"),
        (["--method", "supervised", "--set", "network_options.magic=1"], "network_options"),
        (["--method", "supervised", "--plan", "nowhere.json"], "hinterland plan DATASET"),
    ],
)
def test_what_train_cannot_do_is_one_message(hinterland, phantoms, tmp_path, arguments, message):
    run = tmp_path / "run"
    result = hinterland("train", phantoms, "--steps", 1, "--out", run, *arguments, *FAST, code=1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in result.stderr
    assert not (run / "config.yaml").exists()


def test_ctrl_c_says_how_to_go_on(hinterland, phantoms, runs, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hinterland.training.runs.run_training.run_or_resume", stopped)
    result = hinterland(
        "train", phantoms, "--method", "supervised", "--out", runs / "binary", code=130
    )
    assert f"hinterland resume {runs / 'binary'}" in result.stderr


def test_lightning_turns_ctrl_c_into_an_exit(hinterland, runs, monkeypatch):
    def stopped(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904

    monkeypatch.setattr("hinterland.training.runs.run_training.resume", stopped)
    result = hinterland("resume", runs / "binary", code=130)
    assert f"hinterland resume {runs / 'binary'}" in result.stderr


def test_a_bug_of_ours_keeps_its_traceback(hinterland, runs, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("hinterland.training.runs.run_training.resume", broken)
    result = hinterland("resume", runs / "binary", code=1)
    assert isinstance(result.exception, ZeroDivisionError)


def test_no_space_is_one_message(hinterland, runs, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "/runs/last.ckpt")

    monkeypatch.setattr("hinterland.training.runs.run_training.resume", full)
    result = hinterland("resume", runs / "binary", "--json", code=1)
    assert as_json(result) == {"error": "/runs/last.ckpt: No space left on device."}


def test_resume_of_what_is_no_run(hinterland, tmp_path):
    result = hinterland("resume", tmp_path, code=1)
    assert "no run directory" in result.stderr


def test_resume_finishes_an_evaluation(hinterland, runs, tmp_path):
    run = shutil.copytree(runs / "binary", tmp_path / "run")
    (run / "summary.json").unlink()
    summary = as_json(hinterland("resume", run, "--json"))
    assert summary["cases"] == 3
    assert (run / "summary.json").is_file()


def test_predict_a_folder_and_single_files(hinterland, runs, phantoms, tmp_path):
    out = tmp_path / "all"
    images = sorted((phantoms / "imagesTs").iterdir())
    found = as_json(hinterland("predict", runs / "backsplit", phantoms / "imagesTs", out, "--json"))
    assert found["labels"]["lesion"] == 5
    assert [f"{c}_0000.png" for c in found["cases"]] == [p.name for p in images]
    one = tmp_path / "one"
    hinterland("predict", runs / "backsplit", images[1], one, "--at", "target")
    assert [p.name for p in sorted(one.glob("*.png"))] == [images[1].name.replace("_0000", "")]
    assert set(np.unique(Image.open(next(one.glob("*.png"))))) <= {0, 5}
    assert set(json.loads((one / "dataset.json").read_text())["labels"].values()) == {0, 5}


def test_predict_refuses(hinterland, runs, phantoms, tmp_path):
    images = phantoms / "imagesTs"
    out = runs / "backsplit" / "predictions"
    assert "--overwrite" in hinterland("predict", runs / "backsplit", images, out, code=1).stderr
    finer = hinterland("predict", runs / "binary", images, tmp_path, "--at", "leaves", code=1)
    assert "does not distinguish" in finer.stderr
    assert not list(tmp_path.iterdir())
    nothing = hinterland("predict", runs / "binary", tmp_path / "no", tmp_path / "x", code=1)
    assert "there is no folder" in nothing.stderr
    wrong = hinterland("predict", runs / "binary", images, tmp_path / "x", "--checkpoint", "first",
                       code=1)  # fmt: skip
    assert "expected best or last" in wrong.stderr


def test_a_prediction_that_was_stopped_goes_on(hinterland, runs, phantoms, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    ask = ("predict", runs / "backsplit", phantoms / "imagesTs")
    kinds = ("--probabilities", "--uncertainty")
    hinterland(*ask, whole, *kinds)
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    assert len(files) == 14  # four of them in at/target
    left, finish = [0], Journal.finish

    def stop(self, *paths):
        if not left[0]:
            raise KeyboardInterrupt
        finish(self, *paths)
        left[0] -= 1

    monkeypatch.setattr(Journal, "finish", stop)
    for count in (0, 1, 0, 2):  # stop at the first label, the second, again, the first map
        left[0] = count
        hinterland(*ask, out, *kinds, code=130)
    other = hinterland(*ask, out, "--probabilities", code=1).stderr
    assert "3 of 3 predictions exist already" in other
    monkeypatch.setattr(Journal, "finish", finish)
    hinterland(*ask, out, *kinds)
    assert sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file()) == files
    assert all((out / f).read_bytes() == (whole / f).read_bytes() for f in files)
    assert "--overwrite" in hinterland(*ask, out, *kinds, code=1).stderr


def test_a_truncated_scan_among_six_is_reported_and_stops_nothing(
    hinterland, runs, phantoms, tmp_path
):
    folder, out, ask = tmp_path / "in", tmp_path / "out", ("predict", runs / "backsplit")
    folder.mkdir()
    images = [
        *sorted((phantoms / "imagesTs").iterdir()),
        *sorted((phantoms / "imagesTr").iterdir()),
    ]
    for image in images[:6]:
        shutil.copy(image, folder)
    names = sorted(p.name.replace("_0000", "") for p in folder.iterdir())
    hinterland(*ask, folder, tmp_path / "whole")
    bad = sorted(folder.iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:-300])
    for _ in range(2):  # the same command says the same again
        result = hinterland(*ask, folder, out, "--uncertainty", code=1)
        assert "1 of 6 cases could not be predicted, the other 5 are in" in result.stderr
        assert f"case {names[1].removesuffix('.png')}: " in result.stderr
        found = sorted(p.name for p in out.glob("*.png"))
        assert found == names[:1] + names[2:]
        assert len(list((out / "uncertainty").iterdir())) == 5
    for name in found:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    alone = hinterland(*ask, bad, tmp_path / "alone", code=1)
    assert f"error: case {names[1].removesuffix('.png')}: " in alone.stderr


def test_integers_of_another_meaning_do_not_enter_a_folder(hinterland, runs, phantoms, tmp_path):
    images = sorted((phantoms / "imagesTs").iterdir())
    hinterland("predict", runs / "backsplit", images[0], tmp_path)
    text = (tmp_path / "dataset.json").read_text()
    hinterland("predict", runs / "backsplit", images[1], tmp_path)
    ask = ("predict", runs / "backsplit", images[2], tmp_path, "--at", "target")
    assert "mean" in hinterland(*ask, code=1).stderr
    assert (tmp_path / "dataset.json").read_text() == text
    hinterland(*ask, "--overwrite")
    assert (tmp_path / "dataset.json").read_text() != text


def test_predictions_and_probabilities_agree(hinterland, runs, phantoms, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    out = tmp_path / "out"
    hinterland("predict", runs / "binary", phantoms / "imagesTs", out, "--probabilities")
    for label in out.glob("*.png"):
        probabilities = tifffile.imread(out / "probabilities" / f"{label.stem}.tif")
        lesion = np.asarray(Image.open(label)) == 5
        np.testing.assert_array_equal(
            probabilities.reshape(2, *lesion.shape).argmax(0) == 1, lesion
        )


def test_evaluate_gives_the_runs_own_figures(hinterland, runs, phantoms, tmp_path):
    out = tmp_path / "metrics.csv"
    result = hinterland(
        "evaluate", runs / "backsplit" / "predictions", phantoms / "labelsTs", "--out", out
    )
    assert "empty masks: penalty" in result.stdout
    ours, theirs = pd.read_csv(out), pd.read_csv(runs / "backsplit" / "metrics.csv")
    theirs = theirs[theirs["coarsening"] == "target"]
    columns = ["case", "class", "dice", "hd95"]
    pd.testing.assert_frame_equal(
        ours[columns].sort_values("case", ignore_index=True),
        theirs[columns].sort_values("case", ignore_index=True),
    )
    again = hinterland("evaluate", runs / "backsplit" / "predictions", phantoms / "labelsTs",
                       "--out", out, code=1)  # fmt: skip
    assert "--overwrite" in again.stderr


def test_evaluate_by_other_rules(hinterland, runs, phantoms, tmp_path):
    places = (runs / "backsplit" / "predictions", phantoms / "labelsTs")
    result = hinterland("evaluate", *places, "--at", "leaves,target", "--empty", "drop",
                        "--out", tmp_path / "a.csv", "--json")  # fmt: skip
    rows = as_json(result)["results"]
    assert {r["coarsening"] for r in rows} == {"leaves", "target"}
    table = pd.read_csv(tmp_path / "a.csv")
    assert set(table["empty"]) == {"drop"}
    assert set(table["class"]) == {"host", "decoy", "bowel", "spine", "lesion"}
    every = hinterland("evaluate", *places, "--convention", "all", "--out", tmp_path / "b.csv")
    assert all(name in every.stdout for name in ("hinterland", "monai", "medpy", "ssl4mis"))
    assert len(pd.read_csv(tmp_path / "b.csv")) == 4 * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.txt"], "ends in .csv or .parquet"),
        (["--out", "x.csv", "--empty", "zero"], "no empty-mask policy"),
        (["--out", "x.csv", "--convention", "ours"], "no convention"),
        (["--out", "x.csv", "--at", "liver"], "liver"),
        (["--out", "x.csv", "--cases", "nobody"], "nobody"),
    ],
)
def test_what_evaluate_cannot_do(hinterland, runs, phantoms, arguments, message):
    places = (runs / "backsplit" / "predictions", phantoms / "labelsTs")
    assert message in hinterland("evaluate", *places, *arguments, code=1).stderr


def test_a_missing_prediction_is_an_error(hinterland, runs, phantoms, tmp_path):
    folder = shutil.copytree(runs / "binary" / "predictions", tmp_path / "predictions")
    next(folder.glob("*.png")).unlink()
    out = tmp_path / "metrics.csv"
    result = hinterland("evaluate", folder, phantoms / "labelsTs", "--out", out, code=1)
    assert "1 of 3 references have no prediction" in result.stderr
    assert not out.exists()


def test_compare_writes_the_report(hinterland, runs, tmp_path):
    out = tmp_path / "comparison"
    arguments = ("compare", runs / "binary", runs / "backsplit", "--out", out)
    result = hinterland(*arguments, "--at", "target", "--json")
    found = as_json(result)
    assert found["methods"] == ["supervised", "backsplit"]
    assert "<html" in (out / "report.html").read_text()
    assert "--overwrite" in hinterland(*arguments, "--at", "target", code=1).stderr
    alone = hinterland(
        "compare", runs / "binary", "--out", tmp_path / "x", "--at", "target", code=1
    )
    assert "needs two methods" in alone.stderr


def test_export_to_nnunet(hinterland, runs, tmp_path):
    out = tmp_path / "model"
    arguments = ("export", runs / "backsplit", out, "--to", "nnunet")
    found = as_json(hinterland(*arguments, "--json"))
    assert found["labels"]["lesion"] == 5
    assert (out / "fold_0" / "checkpoint_final.pth").is_file()
    assert json.loads((out / "dataset.json").read_text())["file_ending"] == ".png"
    assert (
        "--overwrite"
        in hinterland("export", runs / "backsplit", out, "--to", "nnunet", code=1).stderr
    )
    other = hinterland("export", runs / "backsplit", tmp_path / "x", "--to", "keras", code=1)
    assert "expected one of nnunet, onnx, monai" in other.stderr


@pytest.mark.parametrize(
    ("to", "out", "file"),
    [("onnx", "model.onnx", "."), ("monai", "bundle", "configs/inference.json")],
)
def test_export_to_others(hinterland, runs, tmp_path, to, out, file):
    pytest.importorskip("onnxruntime")
    found = as_json(hinterland("export", runs / "binary", tmp_path / out, "--to", to, "--json"))
    assert found["labels"]["lesion"] == 5
    assert (tmp_path / out / file).exists()
    card = "model.model_card.md" if to == "onnx" else f"{out}/model_card.md"
    assert (tmp_path / card).read_text().startswith("# Model card: supervised on ")
    assert {p.name for p in tmp_path.iterdir()} == {out, card.split("/")[0]}


def test_runs_in_folders_of_one_name_are_compared_and_one_run_is_not_with_itself(
    hinterland, runs, tmp_path
):
    shutil.copytree(runs / "binary", tmp_path / "a" / "cvbm")
    shutil.copytree(runs / "binary", tmp_path / "b" / "cvbm")
    both = (tmp_path / "a" / "cvbm", tmp_path / "b" / "cvbm")
    found = as_json(hinterland("compare", *both, "--out", tmp_path / "out", "--json"))
    assert found["methods"] == ["a/cvbm", "b/cvbm"]
    result = hinterland("compare", both[0], both[0], "--out", tmp_path / "no", code=1)
    assert "is given twice" in result.stderr


def test_different_labels_are_remarked_upon(hinterland, runs, phantoms, tmp_path):
    run = tmp_path / "few"
    hinterland("train", phantoms, "--method", "supervised", "--fold", "fixed", "--steps", 3,
               "--labelled", "2:cases", "--out", run, *FAST)  # fmt: skip
    result = hinterland("compare", runs / "binary", run, "--out", tmp_path / "out")
    assert "all labelled" in result.stdout
    assert "2 of 5 labelled" in result.stdout
    assert "Training labels" in (tmp_path / "out" / "report.html").read_text()


def test_two_inputs_of_one_name_are_refused_before_any_is_predicted(
    hinterland, runs, phantoms, tmp_path
):
    image = next(iter(sorted((phantoms / "imagesTs").iterdir())))
    copy = tmp_path / "other" / image.name
    copy.parent.mkdir()
    shutil.copy(image, copy)
    out = tmp_path / "out"
    result = hinterland("predict", runs / "binary", image, copy, out, "--overwrite", code=1)
    assert "several inputs are the same case" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_place_that_cannot_be_written_is_said_in_one_line(
    hinterland, runs, phantoms, tmp_path, out
):
    (tmp_path / "file").write_text("not a folder")
    images = phantoms / "imagesTs"
    result = hinterland("predict", runs / "binary", images, tmp_path / out, code=1)
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.stderr
    assert (tmp_path / "file").read_text() == "not a folder"


def test_an_unfinished_run_says_so(hinterland, runs, phantoms, tmp_path):
    run = tmp_path / "stopped"
    shutil.copytree(runs / "binary", run)
    for name in ("summary.json", "metrics.csv"):
        (run / name).unlink()
    result = hinterland("predict", run, phantoms / "imagesTs", tmp_path / "out")
    assert f"hinterland resume {run}" in result.stderr.replace("\n", " ")
    result = hinterland("compare", runs / "binary", run, "--out", tmp_path / "no", code=1)
    assert f"hinterland resume {run}" in result.stderr
    shutil.rmtree(run / "checkpoints")
    result = hinterland("predict", run, phantoms / "imagesTs", tmp_path / "out2", code=1)
    assert f"hinterland resume {run}" in result.stderr
