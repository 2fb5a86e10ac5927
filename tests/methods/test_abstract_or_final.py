"""A method of the house is abstract or final: no subclass changes what its parent does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from hinterland.methods.base import Method, TrainableMethod
from hinterland.methods.registry import METHODS

HOOKS = {
    "phases", "parameters", "optimiser_recipes", "after_step", "ensemble_predictions",
    "teacher_of",
}  # fmt: skip
CUMULATIVE = {"check"}  # each class adds its own; all of them run


def subclasses(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def does_something(value: object) -> bool:
    code = inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
    return code and not getattr(value, "__isabstractmethod__", False)


def overridden(kind: type) -> list[str]:
    """Concrete methods of its parents that a class defines anew."""
    found = []
    for name, value in vars(kind).items():
        if name.startswith("__") or name in CUMULATIVE or not callable_or_property(value):
            continue
        for parent in kind.__mro__[1:]:
            hook = parent in (Method, TrainableMethod) and name in HOOKS
            if not hook and does_something(vars(parent).get(name)):
                found.append(f"{kind.__name__}.{name} overrides {parent.__name__}.{name}")
    return found


def callable_or_property(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)


def test_no_concrete_method_is_overridden():
    assert len(METHODS.names()) >= 16
    kinds = {k for k in subclasses(TrainableMethod) if k.__module__.startswith("hinterland.")}
    assert len(kinds) > 15
    assert not [line for kind in kinds for line in overridden(kind)]


def test_the_check_finds_an_override():
    class Parent(Method):
        def losses(self, networks, batch, progress): ...

    class Child(Parent):
        def losses(self, networks, batch, progress): ...

        def phases(self): ...

    assert overridden(Child) == ["Child.losses overrides Parent.losses"]
    assert not overridden(Parent)


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_hooks_belong_to_the_contract(name):
    assert any(name in vars(kind) for kind in (Method, TrainableMethod))
