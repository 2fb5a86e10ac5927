"""Averaged weights: what is validated and deployed is a moving average of what is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from hinterland.networks.ema import ema_copy


class Weights:
    """The weights that are trained, and those that are used: their moving average, or the same.

    After each step A <- d A + (1 - d) W, buffers such as running means included; A begins as the
    weights after the first step. With d = 0 there is no average, and `deployed` is `trained`.
    """

    def __init__(self, networks: nn.Module, decay: float) -> None:
        self.trained = networks
        self._decay = decay
        self.restart()

    def restart(self) -> None:
        """Forget the average, as at the begin of a phase."""
        self._average = ema_copy(self.trained) if self._decay else None
        self._steps = 0

    @property
    def deployed(self) -> nn.Module:
        """The networks to validate, predict and export with."""
        return self.trained if self._average is None else self._average

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        if self._average is None:
            return
        self._average.to(next(self.trained.parameters()).device)
        means, values = (list(_tensors(m)) for m in (self._average, self.trained))
        floats = [i for i, mean in enumerate(means) if mean.is_floating_point()]
        share = 1 - self._decay if self._steps else 1.0  # it begins as the first weights
        torch._foreach_lerp_([means[i] for i in floats], [values[i] for i in floats], share)
        for i in set(range(len(means))) - set(floats):
            means[i].copy_(values[i])
        self._steps += 1

    def state(self) -> dict[str, Any]:
        """Return the deployed weights as `networks`, and what a checkpoint needs to go on."""
        content: dict[str, Any] = {"networks": self.deployed.state_dict()}
        if self._average is not None:
            content["trained"] = self.trained.state_dict()
            content["averaged"] = self._steps
        return content

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.trained.load_state_dict(content.get("trained", content["networks"]))
        if self._average is not None:
            self.deployed.load_state_dict(content["networks"])
            self._steps = content.get("averaged", 0)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Yield all that training changes: parameters and buffers, without their gradients."""
    yield from (t.detach() for t in chain(module.parameters(), module.buffers()))
