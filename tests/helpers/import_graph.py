"""Read who imports whom, and when, from the source files."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "hinterland"


@dataclass(frozen=True)
class Import:
    """One name that a module imports when it runs.

    `late` says whether the import stands inside a function; `line` is where.
    """

    module: str
    name: str
    line: int
    late: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def module_name(path: Path, source: Path) -> str:
    """Return the dotted name of a file; a package's is that of its folder."""
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str) -> Iterator[Import]:
    """List everything a module imports when it runs, inside functions too.

    Blocks under `if TYPE_CHECKING` never run and are left out. `import_module("name")` counts.
    """

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child, late)
            return
        if isinstance(node, ast.Import):
            yield from (Import(module, a.name, node.lineno, late) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (Import(module, f"{base}.{a.name}", node.lineno, late) for a in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(module, argument.value, node.lineno, late)
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse(source), False)


def room_of(name: str) -> str:
    """Return the room (first folder or file below the package) of a dotted name."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == PACKAGE else ""


def edges(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Map each module to the modules of the package that it imports, late ones too.

    sources: module name -> its text.
    """
    return {
        module: {
            target
            for found in imports(text, module)
            if (target := _module_in(found.name, sources)) is not None and target != module
        }
        for module, text in sources.items()
    }


def _module_in(name: str, known: Mapping[str, str]) -> str | None:
    """The module that holds a dotted name: itself, or the one that defines it."""
    if name in known:
        return name
    above = name.rpartition(".")[0]
    return above if above in known else None


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """List the sets of modules that import one another in a ring (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            ring = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(ring) > 1:
                found.append(sorted(ring))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found)
