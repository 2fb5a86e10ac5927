"""The model card: figures are those of the tables, licences are told, machines are not."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import hinterland as hl
from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.evaluation.statistics.bootstrap import bootstrap_ci
from hinterland.export.export_run import export_run
from hinterland.export.model_card import model_card
from hinterland.training.config import make_config
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError

TINY = {
    "steps": 2, "batch_size": 2, "patch_size": [16, 16], "precision": "fp32", "seed": 5,
    "accelerator": "cpu", "network_options": {"features": [4, 8]},
    "validation": {"interval": 2, "mirror": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("card")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
        data = hl.make_phantoms(folder / "scans-of-somebody", (4, 2, 4), dims=2, size=32)
        content = json.loads((data / "dataset.json").read_text())
        content |= {"licence": "CC BY 4.0\n\x1b[2J<b>", "description": "Made-up bodies."}
        (data / "dataset.json").write_text(json.dumps(content))
        (data / "supports").mkdir()
        terms = {"name": "CC BY-NC", "text": "NON-COMMERCIAL.", "url": "http://x", "commercial": 0}
        earlier = {"source": {"kind": "masks"}, "licence": None, "before": None}
        told = {"source": {"kind": "nninteractive"}, "licence": terms, "before": earlier}
        (data / "supports" / "provenance.json").write_text(json.dumps(told))
        cases = read_dataset(data)
        method = hl.methods.Supervised(cases.labels.tree.leaves)
        plan = plan_dataset(cases, PlanOptions(2))
        config = make_config(TINY)
        return hl.train(cases, plan, method, fold="fixed", out=folder / "run", config=config)


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def test_figures_and_intervals_are_those_of_the_table(run):
    card = model_card(run)
    table = pd.read_csv(run.path / "metrics.csv", dtype={"group": str})
    rows = [r.split(" | ") for r in section(card, "Figures").splitlines() if r.startswith("| ")]
    told = {(r[0].strip("| "), r[1]): r[3] for r in rows[1:] if not r[0].startswith("| ---")}
    assert len(told) >= 3
    for (question, name), dice in told.items():
        own = table[(table["coarsening"] == question) & (table["class"] == name)]
        found = bootstrap_ci(own["dice"].to_numpy(), own["group"].to_numpy())
        assert dice == f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def test_data_labels_protocol_licences_and_limits_are_told(run):
    card = model_card(run, kind="onnx")
    assert run.record.spec.tree.draw() in section(card, "Labels")
    assert "| train | 4 | 4 |" in section(card, "Data")
    assert "Made-up bodies." in section(card, "Data")
    assert run.record.dataset["fingerprint"] in section(card, "Data")
    assert "- seed: 5" in section(card, "Protocol")
    licences = section(card, "Licences")
    assert "- data: CC BY 4.0 [2J&lt;b>" in licences
    assert "- support labels: nninteractive: CC BY-NC NON-COMMERCIAL. http://x" in licences
    assert "- support labels: masks: not said" in licences
    limits = section(card, "Intended use and limits")
    assert "no medical device" in limits
    assert "never took off" in limits
    assert "as onnx" in card


def test_nothing_of_the_machine_or_of_cases_is_told(run):
    card = model_card(run)
    assert str(run.path.parent) not in card
    assert not [n for names in run.record.split.values() for n in names if n in card]


def test_the_other_checkpoint_has_its_own_figures(run):
    assert "the last checkpoint" in model_card(run, "last")
    assert "the best checkpoint" in model_card(run)


def test_every_export_has_its_card(run, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    export_run(run, tmp_path / "bundle", "monai")
    export_run(run, tmp_path / "model.onnx", "onnx")
    for file, kind in ((tmp_path / "bundle" / "model_card.md", "monai"),
                       (tmp_path / "model.model_card.md", "onnx")):  # fmt: skip
        assert file.read_text() == model_card(run, kind=kind)
    with pytest.raises(HinterlandError, match="exists already"):
        export_run(run, tmp_path / "bundle", "monai")
    export_run(run, tmp_path / "bundle", "monai", overwrite=True)
    (tmp_path / "model.onnx").unlink()
    (tmp_path / "model.model_card.md").write_text("completed by hand")
    with pytest.raises(HinterlandError, match="says something else"):
        export_run(run, tmp_path / "model.onnx", "onnx")
    assert (tmp_path / "model.model_card.md").read_text() == "completed by hand"
    export_run(run, tmp_path / "model.onnx", "onnx", overwrite=True)
    with pytest.raises(HinterlandError, match="exporter"):
        export_run(run, tmp_path / "x", "nonsense")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "bundle", "model.model_card.md", "model.onnx"
    ]  # fmt: skip
