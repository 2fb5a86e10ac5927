"""The demo on tiny phantoms: complete, honest about itself, and able to go on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from cli_helpers import as_json

from hinterland.studies import demo as study
from hinterland.studies.demo import run_demo
from hinterland.types import HinterlandError

TINY = {
    "settings": {"network_options": {"features": [4, 8]}, "batch_size": 2},
    "phantoms": {"cases": [4, 2, 3], "size": 24},
}


def test_stopped_and_gone_on(tmp_path, monkeypatch, hinterland):
    out = tmp_path / "demo"
    begun: list[str] = []
    ticks: list[tuple[str, int, int]] = []

    def stop(done: int, total: int, message: str) -> None:
        ticks.append((begun[-1], done, total))
        if begun[-1].startswith("backsplit (2 of 3)"):
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run_demo(out, seed=1, steps=3, report=stop, stage=begun.append, **TINY)
    assert ticks[:3] == [("binary (1 of 3): training", done, 3) for done in (1, 2, 3)]
    assert ticks[3][0] == "binary (1 of 3): predicting and evaluating"
    assert not (out / "report.html").exists()
    finished = (out / "runs" / "binary" / "summary.json").stat().st_mtime_ns

    real = study.run_demo
    monkeypatch.setattr(study, "run_demo", lambda *a, **k: real(*a, **{**k, **TINY}))
    found = as_json(hinterland("demo", "--out", out, "--seed", 1, "--steps", 3, "--json"))
    assert (out / "runs" / "binary" / "summary.json").stat().st_mtime_ns == finished
    assert list(found["arms"]) == ["binary", "backsplit", "both"]
    assert len(found["findings"]) == 6
    assert json.loads((out / "summary.json").read_text())["findings"] == found["findings"]
    assert "<html" in (out / "report.html").read_text()

    other = hinterland("demo", "--out", out, "--seed", 2, "--steps", 3, code=1)
    assert "other settings (seed 1" in other.stderr
    assert (out / "report.html").exists()


def test_it_touches_nothing_of_others(tmp_path, hinterland):
    (tmp_path / "thesis.txt").write_text("mine")
    result = hinterland("demo", "--out", tmp_path, "--overwrite", code=1)
    assert "holds no demo" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("arms", [("binary",), ("binary", "magic"), ("binary", "binary"), ()])
def test_arms_that_cannot_be_compared(tmp_path, arms):
    with pytest.raises(HinterlandError, match="expected two or more of binary, backsplit, both"):
        run_demo(tmp_path / "demo", arms=arms)
    assert not (tmp_path / "demo").exists()


def _result(**values):
    known = {"group": "lesion", "metric": "dice", "method": "backsplit", "baseline": False, "n": 12,
             "mean": 0.6, "difference": 0.1, "difference_low": 0.05, "difference_high": 0.15,
             "p_holm": 0.01}  # fmt: skip
    return SimpleNamespace(**{**known, **values})


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({}, "backsplit is better"),
        ({"difference": -0.1, "difference_low": -0.2, "difference_high": -0.1}, "is worse"),
        ({"metric": "hd95"}, "is worse"),
        ({"p_holm": 0.2}, "no difference is shown"),
        ({"difference_low": -0.01}, "no difference is shown"),
        ({"p_holm": float("nan")}, "no difference is shown"),
    ],
)
def test_the_finding_says_what_the_figures_say(values, verdict):
    base = _result(method="supervised", baseline=True, metric=values.get("metric", "dice"))
    made = SimpleNamespace(
        results=(base, _result(**values)), methods=("supervised", "backsplit"), unit="mm"
    )
    (line,) = study.findings(made, ("binary", "backsplit"), "informative")
    assert verdict in line
    assert "12 cases" in line
