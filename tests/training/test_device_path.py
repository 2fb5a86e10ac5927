"""Training on batches that are made on the device: any method, exact after a stop."""

from __future__ import annotations

import pytest
from factories import plan_of
from test_resume import Stopped, assert_equal_runs, stop_at
from training_helpers import quick

from hinterland.data.sampling.augmentation import AUGMENTATIONS, Unchanged
from hinterland.methods import make_method
from hinterland.training import device as machine
from hinterland.training.config import make_config
from hinterland.training.loop import loader as loading
from hinterland.training.runs.run_training import resume, train
from hinterland.types import HinterlandError


def on_device(**changes):
    return quick(steps=6, data={"device": "accelerator"}, validation={"interval": 2}, **changes)


@pytest.mark.parametrize("spare", [float("inf"), 0.0], ids=["kept on the device", "crops"])
def test_stopped_and_resumed_equals_uninterrupted(phantoms, plan, tmp_path, monkeypatch, spare):
    monkeypatch.setattr(loading, "bytes_to_spare", lambda *_: spare)
    method = make_method("backsplit", phantoms.labels)
    rest = {"fold": "fixed", "config": on_device(), "finish": False}
    whole = train(phantoms, plan, method, out=tmp_path / "whole", **rest)
    with pytest.raises(Stopped):
        train(phantoms, plan, method, out=tmp_path / "cut", report=stop_at(3), **rest)
    resume(tmp_path / "cut", finish=False)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")
    assert whole.record.train.data.device == "accelerator"


def test_where_the_cases_lie_changes_nothing(phantoms, plan, tmp_path, monkeypatch):
    """Two phases, hidden labels, two streams; with worker processes where crops are cut."""
    method = make_method("bcp", phantoms.labels)
    for name, spare, workers in (("kept", float("inf"), 0), ("crops", 0.0, 2)):
        monkeypatch.setattr(loading, "bytes_to_spare", lambda *_, spare=spare: spare)
        config = on_device(batch_size=4, patch_size=(16, 16, 32))
        config = config.model_copy(
            update={"data": config.data.model_copy(update={"workers": workers})}
        )
        train(
            phantoms, plan, method, out=tmp_path / name, fold="fixed", labelled="2:cases",
            config=config, finish=False,
        )  # fmt: skip
    assert_equal_runs(tmp_path / "kept", tmp_path / "crops")


def test_auto_is_the_cpu_on_a_cpu_and_the_device_on_cuda():
    for accelerator, expected in (("cpu", False), ("mps", False), ("cuda", True)):
        assert make_config({}).data.on_accelerator(accelerator) is expected
        assert not make_config({"data": {"device": "cpu"}}).data.on_accelerator(accelerator)
        assert on_device().data.on_accelerator(accelerator)


def test_an_augmentation_that_knows_no_batches_stays_on_the_cpu(monkeypatch):
    monkeypatch.setattr(AUGMENTATIONS, "_entries", dict(AUGMENTATIONS._entries))
    AUGMENTATIONS.register("own", lambda plan: Unchanged(plan.patch_size))
    assert not make_config({"data": {"augmentation": "own"}}).data.on_accelerator("cuda")
    with pytest.raises(HinterlandError, match=r"'own' knows patches one by one only; .* nnunet"):
        make_config({"data": {"augmentation": "own", "device": "accelerator"}})


def test_workers_are_the_cores_that_this_process_was_given(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 16)
    assert machine.data_workers(make_config({}), "cpu") == 0
    assert machine.data_workers(make_config({}), "cuda") == 8
    assert machine.data_workers(make_config({"devices": 4}), "cuda") == 3
    assert machine.data_workers(make_config({"devices": 16}), "cuda") == 1
    assert machine.data_workers(make_config({"data": {"workers": 0}}), "cuda") == 0


def test_the_batch_loader_pins_and_keeps_its_workers(monkeypatch):
    monkeypatch.setattr(loading, "data_workers", lambda *_: 2)
    loader = loading.Loader(make_config({}), plan_of((8, 8)), "cuda")
    made = loader._loader([], None, list)
    assert made.pin_memory
    assert made.persistent_workers
    monkeypatch.setattr(loading, "data_workers", lambda *_: 0)
    made = loading.Loader(make_config({}), plan_of((8, 8)), "cpu")._loader([], None, list)
    assert not made.pin_memory
