"""FeatureDiscrepancy: warm start, learned weights, layers, and its company with methods."""

from __future__ import annotations

import math

import pytest
import torch
from contract_cases import SPEC, batch_for, context_for

from hinterland.methods import Method, make_method
from hinterland.methods.regularisers.discrepancy import FeatureDiscrepancy, make_discrepancy
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.networks import recipe
from hinterland.training.config import make_config
from hinterland.training.loop.engine import Engine
from hinterland.training.optimisation.pace import StepPace
from hinterland.training.runs.run_training import resume, train
from hinterland.types import HinterlandError, Progress, View

LAYERS = ("encoder.0", "encoder.1", "bottleneck", "decoder.0", "decoder.1")
LATE = Progress("train", 90, 100)


def build(method: Method | None = None, dims: int = 2, **options: object) -> FeatureDiscrepancy:
    method = method or make_method("supervised", SPEC)
    return make_discrepancy(context_for(dims), method, **options)  # type: ignore[arg-type]


def views_of(method: Method, dims: int = 2):
    context = context_for(dims)
    networks = method.build(context)
    phase = method.phases()[-1]
    losses = method.losses(networks, batch_for(phase, context), Progress(phase.name, 90, 100))
    return networks, losses.views


def toy_view(rows: torch.Tensor, seed: int = 0, **changes: object) -> View:
    generator = torch.Generator().manual_seed(seed)
    n = len(rows)
    features = {
        name: torch.randn(n, 4, 16 // step, 16 // step, generator=generator, requires_grad=True)
        for name, step in zip(LAYERS, (1, 2, 4, 1, 2), strict=True)
    }
    values = {"image": torch.zeros(n, 1, 16, 16), "logits": torch.zeros(n, 3, 16, 16)}
    return View(**values, annotation=rows, features=features, **changes)  # type: ignore[arg-type]


def toy_rows(n: int = 4) -> torch.Tensor:
    return batch_for(make_method("supervised", SPEC).phases()[0], context_for(2)).annotation.repeat(
        2, 1, 1
    )[:n]


def test_nothing_acts_before_the_warm_start_is_over_and_then_the_weight_rises():
    loss = build(warm_start=0.5, ramp=0.25, weight=2.0)
    at = [loss.strength(Progress("train", step, 100)) for step in (0, 49, 50, 60, 75, 99)]
    assert at == pytest.approx([0, 0, 0, 0.8, 2, 2])
    early = loss([toy_view(toy_rows())], Progress("train", 10, 100))
    assert early.total.item() == 0
    assert not early.total.requires_grad
    assert early.terms["fd.encoder.0"].item() != 0  # logged already
    assert build(warm_start=0.5, ramp=0.0).strength(Progress("train", 50, 100)) == 0.1


def test_the_warm_start_runs_over_all_phases_of_a_method():
    method = make_method("cvbm", SPEC)
    first, second = method.phases()
    loss = build(method, warm_start=first.share, ramp=second.share)
    assert loss.strength(Progress(first.name, 99, 100)) == 0
    assert loss.strength(Progress(second.name, 50, 100)) == pytest.approx(0.05)


def test_two_phases_of_the_paper_the_second_from_the_best_weights_of_the_first():
    method = make_method("supervised", SPEC, options={"warm_start": 100 / 175})
    first, second = method.phases()
    assert (first.share, second.share) == pytest.approx((100 / 175, 75 / 175))
    assert second.start_from == "best"
    loss = build(method, ramp=0.0)
    assert loss.strength(Progress(first.name, 99, 100)) == 0
    assert loss.strength(Progress(second.name, 0, 75)) == pytest.approx(0.1)
    assert len(make_method("supervised", SPEC).phases()) == 1
    with pytest.raises(HinterlandError, match="warm_start=1"):
        make_method("supervised", SPEC, options={"warm_start": 1.0})


def test_total_is_the_weighted_sum_over_layers_and_weights_are_logged():
    loss = build(exchange="batch", weight=0.3)
    with torch.no_grad():
        loss.scores.copy_(torch.arange(5.0))
    losses = loss([toy_view(toy_rows())], LATE)
    w = torch.arange(5.0).softmax(0)
    per_layer = torch.stack([losses.terms[f"fd.{name}"] for name in LAYERS])
    assert losses.terms["fd"].item() == pytest.approx((w * per_layer).sum().item(), abs=1e-5)
    for name, value in zip(LAYERS, w, strict=True):
        assert losses.terms[f"lambda.{name}"].item() == pytest.approx(0.3 * value.item())
    expected = 0.3 * (losses.terms["fd"] + losses.terms["exch"]).item()
    assert losses.total.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("learned", "start"),
    [("softmax", 0.2), ("softplus", math.log(2)), ("free", 0.0), ("none", 0.2)],
)
def test_forms_of_learned_weights(learned, start):
    loss = build(learned=learned)
    assert loss.layer_weights().tolist() == pytest.approx([start] * 5)
    losses = loss([toy_view(toy_rows())], LATE)
    if learned == "none":
        assert not [p for p in loss.parameters() if p.requires_grad]
        return
    losses.total.backward()
    assert loss.scores.grad is not None
    assert loss.scores.grad.any()


