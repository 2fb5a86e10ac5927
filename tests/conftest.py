"""What all tests share: one thread, checked shapes, and where the development data lie."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from skips import ALLOWED, read_allowed, refused

# Before anything imports torch, and inherited by the processes that tests start: two busy threads
# on two shared cores are many times slower than one.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

# Rooms whose functions state the shapes of their tensors: every call in every test checks them.
# The hook must be installed before they are imported. The other rooms state no shapes, and name
# types that they import for type checkers only, which beartype cannot resolve.
CHECKED = ("hinterland.losses", "hinterland.networks", "hinterland.methods", "hinterland.theory")
install_import_hook(CHECKED, "beartype.beartype")

# `--hypothesis-profile thorough` looks much further, and somewhere else every time.
settings.register_profile("hinterland", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=1500)
settings.load_profile("hinterland")

ROOT = Path(__file__).resolve().parents[1]


def pytest_sessionstart(session: pytest.Session) -> None:
    if "torch" in sys.modules:  # a plugin was faster than the environment variables
        sys.modules["torch"].set_num_threads(1)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for all tests, which need a gigabyte or two each; none for a few of them."""
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    return min(2, os.cpu_count() or 1) if whole else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [n for n in ("chromium", "chromedriver") if shutil.which(n) is None]
    if missing:
        skip = pytest.mark.skip(reason=f"no headless browser here: {', '.join(missing)} not found")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(skip)


NO_SKIPS = os.environ.get("HINTERLAND_NO_SKIPS", "")
_skipped: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))


def _refused_skips() -> list[str]:
    return refused(_skipped, read_allowed(ALLOWED.read_text()), NO_SKIPS) if NO_SKIPS else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _refused_skips() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if found := _refused_skips():
        terminalreporter.section("skips that are failures here (tests/allowed_skips.txt)")
        for line in found:
            terminalreporter.write_line(line, red=True)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of development data sets; skips where there is none."""
    given = os.environ.get("HINTERLAND_DATA")
    root = Path(given) if given else ROOT.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no development data in {root}; set HINTERLAND_DATA to the folder")
    return root
