"""What cannot be trained is refused before anything is written or deleted."""

from __future__ import annotations

import pytest

from hinterland.methods import make_method
from hinterland.training.config import make_config
from hinterland.training.runs.run_training import train
from hinterland.types import HinterlandError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "segresnet", "deep_supervision": True}, "no deep supervision"),
        ({"network_options": {"depth": 3}}, "network_options"),
        ({"network": "segresnet", "network_options": {"features": (4, 8)}}, "network_options"),
        ({"regularisers": {"magic": {}}}, "magic"),
    ],
)
def test_nothing_is_written(phantoms, plan, tmp_path, settings, message):
    method = make_method("supervised", phantoms.labels)
    config = make_config({"steps": 2, **settings})
    with pytest.raises(HinterlandError, match=message):
        train(phantoms, plan, method, out=tmp_path / "run", fold="fixed", config=config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("labelled", "settings", "message"),
    [
        (None, {}, "wants training cases without a label, and none of the 4"),
        ("0", {}, "wants training cases with a label"),
        ("2:cases", {"batch_size": 1}, "batch size 1 cannot hold the 2 streams"),
    ],
)
def test_a_phase_that_cannot_be_trained_is_refused_before_the_one_before_it(
    phantoms, plan, tmp_path, labelled, settings, message
):
    """And `overwrite` has deleted nothing."""
    old = tmp_path / "run" / "config.yaml"
    old.parent.mkdir()
    old.write_text("of an earlier run")
    method = make_method("cvbm", phantoms.labels)
    config = make_config({"steps": 2, **settings})
    with pytest.raises(HinterlandError, match=message):
        train(
            phantoms, plan, method, out=old.parent, fold="fixed", config=config, labelled=labelled,
            overwrite=True,
        )  # fmt: skip
    assert [p.name for p in old.parent.iterdir()] == ["config.yaml"]
