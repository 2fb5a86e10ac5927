"""Regularisers by name: what `--with` adds to any method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hinterland.methods.base import BuildContext, Method, Regulariser
from hinterland.methods.regularisers.contrastive import make_contrastive
from hinterland.methods.regularisers.deep_supervision import make_deep_supervision
from hinterland.methods.regularisers.discrepancy import make_discrepancy
from hinterland.types import HinterlandError

Factory = Callable[..., Regulariser]
REGULARISERS: dict[str, Factory] = {
    "discrepancy": make_discrepancy,
    "contrastive": make_contrastive,
    "deep-supervision": make_deep_supervision,
}


def build_regularisers(
    asked: Mapping[str, Mapping[str, Any]], context: BuildContext, method: Method
) -> nn.ModuleDict:
    """Name -> regulariser, each built as `factory(context, method, **options)`.

    Raises HinterlandError for an unknown name or option.
    """
    built = {}
    for name, options in asked.items():
        if name not in REGULARISERS:
            known = ", ".join(REGULARISERS)
            raise HinterlandError(f"regulariser {name!r}: expected one of {known}")
        try:
            built[name] = REGULARISERS[name](context, method, **options)
        except TypeError as error:
            raise HinterlandError(f"regulariser {name!r}: {error}.") from None
    return nn.ModuleDict(built)
