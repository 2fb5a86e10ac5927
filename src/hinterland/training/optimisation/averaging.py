"""Averaged weights: what is validated and deployed is a moving average of what is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


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
        self._average: AveragedModel | None = None
        if self._decay:
            update = get_ema_multi_avg_fn(self._decay)
            self._average = AveragedModel(self.trained, multi_avg_fn=update, use_buffers=True)

    @property
    def deployed(self) -> nn.Module:
        """The networks to validate, predict and export with."""
        if self._average is None:
            return self.trained
        return self._average.module

    def update(self) -> None:
        """Take in the weights after a step."""
        if self._average is not None:
            self._average.to(next(self.trained.parameters()).device)
            self._average.update_parameters(self.trained)

    def state(self) -> dict[str, Any]:
        """Return the deployed weights as `networks`, and what a checkpoint needs to go on."""
        content: dict[str, Any] = {"networks": self.deployed.state_dict()}
        if self._average is not None:
            content["trained"] = self.trained.state_dict()
            content["averaged"] = int(self._average.n_averaged)
        return content

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.trained.load_state_dict(content.get("trained", content["networks"]))
        if self._average is not None:
            self.deployed.load_state_dict(content["networks"])
            self._average.n_averaged.fill_(content.get("averaged", 0))
