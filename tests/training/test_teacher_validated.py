"""The teacher is scored on training cases whose labels the run may not know, for the log alone."""

from __future__ import annotations

import csv

import pytest
from training_helpers import quick

from hinterland.methods import make_method
from hinterland.training.runs.run_training import train


def logged(run, key):
    with (run.path / "log.csv").open() as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["key"] == key]


@pytest.mark.slow
def test_the_teachers_dice_on_hidden_labels_is_logged(phantoms, plan, cache, tmp_path):
    found = {}
    for name, hidden in (("mean-teacher", 1), ("mean-teacher", 0), ("supervised", 1)):
        config = quick(
            steps=2, batch_size=2, patch_size=(16, 16, 16),
            validation={"interval": 1, "mirror": False, "hidden": hidden},
        )  # fmt: skip
        run = train(
            phantoms, plan, make_method(name, phantoms.labels), out=tmp_path / f"{name}{hidden}",
            fold="fixed", config=config, labelled="1", finish=False,
        )  # fmt: skip
        found[name, hidden] = logged(run, "val/teacher/dice"), logged(run, "val/dice")
    scores, best = found["mean-teacher", 1]
    assert len(scores) == 2
    assert all(0 <= score <= 1 for score in scores)
    assert found["mean-teacher", 0] == ([], best)  # it chooses nothing and changes nothing
    assert found["supervised", 1][0] == []