@pytest.mark.parametrize("steps", [200, pytest.param(4000, marks=pytest.mark.slow)])
def test_learned_weights_stay_finite_over_a_long_run_and_keep_their_sum(steps):
    loss, view = build(exchange="batch", weight=1.0, warm_start=0.0, ramp=0.0), toy_view(toy_rows())
    features = list(view.features.values())
    optimiser = torch.optim.SGD([*loss.parameters(), *features], 0.1, momentum=0.9, nesterov=True)
    torch.manual_seed(0)
    values = []
    for step in range(steps):
        total = loss([view], Progress("train", step, steps)).total
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        values.append(total.item())
    assert all(map(math.isfinite, values))
    assert values[-1] < values[0]
    assert loss.scores.isfinite().all()
    assert loss.layer_weights().sum().item() == pytest.approx(1)
    assert all(f.isfinite().all() for f in features)


def test_unlabelled_voxels_and_invalid_ones_change_nothing():
    loss, rows = build(), toy_rows()
    whole = loss([toy_view(rows)], LATE).total
    half = rows.clone()
    half[2:] = 0  # any leaf: unlabelled
    first = loss([toy_view(half)], LATE).total
    valid = torch.ones_like(rows, dtype=torch.bool)
    valid[2:] = False
    assert loss([toy_view(rows, valid=valid)], LATE).total.item() == pytest.approx(first.item())
    assert first.item() != pytest.approx(whole.item())
    nothing = loss([toy_view(torch.zeros_like(rows))], LATE).total
    nothing.backward()
    assert nothing.item() == 0


def test_domains_are_taken_by_name():
    loss = build(exchange="domains", domains=["A", "B"])
    rows = toy_rows()
    mixed = loss([toy_view(rows, domain=("A", "B", "A", "B"))], LATE)
    assert mixed.terms["exch"].item() != 0
    alone = loss([toy_view(rows, domain=("A",) * 4)], LATE)
    assert alone.terms["exch"].item() == 0
    with pytest.raises(HinterlandError, match="belong to no domain"):
        loss([toy_view(rows)], LATE)


