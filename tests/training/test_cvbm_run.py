"""A run of CVBM without all that is its own ends with the weights of a supervised run."""

from __future__ import annotations

import torch
from training_helpers import quick

from hinterland.methods import make_method
from hinterland.training.runs.run_training import train

OFF = {"alpha": 0.0, "consistency": 0.0, "cutmix": False, "background_weight": 0.0,
       "mixed_weight": 0.0, "pretrain": 1.0}  # fmt: skip


def test_it_equals_the_supervised_run(phantoms, plan, tmp_path):
    networks = []
    for name, options in (("cvbm", OFF), ("supervised", {})):
        method = make_method(name, phantoms.labels, options=options)
        config = quick(
            steps=3, batch_size=2, patch_size=(16, 16, 16),
            network_options={"features": (4, 8), "norm": "batch"},
        )  # fmt: skip
        run = train(
            phantoms, plan, method, out=tmp_path / name, fold="fixed", labelled="2:cases",
            config=config, finish=False,
        )  # fmt: skip
        networks.append(method.deployed(run.networks("last")).state_dict())
    found, expected = networks
    assert found.keys() == expected.keys()
    assert any("running_mean" in name for name in found)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-6), name
