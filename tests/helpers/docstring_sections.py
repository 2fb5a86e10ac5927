"""Read which sections the docstrings of public functions have, and which they lack."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ERRORS = {"HinterlandError", "LabelError"}
MANY = 3
"""From this many arguments on, a signature alone no longer says what they are."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Classes = Mapping[str, list[ast.ClassDef]]


@dataclass(frozen=True)
class Gap:
    """What the docstring of one function lacks."""

    module: str
    name: str
    line: int
    lacks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.name} lacks {', '.join(self.lacks)}"


def classes_in(sources: Mapping[str, str]) -> Classes:
    """Collect the classes of some source files by their bare names."""
    found = defaultdict(list)
    for text in sources.values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(node)
    return found


def gaps(source: str, module: str, classes: Classes, many: int = MANY) -> Iterator[Gap]:
    """List the public functions and methods of a module whose docstrings lack a section.

    With `many` arguments or more, a docstring describes each under Args and the result under
    Returns; what raises an error of ours says so under Raises. Methods that a base class or a
    protocol documents are left out, and so are those that implement a contract from outside, which
    have no docstring.
    """
    for function, owner in _public(ast.parse(source).body, None):
        if owner is not None and (
            _is_inherited(owner, function.name, classes) or _is_agreed(owner, function, classes)
        ):
            continue
        doc = ast.get_docstring(function)
        if doc is None and owner is not None and owner.bases:
            continue
        if lacks := tuple(_lacking(function, owner is not None, doc or "", many)):
            name = f"{owner.name}.{function.name}" if owner else function.name
            yield Gap(module, name, function.lineno, lacks)


def _public(body: list[ast.stmt], owner: ast.ClassDef | None) -> Iterator[tuple]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body, node)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            decorators = {ast.unparse(d) for d in node.decorator_list}
            if not any(d == "overload" or d.endswith(".setter") for d in decorators):
                yield node, owner


def _is_inherited(owner: ast.ClassDef, method: str, classes: Classes) -> bool:
    for base in owner.bases:
        for parent in classes.get(_name(base), ()):
            if parent is owner:
                continue
            if any(isinstance(m, Function) and m.name == method for m in parent.body):
                return True
            if _is_inherited(parent, method, classes):
                return True
    return False


def _is_agreed(owner: ast.ClassDef, method: Function, classes: Classes) -> bool:
    """Tell whether a protocol has a method of this name that takes the same."""
    for protocol in (c for same in classes.values() for c in same if c is not owner):
        if "Protocol" in map(_name, protocol.bases):
            known = [m for m in protocol.body if isinstance(m, Function)]
            if any((m.name, _arguments(m)) == (method.name, _arguments(method)) for m in known):
                return True
    return False


def _lacking(function: Function, is_method: bool, doc: str, many: int) -> Iterator[str]:
    names = _arguments(function)
    static = any(ast.unparse(d) == "staticmethod" for d in function.decorator_list)
    names = names[1:] if is_method and not static else names
    described = _described(doc)
    if described is not None or len(names) >= many:
        yield from (f"Args: {name}" for name in names if name not in (described or ()))
    returned = function.returns is not None and ast.unparse(function.returns) not in ("None",)
    if len(names) >= many and returned and not re.search(r"^(Returns|Yields):$", doc, re.M):
        yield "Returns"
    if _raises(function) and "Raises:" not in doc:
        yield "Raises"


def _arguments(function: Function) -> list[str]:
    given = function.args
    named = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [a.arg for a in named if a is not None]


def _described(doc: str) -> set[str] | None:
    """Return the arguments under Args; None without that section."""
    parts = re.split(r"^Args:$", doc, maxsplit=1, flags=re.M)
    if len(parts) == 1:
        return None
    section = re.split(r"^\S", parts[1], maxsplit=1, flags=re.M)[0]
    heads = re.findall(r"^    (\*{0,2}\w[\w, *]*):", section, re.M)
    return {name.strip(" *") for head in heads for name in head.split(",")}


def _raises(function: Function) -> bool:
    raised = [n.exc for n in ast.walk(function) if isinstance(n, ast.Raise) and n.exc is not None]
    return any(_name(e.func if isinstance(e, ast.Call) else e) in ERRORS for e in raised)


def _name(node: ast.expr) -> str:
    node = node.value if isinstance(node, ast.Subscript) else node
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
