"""One description of a run, one launcher: what is new, the same, another one, or not ours."""

from __future__ import annotations

from dataclasses import replace

import pytest
from training_helpers import quick

from hinterland.data.planning.plan_dataset import PlanOptions
from hinterland.training.runs.request import RunRequest, parse_fold
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import HinterlandError


@pytest.fixture(scope="module")
def request_of_run(phantoms, plan):
    config = quick(steps=2, validation={"interval": 1, "mirror": False})
    return RunRequest(phantoms, on=("leaves",), fold="fixed", plan=plan, config=config)


@pytest.fixture(scope="module")
def made(request_of_run, tmp_path_factory, cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(cache))
        return run_or_resume(request_of_run, tmp_path_factory.mktemp("runs") / "run")


def test_a_finished_run_is_only_opened(request_of_run, made):
    before = {f: f.stat().st_mtime_ns for f in made.path.rglob("*") if f.is_file()}
    again = run_or_resume(request_of_run, made.path)
    assert again.path == made.path
    assert {f: f.stat().st_mtime_ns for f in made.path.rglob("*") if f.is_file()} == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"method": "backsplit", "on": ()}, "method"),
        ({"on": ("target",)}, "on"),
        ({"fold": 0}, "fold"),
        ({"labelled": "2:cases"}, "labelled"),
        ({"noise": 0.9}, "noise"),
        ({"naive": True}, "naive"),
        ({"virtual": 1}, "on"),
        ({"options": {"ce_weight": 2.0}}, "method options"),
        ({"config": quick(steps=3, seed=1)}, "steps, seed, validation"),
    ],
)
def test_a_run_of_another_request_is_refused_by_what_differs(request_of_run, made, changes, named):
    with pytest.raises(HinterlandError, match=rf"another request .*\b{named}\b"):
        run_or_resume(replace(request_of_run, **changes), made.path)
    assert made.finished


def test_a_run_is_refused_or_replaced_as_asked(request_of_run, made):
    with pytest.raises(HinterlandError, match="exists already"):
        run_or_resume(request_of_run, made.path, existing="refuse")
    stamp = (made.path / "config.yaml").stat().st_mtime_ns
    run_or_resume(request_of_run, made.path, existing="replace")
    assert (made.path / "config.yaml").stat().st_mtime_ns > stamp


@pytest.mark.parametrize("name", ["thesis.txt", ".git", "summary.json"])
@pytest.mark.parametrize("existing", ["resume", "refuse", "replace"])
def test_a_folder_of_something_else_is_not_touched(request_of_run, tmp_path, name, existing):
    (tmp_path / name).write_text("mine")
    with pytest.raises(HinterlandError, match="is no run directory"):
        run_or_resume(request_of_run, tmp_path, existing=existing)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_what_a_stopped_start_has_left_is_in_nobodys_way(request_of_run, tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    assert run_or_resume(request_of_run, tmp_path, existing="refuse", finish=False).record.plan


def test_a_request_plans_by_itself(request_of_run, plan, tmp_path):
    options = replace(request_of_run, plan=PlanOptions(memory_gb=1.0))
    assert options.make_plan() == request_of_run.make_plan() == plan
    with pytest.raises(HinterlandError, match="hinterland or nnunet"):
        PlanOptions(planner="magic")


def test_virtual_classes_stand_beside_every_question(request_of_run):
    asked = replace(request_of_run, method="supervised", on=("target",), virtual=2)
    made = asked.with_virtual_classes().make_method()
    assert made.cells.names[-2:] == ("virtual1", "virtual2")
    assert len(made.cells) == 4
    given = replace(asked, on=("target/virtual1/virtual2",)).with_virtual_classes()
    assert given.make_method().on == made.on
    leaves = replace(request_of_run, virtual=1).with_virtual_classes()
    assert leaves.on == ("leaves",)
    assert "virtual1" in leaves.make_method().cells.names


def test_folds_are_read():
    assert [parse_fold(t) for t in ("0", "12", "all", "fixed")] == [0, 12, "all", "fixed"]
    for text in ("-1", "a", ""):
        with pytest.raises(HinterlandError, match="expected a number"):
            parse_fold(text)
