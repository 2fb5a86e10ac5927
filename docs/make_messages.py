"""Write docs/messages.md: every message with which Hinterland refuses, warns or notes.

python docs/make_messages.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "hinterland"
PAGE = ROOT / "docs" / "messages.md"
ERRORS = {"HinterlandError", "LabelError", "VolumeError", "TooLarge"}
MESSAGE = {"VolumeError": 1, "Problem": 3}  # position of the text among the arguments; else 0

INTRODUCTION = """# Messages

Everything that stops a command, or that `hinterland check` lists, in one form: what came (and in
which file), what was expected, what to do. Generated from the code by
`python docs/make_messages.py`; not edited by hand. In braces stands what the message fills in.
Messages of `check` have a code, by which scripts may tell them apart (`--json`).
"""


@dataclass(frozen=True)
class Message:
    """One message: where it stands, its text; `code` and `severity` of what check lists."""

    module: str
    function: str
    text: str
    code: str = ""
    severity: str = ""


def messages(source: Path = SOURCE) -> list[Message]:
    """All messages of the package, in the order of its files."""
    found: list[Message] = []
    for path in sorted(source.rglob("*.py")):
        module = path.relative_to(source).with_suffix("").as_posix()
        for function, call in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            text = _text(_argument(call))
            if text:
                found.append(Message(module, function, text, *_code(call)))
    return found


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls that make a message, each with the function it stands in."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call) and _name(child) in {*ERRORS, "Problem"}:
                yield function, child
            yield from walk(child, inner)

    yield from walk(tree, "")


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _argument(call: ast.Call) -> ast.expr | None:
    place = MESSAGE.get(_name(call), 0)
    return call.args[place] if len(call.args) > place else None


def _code(call: ast.Call) -> tuple[str, str]:
    if _name(call) == "Problem":
        return _constant(call.args[1]), _constant(call.args[0])
    if _name(call) == "VolumeError":
        return _constant(call.args[0]), "error"
    return "", ""


def _constant(node: ast.expr) -> str:
    if isinstance(node, ast.IfExp):
        return f"{_constant(node.body)} / {_constant(node.orelse)}"
    return _text(node).strip("{}") if not isinstance(node, ast.Constant) else str(node.value)


def _text(node: ast.expr | None) -> str:
    """The text with {expressions} for values; "" where all of it comes from elsewhere."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(
                f"{{{ast.unparse(v.value)}}}" if isinstance(v, ast.FormattedValue) else _text(v)
                for v in values
            )
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_text(left) or _hole(left)}{_text(right) or _hole(right)}"
        case ast.IfExp(body=body, orelse=orelse):
            return " | ".join(t for t in (_text(body), _text(orelse)) if t)
        case _:
            return ""


def _hole(node: ast.expr) -> str:
    return f"{{{ast.unparse(node)}}}"


def page(found: list[Message]) -> str:
    """The page: a section for each room, a table of what `check` lists first."""
    lines = [INTRODUCTION, "## What `hinterland check` lists", "",
             "| code | severity | message |", "| --- | --- | --- |"]  # fmt: skip
    coded = sorted((m for m in found if m.code), key=lambda m: (m.code, m.text))
    lines += [f"| `{m.code}` | {m.severity} | {_cell(m.text)} |" for m in coded]
    for room in sorted({m.module.split("/")[0] for m in found if not m.code}):
        lines += ["", f"## {room}", "", "| where | message |", "| --- | --- |"]
        own = [m for m in found if not m.code and m.module.split("/")[0] == room]
        lines += [f"| `{m.module}` | {_cell(m.text)} |" for m in own]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    text = " ".join(text.split())
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(messages()), encoding="utf-8")
