"""Train or resume a run in a process of its own: DATASET OUT train|resume [batch devices]."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from training_helpers import quick

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.fingerprint import fingerprint
from hinterland.data.planning.plan import make_plan
from hinterland.methods import make_method
from hinterland.training.runs.run_training import resume, train


def main(dataset: str, out: str, action: str, batch: str = "2", devices: str = "1") -> None:
    if action == "resume":
        resume(out, finish=False)
        return
    data = read_dataset(dataset)
    plan = make_plan(fingerprint(data), memory_gb=1.0)
    config = quick(
        batch_size=int(batch),
        devices=int(devices),
        accelerator="cpu",
        steps=12 if devices == "1" and batch == "2" else 10,
        data={"foreground": 0.5},
    )
    method = make_method("backsplit", data.labels)
    train(data, plan, method, out=out, fold="fixed", config=config, finish=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
