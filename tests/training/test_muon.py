"""Muon: against torch's on matrices, against the singular values, by role, and when resumed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hinterland.networks.roles import hidden_weights, mark_ends
from hinterland.training.optimisation.muon import (
    ITERATIONS,
    QUINTIC,
    Muon,
    groups_by_role,
    iterate,
    iterate_gram,
    orthogonalise,
)


def by_singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """U p(...p(s)) V^T, in float64."""
    a, b, c = QUINTIC
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    return u @ torch.diag(s) @ v


@pytest.mark.parametrize("shape", [(6, 27), (27, 6), (8, 8), (1, 5), (40, 360)])
def test_newton_schulz_maps_the_singular_values(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalise(matrices)
    for one, matrix in zip(found, matrices, strict=True):
        torch.testing.assert_close(one.double(), by_singular_values(matrix), atol=2e-5, rtol=0)


def test_a_matrix_of_low_rank_stays_of_low_rank_and_zero_stays_zero():
    generator = torch.Generator().manual_seed(1)
    low = torch.randn(20, 3, generator=generator) @ torch.randn(3, 90, generator=generator)
    singular = torch.linalg.svdvals(orthogonalise(low[None])[0])
    assert singular[2] > 0.6
    assert singular[3:].max() < 1e-3
    assert not orthogonalise(torch.zeros(1, 4, 9)).any()


def steep(rows: int, columns: int) -> torch.Tensor:
    """A matrix whose singular values fall as those of gradients do: 1, 2^-1.5, 3^-1.5, ..."""
    generator = torch.Generator().manual_seed(4)
    u = torch.linalg.qr(torch.randn(rows, rows, generator=generator))[0]
    v = torch.linalg.qr(torch.randn(columns, columns, generator=generator))[0][:, :rows]
    matrix = (u * torch.arange(1, rows + 1) ** -1.5) @ v.T
    return (matrix / matrix.norm())[None]


def test_autocast_does_not_round_the_iterations():
    """A training step runs under autocast; under it steps were up to 16,000 times too long."""
    matrix = steep(64, 576)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = orthogonalise(matrix)
    assert found.dtype == torch.float32
    assert torch.equal(found, orthogonalise(matrix))
    assert torch.linalg.svdvals(found[0])[0] < 1.25


def to_tf32(x: torch.Tensor) -> torch.Tensor:
    """Round to 10 bits of mantissa, as tensor cores do with factors."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def test_on_an_accelerator_iterations_forgive_tf32(monkeypatch):
    bmm, baddbmm = torch.bmm, torch.baddbmm
    matrix = steep(64, 576)
    exact = iterate(matrix)
    torch.testing.assert_close(iterate_gram(matrix), exact, atol=1e-2, rtol=0)
    monkeypatch.setattr(torch, "bmm", lambda a, b: bmm(to_tf32(a), to_tf32(b)))
    monkeypatch.setattr(
        torch, "baddbmm", lambda c, a, b, **rest: baddbmm(c, to_tf32(a), to_tf32(b), **rest)
    )
    found = iterate(matrix)
    assert torch.linalg.svdvals(found[0])[0] < 1.25
    assert torch.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.999
    gram = iterate_gram(matrix)  # why it is for the CPU alone
    assert torch.linalg.svdvals(gram[0])[0] > 1.5


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_steps_agree_with_torchs_muon_on_matrices(shape):
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(*shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon = Muon([{"params": [ours], "axis": 0}], lr=0.05, momentum=0.95, weight_decay=0.1)
    reference = torch.optim.Muon([theirs], lr=0.05, momentum=0.95, weight_decay=0.1)
    for _ in range(5):
        ours.grad = torch.randn(*shape, generator=generator)
        theirs.grad = ours.grad.clone()
        muon.step()
        reference.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.01 * moved  # theirs iterates in bfloat16


@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_steps_as_its_matrix_of_outputs_does(transposed):
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(8, 4, 3, 3, generator=generator)
    gradient = torch.randn(8, 4, 3, 3, generator=generator)
    lead = (lambda w: w.movedim(1, 0)) if transposed else (lambda w: w)
    matrix = nn.Parameter(lead(weight).flatten(1).clone())
    kernel = nn.Parameter(weight.clone())
    matrix.grad, kernel.grad = lead(gradient).flatten(1), gradient
    Muon([{"params": [matrix], "axis": 0}], lr=0.1).step()
    Muon([{"params": [kernel], "axis": int(transposed)}], lr=0.1).step()
    torch.testing.assert_close(lead(kernel.detach()).flatten(1), matrix.detach())


def test_equal_shapes_are_stepped_together_as_alone():
    generator = torch.Generator().manual_seed(4)
    weights = [torch.randn(6, 5, 3, generator=generator) for _ in range(3)]
    gradients = [torch.randn(6, 5, 3, generator=generator) for _ in range(3)]
    together = [nn.Parameter(w.clone()) for w in weights]
    for parameter, gradient in zip(together, gradients, strict=True):
        parameter.grad = gradient
    Muon([{"params": together, "axis": 0}], lr=0.1, weight_decay=0.01).step()
    for parameter, weight, gradient in zip(together, weights, gradients, strict=True):
        alone = nn.Parameter(weight.clone())
        alone.grad = gradient
        Muon([{"params": [alone], "axis": 0}], lr=0.1, weight_decay=0.01).step()
        torch.testing.assert_close(parameter, alone)


def test_the_rest_is_stepped_by_adamw():
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(7, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon = Muon([{"params": [ours]}], lr=0.01, weight_decay=0.1, betas=(0.9, 0.95))
    reference = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1, betas=(0.9, 0.95))
    for _ in range(5):
        ours.grad = torch.randn(7, generator=generator)
        theirs.grad = ours.grad.clone()
        muon.step()
        reference.step()
    assert torch.equal(ours, theirs)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3)
        self.norm = nn.InstanceNorm2d(8, affine=True)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.pointwise = nn.Conv2d(8, 16, 1)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.up(self.pointwise(self.depthwise(self.norm(self.first(x))))))


def test_groups_follow_the_roles_of_weights():
    network, elsewhere = Small(), nn.Linear(4, 4)
    mark_ends(network, in_channels=2)
    found = {id(w): axis for w, axis in hidden_weights(network)}
    assert found == {id(network.pointwise.weight): 0, id(network.up.weight): 1}
    parameters = [*network.parameters(), *elsewhere.parameters()]
    groups = groups_by_role(parameters, network, adam_share=0.15)
    assert [(g["axis"], g["lr_share"], len(g["params"])) for g in groups] == [
        (0, 1.0, 1), (1, 1.0, 1), (None, 0.15, len(parameters) - 2),
    ]  # fmt: skip


def test_a_resumed_optimiser_goes_on_bit_for_bit():
    torch.manual_seed(6)
    network = Small()
    mark_ends(network, in_channels=2)
    images = torch.randn(6, 2, 2, 12, 12)

    def steps(model: nn.Module, optimiser: Muon, part: torch.Tensor) -> None:
        for image in part:
            optimiser.zero_grad()
            model(image).square().mean().backward()
            optimiser.step()

    def fresh(model: nn.Module) -> Muon:
        return Muon(groups_by_role(model.parameters(), model, 0.15), lr=0.05, weight_decay=0.01)

    optimiser = fresh(network)
    steps(network, optimiser, images[:3])
    other = copy.deepcopy(network)
    resumed = fresh(other)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    steps(network, optimiser, images[3:])
    steps(other, resumed, images[3:])
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
