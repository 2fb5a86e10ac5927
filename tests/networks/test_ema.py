"""The exponential moving average, against its own formula in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hinterland.networks import ema_copy, ema_decay, ema_update


def model(seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=p.dtype)
    net(torch.randn(8, 3, generator=generator, dtype=torch.float64))  # moves the buffers
    return net


def test_exact_formula_for_weights_and_buffers():
    student, teacher = model(0), ema_copy(model(1))
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    student[1].num_batches_tracked.fill_(41)
    ema_update(teacher, student, 0.9)
    for name, value in teacher.state_dict().items():
        new = student.state_dict()[name]
        if name.endswith("num_batches_tracked"):
            assert value == 41
        else:
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * new, rtol=0, atol=1e-15)


def test_teacher_wants_no_gradient_and_is_a_copy():
    student = model(0)
    teacher = ema_copy(student)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    student[0].weight.data.zero_()
    assert teacher[0].weight.any()


def test_ends_of_the_range_and_bad_input():
    student, teacher = model(0), ema_copy(model(1))
    before = teacher[0].weight.clone()
    ema_update(teacher, student, 1.0)
    assert torch.equal(teacher[0].weight, before)
    ema_update(teacher, student, 0.0)
    assert torch.equal(teacher[0].weight, student[0].weight)
    with pytest.raises(ValueError, match="decay"):
        ema_update(teacher, student, 1.5)
    with pytest.raises(ValueError, match="differ"):
        ema_update(teacher, nn.Linear(3, 4), 0.5)


def test_warm_up_is_the_mean_of_the_models_so_far():
    values = [2.0, 4.0, 9.0]
    mean = 0.0
    for step, value in enumerate(values):
        decay = ema_decay(step, 0.99)
        mean = decay * mean + (1 - decay) * value
    assert mean == pytest.approx(sum(values) / 3)
    assert ema_decay(10_000, 0.99) == 0.99
