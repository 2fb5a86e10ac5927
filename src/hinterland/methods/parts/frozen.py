"""Trained networks beside a method's own: they follow it to its device, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hinterland.methods.base import Teacher


class FrozenTeachers(nn.Module):
    """Teachers that a student asks at each step.

    They are no part of its state: not among its parameters, in no checkpoint (the runs that they
    come from have them), not copied with it, and always in evaluation mode. Only where the student
    moves, they move, too.

    Args:
        teachers: whose probabilities are asked for.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        super().__init__()
        self.teachers = tuple(teachers)  # a tuple: torch would list bare modules as its own
        partitions = list(dict.fromkeys(frozenset(t.cells.groups) for t in self.teachers))
        first = {frozenset(t.cells.groups): t for t in reversed(self.teachers)}
        self.questions = tuple(first[p].cells for p in partitions)
        self.counts = tuple(
            sum(frozenset(t.cells.groups) == p for t in self.teachers) for p in partitions
        )
        self._place = {p: i for i, p in enumerate(partitions)}

    @torch.no_grad()
    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the teachers' mean probabilities of each question's groups.

        Args:
            image: (B, C, *space).

        Returns:
            (B, groups, *space) for each of `questions`, float32.
        """
        means: list[Tensor | None] = [None] * len(self.questions)
        for teacher in self.teachers:
            place = self._place[frozenset(teacher.cells.groups)]
            p = teacher.probabilities(image).float() / self.counts[place]
            order = [teacher.cells.groups.index(g) for g in self.questions[place].groups]
            if order != sorted(order):  # the same groups, named in another order
                p = torch.stack([p[:, i] for i in order], dim=1)
            found = means[place]
            means[place] = p if found is None else found + p
        return [mean for mean in means if mean is not None]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrozenTeachers:
        super()._apply(fn, recurse)
        for teacher in self.teachers:
            teacher.networks._apply(fn, recurse)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTeachers:
        return FrozenTeachers(self.teachers)
