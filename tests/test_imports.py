"""The house rules that a reader cannot check by eye: who imports whom, how long, how deep."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
FILES = sorted(SRC.glob("hinterland/**/*.py"))

VALUES = {"labels", "types"}
RANK_1 = {"data", "networks", "losses", "theory"}
RANK_2 = {"auxiliary", "methods", "inference", "classify", "evaluation"}
MAY_IMPORT: dict[str, set[str]] = {
    "labels": {"types.errors"},
    "types": set(),
    "data": VALUES,
    "networks": {"types"},  # they take integers, never class names
    "losses": VALUES,
    "theory": VALUES,
    "auxiliary": VALUES | {"data"},
    "methods": VALUES | {"networks", "losses"},
    "inference": VALUES | {"data"},
    "classify": VALUES | {"data", "networks"},
    "evaluation": VALUES | {"data"},
    "training": VALUES | RANK_1 | RANK_2,
    "studies": VALUES | RANK_1 | RANK_2 | {"training"},
    "cli": VALUES | RANK_1 | RANK_2 | {"training", "studies"},
}
ONLY_TRAINING = {"lightning", "pytorch_lightning", "lightning_fabric"}
COPYLEFT = {"medpy", "edt", "cc3d"}
SLOW = {"torch", "monai", "lightning", "scipy", "pandas", "matplotlib", "SimpleITK", "sklearn"}


def imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports when it runs, inside functions too.

    Blocks under `if TYPE_CHECKING` never run and are left out. `import_module("name")` counts.
    """

    def visit(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child)
            return
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, argument.value
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(source))


def module_name(path: Path) -> str:
    """The dotted name by which relative imports inside the file count."""
    return ".".join(path.relative_to(SRC).with_suffix("").parts)


def trespasses(source: str, module: str) -> list[str]:
    """Imports of other rooms that the table does not allow."""
    parts = module.split(".")
    if len(parts) < 3:  # hinterland/__init__.py hands out names of all rooms
        return []
    room, found = parts[1], []
    for line, name in imports(source, module):
        target = name.split(".")
        if target[0] != "hinterland" or len(target) < 2 or target[1] == room:
            continue
        allowed = MAY_IMPORT[room]
        if target[1] in MAY_IMPORT and not {target[1], ".".join(target[1:3])} & allowed:
            found.append(f"{module}:{line} imports {name}; {room} may import {sorted(allowed)}")
    return found


def test_every_package_is_a_room_of_the_table():
    rooms = {p.relative_to(SRC).parts[1] for p in FILES if len(p.relative_to(SRC).parts) > 2}
    assert rooms <= set(MAY_IMPORT)
    assert {"labels", "types", "data", "networks", "losses"} <= rooms


def test_rooms_import_only_downwards():
    found = [t for path in FILES for t in trespasses(path.read_text(), module_name(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source", "caught"),
    [
        ("hinterland.labels.tree", "from hinterland.errors import HinterlandError", False),
        ("hinterland.labels.tree", "from hinterland.types import Case", True),
        (
            "hinterland.losses.x",
            "def f():\n    from hinterland.data.dataset.read import read_dataset",
            True,
        ),
        ("hinterland.losses.x", "import hinterland.networks", True),
        ("hinterland.losses.x", "from hinterland import networks", True),
        ("hinterland.losses.x", "from ..networks import create", True),
        ("hinterland.losses.x", "from .marginal import marginalise", False),
        ("hinterland.losses.x", "import_module('hinterland.data')", True),
        ("hinterland.data.x", "if TYPE_CHECKING:\n    from hinterland.training import run", False),
        (
            "hinterland.data.x",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import hinterland.cli",
            True,
        ),
        ("hinterland.evaluation.x", "import hinterland.inference.window", True),
        ("hinterland.training.x", "import hinterland.report.page", False),
        ("hinterland.training.x", "from hinterland.studies import study", True),
    ],
)
def test_the_checker_catches_what_it_should(module, source, caught):
    assert bool(trespasses(source, module)) == caught


def _importers(names: set[str]) -> dict[str, str]:
    return {
        f"{path.relative_to(SRC)}:{line}": name
        for path in FILES
        for line, name in imports(path.read_text(), module_name(path))
        if name.split(".")[0] in names
    }


def test_only_training_knows_lightning():
    found = _importers(ONLY_TRAINING)
    assert not [where for where in found if not where.startswith("hinterland/training/")], found


def test_copyleft_references_are_never_imported():
    assert not _importers(COPYLEFT)


def test_files_are_short_and_packages_shallow():
    lines = {str(p.relative_to(SRC)): len(p.read_text().splitlines()) for p in FILES}
    assert not {name: n for name, n in lines.items() if n > 400}
    assert not [name for name in lines if len(Path(name).parent.parts) > 3]


def test_the_library_never_prints():
    found = [
        f"{path.relative_to(SRC)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not found


def _loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running some code."""
    tail = "\nimport sys; print('loaded', *sorted({m.split('.')[0] for m in sys.modules}))"
    result = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_is_light():
    loaded = _loaded_after("import hinterland, hinterland.labels, hinterland.types")
    assert "hinterland" in loaded
    assert not loaded & (SLOW | {"yaml"})


needs_cli = pytest.mark.skipif(
    not (SRC / "hinterland" / "cli" / "main.py").exists(), reason="there is no command line yet"
)


@needs_cli
def test_help_loads_nothing_slow():
    loaded = _loaded_after(
        "import sys; sys.argv = ['hinterland', '--help']\n"
        "from hinterland.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert not loaded & SLOW


@needs_cli
def test_help_answers_in_half_a_second():
    command = [sys.executable, "-c", "from hinterland.cli.main import main; main()", "--help"]
    best = float("inf")
    for _ in range(5):  # processor time, the best of a few: other work on the machine is not ours
        before = os.times()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        spent = sum(after[2:4]) - sum(before[2:4])
        best = min(best, spent)
        if best < 0.5:
            break
    assert best < 0.5


def test_test_files_have_names_of_their_own():
    """Test folders are no packages: pytest imports each file by its bare name."""
    names = [p.name for p in Path(__file__).parent.rglob("*.py") if p.name != "conftest.py"]
    assert not {name for name in names if names.count(name) > 1}


def test_shapes_are_checked_in_tests_and_torch_has_one_thread():
    import torch
    from jaxtyping import TypeCheckError

    from hinterland.losses import soft_dice_loss

    assert torch.get_num_threads() == 1
    q = torch.full((1, 2, 4, 4), 0.5)
    assert soft_dice_loss(q, q).ndim == 0
    with pytest.raises(TypeCheckError):
        soft_dice_loss(q, torch.ones(1, 3, 4, 4))


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_unless_the_user_says_otherwise(given, kept):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    code = "import hinterland, os; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == kept
