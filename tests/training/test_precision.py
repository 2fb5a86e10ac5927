"""Which precision a device gets, and fp16: losses are scaled, gradients are not clipped scaled."""

from __future__ import annotations

import pytest
import torch
from device_jobs import SPEC, Stepped, small_batch, small_plan
from training_helpers import quick

from hinterland.methods import BuildContext, make_method
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.config import make_config
from hinterland.training.device import refuse_missing_accelerator, resolve_precision
from hinterland.training.loop.lightning import precision_plugin
from hinterland.training.optimisation.optimisers import resolve_recipe
from hinterland.training.optimisation.pace import StepPace
from hinterland.training.runs.run_training import resume, train
from hinterland.types import HinterlandError


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp16")])
def test_a_card_that_only_emulates_bf16_gets_fp16(monkeypatch, native, precision):
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert resolve_precision("auto", "cuda") == precision
    assert resolve_precision("fp32", "cuda") == "fp32"
    assert resolve_precision("auto", "mps") == "fp32"


def test_an_accelerator_that_is_not_here_is_one_message():
    with pytest.raises(HinterlandError, match="expected auto, cpu, cuda, mps"):
        refuse_missing_accelerator("cudda")
    if not torch.cuda.is_available():
        with pytest.raises(HinterlandError, match="this machine has none"):
            refuse_missing_accelerator("gpu")


def test_lightning_does_not_scale_a_second_time():
    assert precision_plugin("fp16", "cpu").scaler is None
    assert precision_plugin("fp16", "cpu").precision == "16-mixed"
    assert precision_plugin("fp32", "cpu").precision == "32-true"


def stepped(scale: float | None, clip: float, lr: float = 0.1) -> dict[str, torch.Tensor]:
    """The weights after a step in float32 whose loss was scaled."""
    plan, method = small_plan(2, 16), make_method("supervised", SPEC)
    config = make_config({"steps": 20, "optimiser": {"lr": lr, "clip": clip}})
    (phase,) = method.phases()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale) if scale else None
    engine = Stepped(
        method, method.build(BuildContext(plan, SPEC, SPEC.label_sets)), torch.nn.ModuleDict(),
        phase, index=0, pace=StepPace(20, 20), start=0, offset=0, recipe=resolve_recipe(config),
        config=config, optimiser_states=None, write=lambda *_: None, at_interval=lambda _: None,
        tick=lambda: None, scaler=scaler,
    )  # fmt: skip
    engine.training_step(small_batch(phase, plan), 0)
    return engine.networks.state_dict()


def test_gradients_are_clipped_at_their_own_size():
    plain, scaled = stepped(None, 0.01), stepped(2.0**15, 0.01)
    for name, value in plain.items():
        torch.testing.assert_close(scaled[name], value, rtol=1e-4, atol=1e-6)


def test_a_step_whose_gradients_overflow_is_left_out():
    before = stepped(None, 1.0, lr=1e-20)
    after = stepped(float("inf"), 1.0)
    names = [name for name in before if name.endswith("weight")]
    assert names
    assert all(torch.equal(before[name], after[name]) for name in names)


def test_the_scale_is_kept_with_a_checkpoint(phantoms, plan, tmp_path):
    """A stopped run in fp16 ends equal to one that never was, its scale included."""

    class Stopped(Exception):
        pass

    def stop(done: int, steps: int, message: str) -> None:
        if done == 3:
            raise Stopped

    method = make_method("backsplit", phantoms.labels)
    config = quick(steps=4, precision="fp16", validation={"interval": 2})
    rest = {"fold": "fixed", "config": config, "finish": False}
    train(phantoms, plan, method, out=tmp_path / "whole", **rest)
    with pytest.raises(Stopped):
        train(phantoms, plan, method, out=tmp_path / "cut", report=stop, **rest)
    resume(tmp_path / "cut", finish=False)
    one, two = (
        load_checkpoint(tmp_path / r / "checkpoints" / "last.ckpt") for r in ("whole", "cut")
    )
    assert one["scaler"] == two["scaler"]
    assert one["scaler"]["scale"] > 1
    assert all(torch.equal(v, two["networks"][k]) for k, v in one["networks"].items())
