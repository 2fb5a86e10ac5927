"""A loss of somebody else's: the squared error of each group's probability."""

from torch import Tensor

from hinterland.losses import Comparison


def squared_error(found: Comparison) -> Tensor:
    error = (found.q - found.member.float()).square() * found.decided
    return error.sum() / found.decided.sum().clamp(min=1)


LOSS = {"squared": squared_error}
