"""The setting `logger`: TensorBoard, services through Lightning's loggers, or nothing."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hinterland.training import trackers
from hinterland.training.config import make_config
from hinterland.training.logbook import Logbook
from hinterland.training.progress_note import ProgressNote, read_progress
from hinterland.training.trackers import mlflow_name, refuse_missing_logger
from hinterland.types import HinterlandError


class FakeLogger:
    """Stands for a logger of Lightning's; keeps what it is told."""

    made: list[FakeLogger] = []  # noqa: RUF012
    broken = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.named, self.logged, self.ended = named, [], ""
        self.run_id = named.get("run_id") or f"id{len(FakeLogger.made)}"
        FakeLogger.made.append(self)

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        if FakeLogger.broken:
            raise ConnectionError("the server is gone")
        self.logged.append((step, values))

    def finalize(self, status: str) -> None:
        self.ended = status


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> type[FakeLogger]:
    FakeLogger.made, FakeLogger.broken = [], False
    fake = ModuleType("lightning.pytorch.loggers")
    fake.MLFlowLogger = fake.WandbLogger = FakeLogger  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning.pytorch.loggers", fake)
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    return FakeLogger


@pytest.mark.parametrize("service", ["mlflow", "wandb"])
def test_a_service_gets_every_scalar_and_goes_on_with_its_entry(
    services: type[FakeLogger], tmp_path: Path, service: str
) -> None:
    for start in (0, 1):  # two phases, or a run that was resumed
        book = Logbook(tmp_path, start, service)
        book.write("train", start, {"train/loss": 1.5 - start})
        book.close()
    first, second = services.made
    assert first.logged == [(0, {"train/loss": 1.5})]
    assert second.logged == [(1, {"train/loss": 0.5})]
    assert (first.ended, second.ended) == ("success", "success")
    kept = json.loads((tmp_path / "tracking.json").read_text())[service]
    key = "run_id" if service == "mlflow" else "id"
    assert second.named[key] == kept
    assert not (tmp_path / "tensorboard").exists()
    assert (tmp_path / "log.csv").read_text().count("train/loss") == 2


def test_a_service_that_fails_does_not_stop_a_training(
    services: type[FakeLogger], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    services.broken = True
    book = Logbook(tmp_path, 0, "mlflow")
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            book.write("train", step, {"train/loss": 1.0})
        book.close()
    assert caplog.text.count("the server is gone") == 1
    assert (tmp_path / "log.csv").read_text().count("train/loss") == 3


def test_none_writes_the_table_alone(tmp_path: Path) -> None:
    book = Logbook(tmp_path, 0, "none")
    book.write("train", 0, {"train/loss": 1.0})
    book.close()
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_tensorboard_is_what_one_gets_unasked(tmp_path: Path) -> None:
    assert make_config({}).logger == "tensorboard"
    Logbook(tmp_path).close()
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    for service in ("mlflow", "wandb"):
        with pytest.raises(HinterlandError, match=f"pip install {service}"):
            refuse_missing_logger(service)
    refuse_missing_logger("tensorboard")
    with pytest.raises(HinterlandError, match="logger"):
        make_config({"logger": "paper"})


def test_names_for_mlflow_never_meet() -> None:
    keys = ["val/dice", "val/dice/α", "val/dice/β", "val/dice/a b", "val/dice/a-b", "val/dice/a_b"]
    names = [mlflow_name(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(name.count("/") == 1 and name.isascii() for name in names)


def test_progress_is_written_now_and_then_with_its_speed(tmp_path: Path) -> None:
    now, told = [1000.0], []
    note = ProgressNote(tmp_path, lambda *said: told.append(said), every=2, clock=lambda: now[0])
    note.stage("training")
    for step in range(1, 11):
        now[0] += 0.5
        note(step, 100, f"step {step}")
    found = read_progress(tmp_path)
    assert found is not None
    assert len(told) == 10
    assert (found.stage, found.total) == ("training", 100)
    assert found.done < 10  # not at every step
    assert found.speed == pytest.approx(2.0)
    assert found.left == pytest.approx((100 - found.done) / 2)
    assert found.alive
    note(100, 100, "done")
    found = read_progress(tmp_path)
    assert found is not None
    assert found.done == 100


def test_progress_is_a_courtesy(tmp_path: Path) -> None:
    gone = tmp_path / "file"
    gone.write_text("no folder")
    note = ProgressNote(gone, lambda *_: None)
    note(1, 2, "goes on")
    assert read_progress(gone) is None
    (tmp_path / "progress.json").write_text('{"stage": "tr')
    assert read_progress(tmp_path) is None
