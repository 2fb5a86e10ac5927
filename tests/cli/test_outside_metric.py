"""A metric and an exporter of another package: one file, one entry point each, no line of ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hinterland.data.io.volume import Volume, write_label
from hinterland.evaluation.metrics.metric import Metric
from hinterland.evaluation.metrics.registry import METRICS, asked_metrics, register
from hinterland.types import HinterlandError
from outside import run_outside


def write(folder: Path, name: str, shift: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((6, 12, 12), np.uint8)
    mask[2:4, 2:6, 2 + shift : 6 + shift] = 1
    write_label(folder / f"{name}.nii.gz", mask, Volume(mask[None], np.diag([2.0, 1, 3, 1])))


def test_a_metric_from_outside_is_asked_for_shown_and_compared(
    tmp_path: Path,
) -> None:
    for i in range(3):
        write(tmp_path / "ref", f"c{i}", 0)
        write(tmp_path / "one", f"c{i}", 1)
        write(tmp_path / "two", f"c{i}", 3)
    for name in ("one", "two"):
        table = tmp_path / f"{name}.csv"
        shown = run_outside("evaluate", tmp_path / name, tmp_path / "ref", "--out", table,
                        "--metric", "hd_largest")  # fmt: skip
        assert "hd_largest" in shown.stdout
        distances = pd.read_csv(table)["hd_largest"]
        assert distances.tolist() == [2.0 if name == "one" else 6.0] * 3  # voxels of 2 mm along x
    run_outside("compare", tmp_path / "one.csv", tmp_path / "two.csv", "--out",
            tmp_path / "report")  # fmt: skip
    assert "Largest distance (mm)" in (tmp_path / "report" / "report.html").read_text()
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    found = [r for r in summary["results"] if r["metric"] == "hd_largest" and not r["baseline"]]
    assert [r["difference"] for r in found] == [4.0]
    wrong = run_outside("evaluate", tmp_path / "one", tmp_path / "ref", "--out",
                    tmp_path / "x.csv", "--metric", "hd", code=1)  # fmt: skip
    assert "there is no metric 'hd'; expected one of dice" in wrong.stderr
    assert "hd_largest" in wrong.stderr


def test_an_exporter_from_outside_writes_a_run(tmp_path: Path, runs: Path) -> None:
    out = tmp_path / "note.txt"
    shown = run_outside("export", runs / "binary", out, "--to", "note", "--checkpoint",
                    "last", "--overwrite", "--json")  # fmt: skip
    assert out.read_text() == "binary last False"  # a fresh place, whatever was in `out`
    assert json.loads(shown.stdout)["labels"] == {"background": 0, "lesion": 3}
    assert "lesion" in (tmp_path / "note.model_card.md").read_text()
    wrong = run_outside("export", runs / "binary", out, "--to", "keras", code=1)
    assert "expected one of nnunet, onnx, monai, note" in wrong.stderr


def test_names_that_a_metric_may_not_have() -> None:
    with pytest.raises(HinterlandError, match="registered already"):
        register(Metric("dice", "Mine", lambda pair: 1.0))
    for name in ("case", "my metric", "reference_ml"):
        with pytest.raises(HinterlandError, match="expected an identifier"):
            Metric(name, "Mine", lambda pair: 1.0)
    assert "dice" in METRICS.names()


def test_a_family_asks_for_all_its_metrics() -> None:
    plain, more = asked_metrics(), asked_metrics(["lesions"])
    assert plain == ("dice", "jaccard", "hd95", "assd", "nsd", "volume_error_ml",
                     "relative_volume_difference")  # fmt: skip
    assert more[: len(plain)] == plain
    assert {m.removeprefix("lesion_") for m in more[len(plain) :]} == {
        "sensitivity", "precision", "f1", "false_positives", "dice", "lesions_reference",
        "lesions_prediction",
    }  # fmt: skip
