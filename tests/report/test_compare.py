"""`compare`: which runs become which methods, what is written, what is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from report_study import make_study

from hinterland.data.dataset.decoded import described, folder_at
from hinterland.data.io.files import write_text
from hinterland.evaluation.statistics.statistics import compare_tables
from hinterland.evaluation.table import MACRO
from hinterland.labels import group_values
from hinterland.report.compare import compare
from hinterland.report.runs import arms_of, read_runs
from hinterland.types import HinterlandError


def metrics(
    method: str, cases: int = 24, shift: float = 0.0, classes: tuple[str, ...] = ("scar",),
    question: str = "target", seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    rng = np.random.default_rng(5)
    rows = [
        {"case": f"case{i:02d}", "class": c, "coarsening": question, "fold": "0",
         "method": method, "seed": seed, "group": f"p{i:02d}", "empty": "penalty", "unit": "mm",
         "dice": d + shift, "hd95": 20 * (1 - d - shift)}
        for i in range(cases) for c in classes for d in [rng.uniform(0.3, 0.8)]
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *tables: pd.DataFrame) -> Path:
        path = tmp_path / f"{name}.csv"
        pd.concat(tables).to_csv(path, index=False)
        return path

    return write


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_study(tmp_path_factory.mktemp("study"), cases=5)


def test_bare_tables_give_tables_and_a_report(save: Callable[..., Path], tmp_path: Path) -> None:
    a, b = save("a", metrics("supervised")), save("b", metrics("backsplit", shift=0.1))
    made = compare([a, b], tmp_path / "out", title="A study")
    files = sorted(p.relative_to(tmp_path / "out").as_posix() for p in made.out.rglob("*.*"))
    assert files == [
        "report.html", "summary.json", "tables/results.csv", "tables/results.md",
        "tables/results.tex",
    ]  # fmt: skip
    gain = next(r for r in made.results if r.metric == "dice" and not r.baseline)
    assert gain.difference == pytest.approx(0.1)
    assert gain.p < 1e-4
    assert gain.effect == pytest.approx(1.0)
    summary = json.loads((made.out / "summary.json").read_text())
    assert summary["methods"] == ["supervised", "backsplit"]
    assert summary["results"][1]["difference"] == pytest.approx(0.1)
    assert [f["code"] for f in summary["findings"]] == ["unrecorded", "one-seed"]
    page = made.report.read_text()
    assert "<title>A study</title>" in page
    assert "No pictures" in page
    assert "+.100" in page
    assert "+.100" in str(made)


def test_figures_are_those_of_the_statistics(save: Callable[..., Path]) -> None:
    first = metrics("supervised", classes=("edema", "scar"))
    second = metrics("backsplit", shift=0.02, classes=("edema", "scar"))
    second["dice"] += np.random.default_rng(1).normal(0, 0.05, len(second))
    made = compare([save("a", first), save("b", second)])
    expected = compare_tables(first, second, ["dice", "hd95"]).set_index(["class", "metric"])
    shown = [r for r in made.results if not r.baseline]
    assert [r.group for r in shown] == [MACRO, MACRO, "edema", "edema", "scar", "scar"]
    for r in shown:
        row = expected.loc[(r.group, r.metric)]
        assert (r.difference, r.p_holm) == (row["difference"], row["p_wilcoxon_holm"])
        assert (r.difference_low, r.difference_high) == (row["low"], row["high"])


def test_one_table_with_several_methods(save: Callable[..., Path]) -> None:
    path = save("all", metrics("u"), metrics("v", shift=0.1), metrics("w", shift=0.2))
    made = compare([path])
    assert made.methods == ("u", "v", "w")
    assert {r.method for r in made.results if not r.baseline} == {"v", "w"}


def test_seeds_are_pooled_and_shown_apart(save: Callable[..., Path], tmp_path: Path) -> None:
    files = [
        save(f"{m}{s}", metrics(m, shift=shift + 0.01 * s, seed=s))
        for m, shift in (("u", 0.0), ("v", 0.1))
        for s in (0, 1)
    ]
    made = compare(files, tmp_path / "out")
    assert made.methods == ("u", "v")
    assert all(r.n == 24 for r in made.results)
    assert "SD over seeds" in made.report.read_text()


def test_same_method_with_other_settings_is_another_method(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study[0], copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    changed = {**config, "train": {**config["train"], "steps": 600}}
    (copy / "config.yaml").write_text(yaml.safe_dump(changed))
    arms = arms_of([*read_runs(study[0]), *read_runs(copy)])
    assert [a.name for a in arms] == ["supervised · steps 300", "supervised · steps 600"]
    changed = {**config, "train": {**config["train"], "seed": 1}}
    (copy / "config.yaml").write_text(yaml.safe_dump(changed))
    arms = arms_of([*read_runs(study[0]), *read_runs(copy)])
    assert [(a.name, a.seeds) for a in arms] == [("supervised", 2)]
    (copy / "config.yaml").write_text(yaml.safe_dump({**config, "noise": 0.8}))
    arms = arms_of([*read_runs(study[0]), *read_runs(copy)])
    assert [a.name for a in arms] == ["supervised", "supervised · noise 0.8"]
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    arms = arms_of([*read_runs(study[0]), *read_runs(copy)])
    assert [a.name for a in arms] == ["supervised", "copy"]


def test_names_given_by_the_user(study: tuple[Path, Path]) -> None:
    made = compare(study, names=["binary", "ours"])
    assert made.methods == ("binary", "ours")
    assert made.out is None
    with pytest.raises(HinterlandError, match="was not written"):
        _ = made.report
    with pytest.raises(HinterlandError, match=r"two runs are called 'x' .* same seed \(0\)"):
        compare(study, names=["x", "x"])
    with pytest.raises(HinterlandError, match="1 names were given for 2 runs"):
        compare(study, names=["x"])


def test_a_directory_of_folds_is_one_method(study: tuple[Path, Path], tmp_path: Path) -> None:
    table = pd.read_csv(study[0] / "metrics.csv", dtype={"fold": str})
    for fold, rows in (("0", slice(0, 2)), ("1", slice(2, 5))):
        folder = tmp_path / "folds" / f"fold{fold}"
        folder.mkdir(parents=True)
        table.iloc[rows].assign(fold=fold).to_csv(folder / "metrics.csv", index=False)
    runs = read_runs(tmp_path / "folds")
    arms = arms_of(runs)
    assert len(runs) == 2
    assert [len(a.table) for a in arms] == [5]


def test_the_first_shared_question_is_asked(save: Callable[..., Path]) -> None:
    both = [
        save(m, metrics(m, question="target"), metrics(m, question="cells"),
             metrics(m, question="leaves", shift=0.1))
        for m in ("u", "v")
    ]  # fmt: skip
    assert compare(both).question == "target"
    assert compare(both, at="leaves").question == "leaves"
    with pytest.raises(HinterlandError, match="not been evaluated at 'organ', only at 'target'"):
        compare(both, at="organ")


def test_nothing_is_overwritten_and_nothing_half_written(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    a, b = save("a", metrics("u")), save("b", metrics("v"))
    out = tmp_path / "out"
    compare([a, b], out)
    with pytest.raises(HinterlandError, match=r"report.html is there already.*--overwrite"):
        compare([a, b], out)
    before = (out / "report.html").read_text()
    compare([a, b], out, overwrite=True, title="Second")
    assert (out / "report.html").read_text() != before
    fresh = tmp_path / "fresh"
    with pytest.raises(HinterlandError):
        compare([a, save("c", metrics("v", cases=20))], fresh)
    assert not fresh.exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (metrics("v", cases=23), r"refused.*\n.*\[cases\] the case sets differ: v lacks 1 case"),
        (metrics("v").assign(empty="drop"), r"\[empty-policy\] different policies"),
        (metrics("v").assign(unit="voxel"), r"\[unit\]"),
        (metrics("v", question="leaves"), r"\[question\] different questions"),
        (metrics("u"), "needs two methods"),
        (metrics("v").drop(columns="dice").drop(columns="hd95"), "a metrics table needs"),
        (metrics("v").iloc[:0], "has no rows"),
    ],
)
def test_refusals(
    save: Callable[..., Path], tmp_path: Path, other: pd.DataFrame, message: str
) -> None:
    runs = [save("a", metrics("u"))]
    if message != "needs two methods":
        runs.append(save("b", other))
    with pytest.raises(HinterlandError, match=message):
        compare(runs, tmp_path / "out")


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(HinterlandError, match="there is no run at"):
        compare([tmp_path / "nowhere"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(HinterlandError, match=r"has no metrics.csv"):
        compare([tmp_path / "empty"], tmp_path / "out")


def test_runs_that_did_not_take_off_are_marked(study: tuple[Path, Path], tmp_path: Path) -> None:
    runs = [study[0]]
    for seed in (0, 1):
        copy = tmp_path / f"seed{seed}"
        shutil.copytree(study[1], copy)
        config = yaml.safe_load((copy / "config.yaml").read_text())
        config["train"]["seed"] = seed
        (copy / "config.yaml").write_text(yaml.safe_dump(config))
        runs.append(copy)
    assert "take-off" not in {f.code for f in compare(runs).findings}
    log = pd.read_csv(runs[2] / "log.csv")
    log.loc[log["key"] == "val/dice", "value"] = 0.01
    log.to_csv(runs[2] / "log.csv", index=False)
    made = compare(runs, tmp_path / "out", images=False)
    (finding,) = (f for f in made.findings if f.code == "take-off")
    assert finding.runs == (str(runs[2]),)
    assert "1 of 2 runs did not take off" in str(made)
    assert {r.mark for r in made.results if r.baseline} == {""}
    assert "(1 of 2 runs did not take off)" in made.report.read_text()
    told = {"empty": "penalty", "steps": 300, "took_off": False, "take_off": None}
    (runs[2] / "summary.json").write_text(json.dumps(told))
    found = [f for f in compare(runs).findings if f.code == "take-off"]
    assert len(found) == 1  # the run itself knows: said once, and still marked
    assert "1 of 2 runs did not take off" in str(compare(runs))


def test_hostile_names_are_text(save: Callable[..., Path], tmp_path: Path) -> None:
    """HTML stays text, mathematics is not typeset, formulas do not reach a spreadsheet."""
    bad = "<script>alert(1)</script>"
    first = metrics("=1+1", classes=(bad, "$\\frac{$"), question='"><img src=x onerror=alert(2)>')
    first["case"] = first["case"].where(
        first["case"] != "case03", "</svg><script>alert(3)</script>"
    )
    second = first.assign(method="<b>v</b> & $x", dice=first["dice"] + 0.1)
    out = tmp_path / "out"
    made = compare([save("a", first), save("b", second)], out, title="</title><script>4</script>")
    page = made.report.read_text()
    own = page.count("<script")
    plain = compare([save("c", metrics("u")), save("d", metrics("v", shift=0.1))], tmp_path / "p")
    assert own == plain.report.read_text().count("<script") == 1
    assert "<img src=x" not in page
    assert "<b>v</b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;v&lt;/b&gt;" in page
    cells = pd.read_csv(out / "tables" / "results.csv")["method"]
    assert set(cells) == {"'=1+1", "<b>v</b> & $x"}


def test_a_method_may_not_be_called_like_the_annotation(save: Callable[..., Path]) -> None:
    with pytest.raises(HinterlandError, match="is the annotation"):
        compare([save("a", metrics("u")), save("b", metrics("reference"))])


def test_leak_in_a_run_directory_is_refused_unless_allowed(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    leaky = tmp_path / "leaky"
    shutil.copytree(study[1], leaky)
    config = yaml.safe_load((leaky / "config.yaml").read_text())
    config["groups"]["train00"] = config["groups"]["case00"]
    (leaky / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(HinterlandError, match=r"\[leak\].*1 patient .*both sides"):
        compare([study[0], leaky], tmp_path / "out")
    made = compare(
        [study[0], leaky], tmp_path / "out", allow=("leak", "tested-on-training"), images=False
    )
    assert "Allowed on request" in made.report.read_text()


@pytest.mark.parametrize("written", range(5))
def test_a_comparison_that_was_stopped_between_two_files_is_made_by_the_same_call(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    runs = [save("a", metrics("supervised")), save("b", metrics("backsplit", shift=0.1))]
    out, count = tmp_path / "out", 0

    def stopping(path: Path, text: str) -> None:
        nonlocal count
        if count == written:
            raise KeyboardInterrupt
        count += 1
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr("hinterland.report.compare.write_text", stopping)
        with pytest.raises(KeyboardInterrupt):
            compare(runs, out)
    assert len([p for p in out.rglob("*") if p.is_file()] if out.exists() else []) == written
    compare(runs, out)
    whole = compare(runs, tmp_path / "whole").out
    for file in (p for p in whole.rglob("*") if p.is_file()):
        assert (out / file.relative_to(whole)).read_bytes() == file.read_bytes()


def test_a_file_of_somebody_else_is_not_replaced(save: Callable[..., Path], tmp_path: Path) -> None:
    runs = [save("a", metrics("supervised")), save("b", metrics("backsplit", shift=0.1))]
    out = tmp_path / "run"
    out.mkdir()
    (out / "summary.json").write_text("{}")  # such as a run's
    with pytest.raises(HinterlandError, match=r"summary.json is there already.*--overwrite"):
        compare(runs, out)
    assert [p.name for p in out.iterdir()] == ["summary.json"]
    assert (out / "summary.json").read_text() == "{}"


def test_runs_that_merged_the_most_probable_class_are_told_from_those_that_summed(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = (tmp_path / name / "run" for name in ("old", "new"))
    for run in (old, new):
        shutil.copytree(study[1], run)
    assert not [f for f in compare([old, new]).findings if f.code == "decoding"]
    spec = read_runs(new)[0].record.spec  # type: ignore[union-attr]
    for folder, at in ((new / "predictions", spec.tree.leaves),
                       (folder_at(new / "predictions", "target"), spec.target)):  # fmt: skip
        folder.mkdir(exist_ok=True, parents=True)
        said = {"labels": group_values(at, spec.default_scheme), **described(at)}
        (folder / "dataset.json").write_text(json.dumps(said))
    (finding,) = (f for f in compare([old, new]).findings if f.code == "decoding")
    assert finding.runs == (str(old),)
    assert not [f for f in compare([study[0], new]).findings if f.code == "decoding"]


def test_parameters_that_supports_add_are_told(study: tuple[Path, Path], tmp_path: Path) -> None:
    copies = [tmp_path / path.name for path in study]
    for path, copy, count in zip(study, copies, (1_000_000, 1_000_200), strict=True):
        shutil.copytree(path, copy)
        summary = copy / "summary.json"
        known = json.loads(summary.read_text()) if summary.is_file() else {}
        summary.write_text(json.dumps({**known, "parameters": count}))
    made = compare(copies, tmp_path / "out", images=False)
    assert made.parameters == (1_000_000, 1_000_200)
    assert list(made.to_dict()["parameters"].values()) == [1_000_000, 1_000_200]
    page = made.report.read_text()
    assert "Parameters added to the first" in page
    assert "+0.020 %" in page
    assert "1,000,200" in page


def test_seeds_are_tested_run_by_run(save: Callable[..., Path], tmp_path: Path) -> None:
    gains = (0.02, 0.05, 0.08)
    paths = [save(f"a{s}", metrics("supervised", seed=s)) for s in range(3)]
    paths += [save(f"b{s}", metrics("backsplit", seed=s, shift=g)) for s, g in enumerate(gains)]
    page = compare(paths, tmp_path / "out").report.read_text()
    row = next(r for r in page.split("<tr>") if "Dice · backsplit" in r and r.count("<td>") == 5)
    # mean .05, sd .03: t = .05 / (.03 / sqrt 3) = 2.887, p = .102 with 2 degrees of freedom, and
    # the interval reaches 4.303 x .0173 = .0745 to either side
    cells = re.findall(r"<td>(.*?)</td>", row)
    assert cells[2:] == ["3", "+.050 [\u2212.025, +.125]", ".10"]


def test_learned_weights_of_layers_are_plotted_a_line_a_layer(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    copies = [shutil.copytree(path, tmp_path / path.name) for path in study]
    rows = [
        {"phase": "train", "step": step, "key": f"train/{term}.{layer}", "value": value * step}
        for step in range(5)
        for term, value in (("fd", 1.0), ("lambda", 0.25))
        for layer in ("encoder.0", "bottleneck")
    ]
    rows += [{"phase": "train", "step": s, "key": "train/ce", "value": 1.0} for s in range(5)]
    pd.DataFrame(rows).to_csv(copies[1] / "log.csv", index=False)
    made = compare(copies, tmp_path / "out", images=False)
    page = made.report.read_text()
    labels = re.findall(r'aria-label="([^"]*by layer[^"]*)"', page)
    assert labels == [
        f"{what} by layer: {made.methods[1]}, against the training step; encoder.0 ends at {end}, "
        f"bottleneck ends at {end}."
        for what, end in (("L_fd", "4"), ("Learned weight of L_fd", "1"))
    ]
    assert "Loss term fd.encoder.0" not in page  # not a panel of its own as well
