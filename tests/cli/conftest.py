"""Tiny phantoms and one small finished run of each arm, made by the command line itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_helpers import FAST
from typer.testing import CliRunner, Result

from hinterland.cli.main import app

Invoke = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Preprocessed cases go into a folder of these tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def hinterland() -> Invoke:
    """`hinterland(*arguments)`; the exit code must be the `code` expected."""

    def invoke(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        trouble = f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        assert result.exit_code == code, trouble
        return result

    return invoke


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten 2D phantoms of 32 x 32."""
    from hinterland.phantoms.dataset import make_phantoms

    return make_phantoms(tmp_path_factory.mktemp("data") / "ph", (5, 2, 3), dims=2, size=32)


@pytest.fixture(scope="session")
def runs(hinterland: Invoke, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished runs `binary` and `backsplit`."""
    folder = tmp_path_factory.mktemp("runs")
    for name, method in (("binary", "supervised"), ("backsplit", "backsplit")):
        hinterland("train", phantoms, "--method", method, "--fold", "fixed", "--steps", 3,
                   "--out", folder / name, *FAST)  # fmt: skip
    return folder
