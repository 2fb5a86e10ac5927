"""The modules that a method trains, as attributes whose types are known."""

from __future__ import annotations

from typing import dataclass_transform

from torch import nn


@dataclass_transform(kw_only_default=True, eq_default=False)
class Networks(nn.Module):
    """Base of the containers that methods build: a subclass annotates what it holds.

        class Teaching(Networks):
            network: Network
            teacher: Network

        networks = Teaching(network=..., teacher=...)

    Modules are registered in the order in which they are given; their attributes' names are the
    keys of the state, as they would be in a `torch.nn.ModuleDict`.

    Raises:
        TypeError: a module that the class does not name, or one that it names is missing.
    """

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        wanted = {
            name
            for kind in type(self).__mro__
            if issubclass(kind, Networks) and kind is not Networks
            for name in kind.__annotations__
        }
        if wanted != modules.keys():
            odd = ", ".join(sorted(wanted ^ modules.keys()))
            raise TypeError(f"{type(self).__name__}: missing or not expected: {odd}")
        for name, module in modules.items():
            self.add_module(name, module)
