"""Fine-tuning a binary run with supports; partial, naive, virtual and noisy supports in a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_helpers import quick

from hinterland.data.preprocessing.cache import prepare
from hinterland.labels.growth import parents
from hinterland.methods import make_method
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.runs.fine_tuning import cell_counts
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import resume, train
from hinterland.types import HinterlandError

QUICK = quick(steps=4, batch_size=1, patch_size=(16, 16, 16))


@pytest.fixture(scope="module")
def binary(phantoms, plan, cache, tmp_path_factory):
    method = make_method("supervised", phantoms.labels)
    out = tmp_path_factory.mktemp("runs") / "binary"
    return train(phantoms, plan, method, out=out, fold="fixed", config=QUICK, finish=False)


def test_before_the_first_step_the_grown_model_predicts_what_the_old_one_did(
    binary, phantoms, plan, tmp_path
):
    method = make_method("backsplit", phantoms.labels)
    config = quick(steps=4, batch_size=1, network_options=dict(binary.record.train.network_options))
    tuned = train(
        phantoms, plan, method, out=tmp_path / "tuned", fold="fixed", config=config,
        init_from=binary.path, finish=False,
    )  # fmt: skip
    assert tuned.record.init_from == str(binary.path)
    assert tuned.record.train.optimiser.lr == pytest.approx(1e-3)
    networks = tuned.networks("last")
    grown = method.build(_setting(tuned)).eval()
    grown.load_state_dict(load_checkpoint(tuned.path / "checkpoints" / "initial.ckpt")["networks"])
    case = prepare(phantoms, tuned.record.plan)[phantoms.val[0].name]
    image = torch.tensor(np.asarray(case.image))[None, :, :16, :16, :16]
    target = phantoms.labels.target
    old, cells = binary.method, method.cells
    with torch.no_grad():
        before = old.probabilities(binary.networks(), image)
        after = method.probabilities(grown, image)
        trained = method.probabilities(networks, image)
    over = torch.tensor(target.over(cells).astype(np.float32))
    merged = torch.einsum("gc,bc...->bg...", over, after)
    assert torch.allclose(merged, before, atol=1e-5)
    assert not torch.allclose(torch.einsum("gc,bc...->bg...", over, trained), before, atol=1e-5)


def _setting(run: Run):
    from hinterland.training.runs.context import build_context

    return build_context(run.record)


def test_a_fine_tuned_run_resumes_without_its_source(binary, phantoms, plan, tmp_path):
    method = make_method("supervised", phantoms.labels, ["target/host"])
    kept = {"steps": 6, "batch_size": 1, "validation": {"interval": 3}}
    whole = train(
        phantoms, plan, method, out=tmp_path / "whole", fold="fixed", config=quick(**kept),
        init_from=binary.path, finish=False,
    )  # fmt: skip

    class Stop(Exception):
        pass

    def stop(done: int, *_: object) -> None:
        if done >= 2:  # before the first checkpoint
            raise Stop

    with pytest.raises(Stop):
        train(
            phantoms, plan, method, out=tmp_path / "cut", fold="fixed", config=quick(**kept),
            init_from=binary.path, finish=False, report=stop,
        )  # fmt: skip
    cut = resume(tmp_path / "cut", finish=False)
    for one, other in zip(
        whole.networks("last").parameters(), cut.networks("last").parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_teacher_without_pre_training_begins_with_the_trained_weights_too(
    binary, phantoms, plan, tmp_path
):
    """CVBM's teacher is a whole network of two decoders, not the one that is deployed."""
    method = make_method("cvbm", phantoms.labels, ["target"], {"pretrain": 0.0})
    run = train(
        phantoms, plan, method, out=tmp_path / "run", fold="fixed", labelled="2:cases",
        config=quick(steps=1, batch_size=2), init_from=binary.path, finish=False,
    )  # fmt: skip
    networks = method.build(_setting(run))
    networks.load_state_dict(load_checkpoint(run.path / "checkpoints" / "initial.ckpt")["networks"])
    trained = binary.method.deployed(binary.networks()).state_dict()
    student, teacher = networks.student.state_dict(), networks.teacher.state_dict()
    assert student.keys() == teacher.keys()
    assert all(torch.equal(student[name], teacher[name]) for name in student)
    assert all(torch.equal(teacher[f"network.{name}"], trained[name]) for name in trained)