def test_layers_are_chosen_by_name_or_part():
    assert build().layers == LAYERS
    assert build(layers="encoder").layers == ("encoder.0", "encoder.1")
    assert build(layers=["decoder.1", "bottleneck"]).layers == ("bottleneck", "decoder.1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["encoder.9"]}, r"layers=\['encoder.9'\].*bottleneck"),
        ({"form": "vector"}, "^discrepancy: form='vector': expected one of prototype, map, sum$"),
        ({"exchange": "domains"}, "^discrepancy.*two names"),
        ({"learned": "exp"}, "^discrepancy: learned='exp'.*softplus"),
        ({"warm_start": 1.5}, "^discrepancy: warm_start=1.5"),
        ({"lambda": 1}, "unexpected keyword"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(HinterlandError, match=message):
        build_regularisers(
            {"discrepancy": options}, context_for(2), make_method("supervised", SPEC)
        )


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["supervised", "backsplit", "cvbm", "subclass"])
def test_it_composes_with_methods_and_reaches_every_layer(name, dims):
    method = make_method(name, SPEC)
    networks, views = views_of(method, dims)
    loss = build(method, dims, exchange="batch")
    losses = loss(views, Progress(method.phases()[-1].name, 90, 100))
    losses.total.backward()
    assert losses.terms["fd"].isfinite()
    assert loss.scores.grad is not None
    touched = {n.split(".")[-1] for n, p in networks.named_parameters() if p.grad is not None}
    assert touched
    assert all(p.grad.isfinite().all() for p in networks.parameters() if p.grad is not None)
    fed = [n for n, p in networks.named_parameters() if p.grad is not None and p.grad.any()]
    assert any("encoder" in n for n in fed)
    assert any("decoder" in n for n in fed)


def test_engine_adds_its_terms_to_the_methods():
    method = make_method("backsplit", SPEC)
    context, phase = context_for(2), method.phases()[0]
    regularisers = build_regularisers({"discrepancy": {"warm_start": 0.0}}, context, method)
    engine = Engine(
        method, method.build(context), regularisers, phase, index=0,
        pace=StepPace(100, 5), start=0, offset=0, recipe=recipe("unet"),
        config=make_config({}), optimiser_states=None, write=lambda *_: None,
        at_interval=lambda _: None, tick=lambda: None,
    )  # fmt: skip
    losses = engine._losses(batch_for(phase, context), LATE)
    assert {"ce", "dice", "discrepancy/fd", "discrepancy/lambda.bottleneck"} <= set(losses.terms)
    assert losses.weights["discrepancy/fd"] == pytest.approx(0.1)


class Stopped(Exception):
    pass


def test_a_run_with_it_is_resumed_exactly(tmp_path, monkeypatch):
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.planning.fingerprint import fingerprint
    from hinterland.data.planning.plan import make_plan
    from hinterland.phantoms.dataset import make_phantoms
    from hinterland.training.checkpoint import load_checkpoint

    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    data = read_dataset(make_phantoms(tmp_path / "phantoms", cases=(2, 1, 1), size=16))
    plan, method = (
        make_plan(fingerprint(data), memory_gb=1.0),
        make_method("backsplit", data.labels),
    )
    config = make_config(
        {
            "steps": 6, "precision": "fp32", "network_options": {"features": (4, 8)},
            "validation": {"interval": 2, "mirror": False},
            "regularisers": {"discrepancy": {"warm_start": 0.2, "exchange": "batch"}},
        }
    )  # fmt: skip

    def stop(done: int, steps: int, message: str) -> None:
        if done == 5:
            raise Stopped

    common = {"fold": "fixed", "config": config, "finish": False}
    train(data, plan, method, out=tmp_path / "whole", **common)
    with pytest.raises(Stopped):
        train(data, plan, method, out=tmp_path / "cut", report=stop, **common)
    resume(tmp_path / "cut", finish=False)
    whole, cut = (load_checkpoint(tmp_path / r / "checkpoints/last.ckpt") for r in ("whole", "cut"))
    learned = whole["regularisers"]["discrepancy.scores"]
    assert learned.any()
    assert torch.equal(learned, cut["regularisers"]["discrepancy.scores"])
    for key, value in whole["networks"].items():
        assert torch.equal(value, cut["networks"][key]), key
    log = (tmp_path / "whole" / "log.csv").read_text()
    assert log == (tmp_path / "cut" / "log.csv").read_text()
    assert "train/discrepancy/lambda.bottleneck" in log
