"""What cannot be trained is refused before anything is written or deleted."""

from __future__ import annotations

import pytest

from hinterland.methods import make_method
from hinterland.training.config import make_config
from hinterland.training.train import train
from hinterland.types import HinterlandError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "segresnet", "deep_supervision": True}, "no deep supervision"),
        ({"network_options": {"depth": 3}}, "network_options"),
        ({"regularisers": {"magic": {}}}, "magic"),
    ],
)
def test_nothing_is_written(phantoms, plan, tmp_path, settings, message):
    method = make_method("supervised", phantoms.labels)
    config = make_config({"steps": 2, **settings})
    with pytest.raises(HinterlandError, match=message):
        train(phantoms, plan, method, out=tmp_path / "run", fold="fixed", config=config)
    assert not (tmp_path / "run").exists()
