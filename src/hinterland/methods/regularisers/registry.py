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
from hinterland.types.registry import Registry

RegulariserFactory = Callable[..., Regulariser]
"""Called as `factory(context, method, **options)`; see `build_regularisers`."""
REGULARISERS: Registry[RegulariserFactory] = Registry(
    "regulariser",
    "hinterland.regularisers",
    {
        "discrepancy": make_discrepancy,
        "contrastive": make_contrastive,
        "deep-supervision": make_deep_supervision,
    },
)
register = REGULARISERS.register


def build_regularisers(
    asked: Mapping[str, Mapping[str, Any]], context: BuildContext, method: Method
) -> nn.ModuleDict:
    """Build regularisers by name, each as `factory(context, method, **options)`.

    Args:
        asked: name -> options.
        context: what the run is built for.
        method: the one that they are added to.

    Returns:
        The regularisers by name.

    Raises:
        HinterlandError: an unknown name or option.
    """
    built = {}
    for name, options in asked.items():
        factory = REGULARISERS.get(name)
        try:
            built[name] = factory(context, method, **options)
        except TypeError as error:
            raise HinterlandError(f"regulariser {name!r}: {error}.") from None
    return nn.ModuleDict(built)
