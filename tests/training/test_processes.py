"""Several processes: who is the first one, and what they draw."""

from __future__ import annotations

import pytest
import torch

from hinterland.training.device import process_rank
from hinterland.training.loop.engine import step_seed

VARIABLES = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, 0),
        ({"RANK": "5", "LOCAL_RANK": "1"}, 5),  # torchrun
        ({"SLURM_PROCID": "3", "LOCAL_RANK": "0"}, 3),
        ({"LOCAL_RANK": "1"}, 1),  # Lightning's launcher, one node
        ({"NODE_RANK": "1"}, 2),  # the process that a user starts on the second node
        ({"NODE_RANK": "2", "LOCAL_RANK": "1"}, 5),
    ],
)
def test_rank_among_all_processes(monkeypatch, environment, rank):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert process_rank(devices=2) == rank


def test_processes_draw_different_dropout_and_the_first_draws_as_one_alone():
    drawn = []
    for rank in (0, 1, 2):
        torch.manual_seed(step_seed(3, 1, 7, rank))
        drawn.append(torch.rand(100))
    torch.manual_seed(step_seed(3, 1, 7))
    assert torch.equal(drawn[0], torch.rand(100))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert abs(torch.corrcoef(torch.stack([drawn[i], drawn[j]]))[0, 1]) < 0.35
