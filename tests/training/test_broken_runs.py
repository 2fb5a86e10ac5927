"""Runs whose files are damaged, exchanged or spoilt: one message that names the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from broken import picture

from hinterland.data.dataset.read import read_dataset
from hinterland.training.checkpoint import FORMAT, load_checkpoint, load_networks, save_checkpoint
from hinterland.training.config import make_config
from hinterland.training.runs.record import RunRecord
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import resume, run_or_resume
from hinterland.types import HinterlandError

SETTINGS = {
    "steps": 2, "batch_size": 2, "network_options": {"features": [4, 8]},
    "validation": {"mirror": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on four pictures."""
    folder = tmp_path_factory.mktemp("broken-runs")
    rng = np.random.default_rng(0)
    for i in range(4):
        picture(folder / f"data/images/p{i}.png", rng.integers(0, 255, (32, 32), dtype=np.uint8))
        mask = np.zeros((32, 32), np.uint8)
        mask[6:20, 6:20] = 1
        picture(folder / f"data/masks/p{i}.png", mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
        request = RunRequest(read_dataset(folder / "data"), "supervised", fold="fixed",
                             config=make_config(SETTINGS))  # fmt: skip
        run_or_resume(request, folder / "run")
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HINTERLAND_CACHE", str(whole / "cache"))
    return Path(shutil.copytree(whole / "run", tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"config\.yaml, plan\.json or labels\.yaml is damaged.*holds a NoneType"),
        ("null", "holds a NoneType, not settings"),
        ("[1, 2]", "holds a list, not settings"),
        ("a: [", r"config\.yaml is damaged: this is not readable YAML"),
        ("a: !!python/name:os.system", r"config\.yaml is damaged: .*could not determine"),
    ],
)
def test_a_record_that_is_none(run: Path, content: str, message: str):
    (run / "config.yaml").write_text(content)
    with pytest.raises(HinterlandError, match=message):
        RunRecord.read(run)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zz", "../../../etc/passwd"])
def test_a_record_that_names_cases_that_are_not_there(run: Path, name: str):
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["split"]["train"][0] = name
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(HinterlandError, match=f"has no case {name!r}.*Restore"):
        resume(run)
    with pytest.raises(HinterlandError, match=f"has no case {name!r}"):
        Run(run).record.cases(Run(run).dataset, "train")


def changed(path: Path, change: Callable[[dict], object]) -> None:
    torch.save(change(torch.load(path, weights_only=True)), path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: torch.zeros(3), "holds a Tensor; expected a checkpoint"),
        (lambda c: {**c, "format": FORMAT + 1}, "this version reads 1. Use the version"),
        (lambda c: {k: v for k, v in c.items() if k != "networks"}, "does not fit.*KeyError"),
        (lambda c: {**c, "networks": {}}, "does not fit the networks.*RuntimeError"),
        (lambda c: {**c, "networks": 5}, "does not fit the networks.*TypeError"),
    ],
)
def test_a_checkpoint_of_something_else(run: Path, change: Callable, message: str):
    which = Run(run).reported
    changed(run / "checkpoints" / f"{which}.ckpt", change)
    with pytest.raises(HinterlandError, match=message):
        Run(run).networks()


@pytest.mark.slow
@pytest.mark.parametrize("networks", [..., {}, 5])
def test_resume_from_a_checkpoint_of_something_else(run: Path, networks: object):
    (run / "summary.json").unlink()
    for file in (run / "checkpoints").glob("*.ckpt"):
        changed(
            file, lambda c: {k: v for k, v in {**c, "networks": networks}.items() if v is not ...}
        )
    with pytest.raises(HinterlandError, match=r"last\.ckpt does not fit the networks"):
        resume(run)


@pytest.mark.slow
def test_spoilt_weights_do_not_become_empty_masks(run: Path, whole: Path, tmp_path: Path):
    which = Run(run).reported
    cases = read_dataset(whole / "data").cases

    def spoil(content: dict) -> dict:
        weights = content["networks"]
        nan = {k: torch.full_like(v, torch.nan) if v.is_floating_point() else v
               for k, v in weights.items()}  # fmt: skip
        return {**content, "networks": nan}

    changed(run / "checkpoints" / f"{which}.ckpt", spoil)
    with pytest.raises(HinterlandError, match=r"p0\.png: the model's output is not a number"):
        Run(run).predict(cases, tmp_path / "out")
    assert not (tmp_path / "out" / "p0.png").exists()


def test_weights_are_loaded_as_they_were_saved(tmp_path: Path):
    one, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    save_checkpoint(tmp_path / "c", {"networks": one.state_dict(), "step": 7})
    assert load_networks(other, tmp_path / "c")["step"] == 7
    assert torch.equal(one.weight, other.weight)
    assert load_checkpoint(tmp_path / "c")["step"] == 7


@pytest.mark.slow
def test_a_batch_beyond_the_memory_is_refused_before_anything_is_built(whole: Path, tmp_path: Path):
    config = make_config({**SETTINGS, "batch_size": 99_999_999})
    request = RunRequest(read_dataset(whole / "data"), "supervised", fold="fixed", config=config)
    with pytest.raises(
        HinterlandError, match=r"a batch holds 99999999 x 1 x .* numbers of float32"
    ):
        run_or_resume(request, tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "null", "[1]", "5"])
def test_a_summary_that_is_none(run: Path, content: str):
    (run / "summary.json").write_text(content)
    with pytest.raises(HinterlandError, match=r"summary\.json (is not valid JSON|holds a)"):
        _ = Run(run).summary


@pytest.mark.slow
def test_more_groups_than_can_be_evaluated_are_refused_before_the_first_step(
    whole: Path, tmp_path: Path
):
    """They were trained, and refused when they were evaluated."""
    names = ["background", "foreground", *(f"n{i}" for i in range(253))]
    labels = {"tree": {n: {} for n in names}, "schemes": {"full": dict(enumerate(names))}}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels, sort_keys=False))
    data = read_dataset(whole / "data", tmp_path / "labels.yaml")
    request = RunRequest(data, "supervised", fold="fixed", config=make_config(SETTINGS))
    with pytest.raises(HinterlandError, match=r"asks for 255 groups at once.*at most 254"):
        run_or_resume(request, tmp_path / "never")
    assert not (tmp_path / "never").exists()
