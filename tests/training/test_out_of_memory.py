"""Where a batch does not fit, its parts take its place; where they cannot, a message says so."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from device_jobs import SPEC, Stepped, small_batch, small_plan

from hinterland.methods import BuildContext, make_method
from hinterland.training.config import make_config
from hinterland.training.loop.micro_batches import micro_batches, more_parts
from hinterland.training.optimisation.optimisers import resolve_recipe
from hinterland.training.optimisation.pace import StepPace
from hinterland.types import HinterlandError


def stepped(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> Stepped:
    """Take two steps on a device that has memory for `most` items."""
    plan, method = small_plan(2, 16), make_method(name, SPEC)
    config = make_config({"steps": 20})
    phase = method.phases()[0]
    whole = type(method).losses

    def losses(self, networks, batch, progress):
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, networks, batch, progress)

    monkeypatch.setattr(type(method), "losses", losses)
    context = BuildContext(plan, SPEC, SPEC.label_sets, batch_dice=False)
    engine = Stepped(
        method, method.build(context), torch.nn.ModuleDict(), phase, index=0,
        pace=StepPace(20, 20), start=0, offset=0, recipe=resolve_recipe(config), config=config,
        optimiser_states=None, write=lambda *_: None, at_interval=lambda _: None,
        tick=lambda: None,
    )  # fmt: skip
    batch = small_batch(phase, plan)
    double = batch.take([0, 1] * 2) if len(batch) == 2 else batch
    for _ in range(2):
        engine.training_step(double, 0)
    monkeypatch.undo()
    return engine


def test_parts_give_the_gradients_of_the_whole_batch(monkeypatch, caplog):
    whole = stepped("supervised", 4, monkeypatch)
    assert whole.parts == 1
    with caplog.at_level(logging.WARNING):
        cut = stepped("supervised", 1, monkeypatch)
    assert cut.parts == 4
    assert [r.args[2] for r in caplog.records] == [2, 4]
    for name, value in whole.networks.state_dict().items():
        torch.testing.assert_close(cut.networks.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    for key, value in whole._window[0].items():
        torch.testing.assert_close(cut._window[0][key], value, rtol=1e-4, atol=1e-5)


def test_each_part_has_items_of_every_stream():
    method = make_method("mean-teacher", SPEC)
    batch = small_batch(method.phases()[0], small_plan(2, 16))
    batch = batch.take([0, 0, 1, 2, 2, 3])
    parts = micro_batches(batch, 2)
    assert [part.streams.count("labelled") for part in parts] == [1, 2]
    assert [part.streams.count("unlabelled") for part in parts] == [1, 2]
    assert sorted(name for part in parts for name in part.case) == sorted(batch.case)
    assert micro_batches(batch, 1) == [batch]


def test_what_cannot_be_cut_says_what_to_set(monkeypatch):
    with pytest.raises(HinterlandError, match=r"4 patches of \(16, 16\) in 2 part.*patch_size"):
        stepped("mean-teacher", 1, monkeypatch)
    batch = small_batch(make_method("supervised", SPEC).phases()[0], small_plan(2, 16))
    with pytest.raises(HinterlandError, match="2 processes"):
        more_parts(replace(batch), 1, processes=2)