def test_what_cannot_be_grown_is_refused_before_anything_is_written(
    binary, phantoms, plan, tmp_path
):
    method = make_method("supervised", phantoms.labels, ["host"])
    with pytest.raises(HinterlandError, match="does not lie inside one"):
        train(
            phantoms, plan, method, out=tmp_path / "x", fold="all", config=quick(),
            init_from=binary.path,
        )  # fmt: skip
    assert not (tmp_path / "x").exists()
    with pytest.raises(HinterlandError, match="no run directory"):
        train(phantoms, plan, method, out=tmp_path / "x", config=quick(), init_from=tmp_path / "no")


def test_noisy_partial_and_virtual_supports_in_one_run(phantoms, plan, tmp_path):
    spec = phantoms.labels.with_virtual()
    data = phantoms.replace(labels=spec)
    method = make_method("backsplit", spec)
    run = train(
        data, plan, method, out=tmp_path / "run", fold="fixed",
        config=quick(steps=2, batch_size=1, patch_size=(16, 16, 16)),
        fine="50%@target", naive=True, noise=0.7, finish=False,
    )  # fmt: skip
    record = Run(run.path).record
    assert (record.naive, record.noise, record.fine) == (True, 0.7, "50%@target")
    assert "virtual1" in run.method.cells.names
    schemes = [record.schemes[n] for n in record.split["train"]]
    assert schemes == ["full", "full", "full@naive", "full@naive"]
    train_labels = [run.dataset[n].label for n in record.split["train"]]
    assert all("noisy" in str(path) for path in train_labels)
    assert all("noisy" not in str(run.dataset[n].label) for n in record.split["test"])
    assert record.plan.fingerprint != plan.fingerprint  # its prepared labels are its own
    assert record.dataset["fingerprint"] == plan.fingerprint  # but it is the same data set
    resume(run.path, finish=False)


def test_children_of_the_background_begin_with_their_frequency(binary, phantoms, plan, tmp_path):
    """And so the target is predicted where the binary run predicted it, volume for volume."""
    method = make_method("backsplit", phantoms.labels)
    config = quick(steps=1, batch_size=1, network_options=dict(binary.record.train.network_options))
    tuned = train(
        phantoms, plan, method, out=tmp_path / "tuned", fold="fixed", config=config,
        init_from=binary.path, finish=False,
    )  # fmt: skip
    record = tuned.record
    cases = record.cases(phantoms, "train")
    prepared = prepare(phantoms, record.plan)
    counts = np.array(cell_counts(cases, prepared, record.spec, method.cells))
    integers = [v for v, _ in record.spec.scheme("full").values]
    voxels = np.concatenate([np.asarray(prepared[c.name].label).ravel() for c in cases])
    found = {v: int((voxels == v).sum()) for v in integers}
    leaves = dict(record.spec.scheme("full").values)
    for cell, group in enumerate(method.cells.groups):
        assert counts[cell] == sum(found[v] for v in integers if leaves[v] == group)
    initial = load_checkpoint(tuned.path / "checkpoints" / "initial.ckpt")["networks"]
    biases = initial["network.head.layers.0.bias"].double().numpy()
    parent = np.array(parents(method.cells, binary.method.cells))
    old = binary.method.deployed(binary.networks()).state_dict()["head.layers.0.bias"].numpy()
    for group in range(len(binary.method.cells)):
        inside = parent == group
        share = (counts[inside] + 1) / (counts[inside] + 1).sum()
        assert biases[inside] == pytest.approx(old[group] + np.log(share), abs=1e-5)
