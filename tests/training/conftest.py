"""A tiny phantom data set and quick settings, shared by the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.fingerprint import fingerprint
from hinterland.data.planning.plan import make_plan
from hinterland.phantoms.dataset import make_phantoms
from hinterland.types import Dataset, Plan


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINTERLAND_CACHE", str(cache))


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    return read_dataset(make_phantoms(folder, cases=(4, 2, 2), size=24))


@pytest.fixture(scope="session")
def plan(phantoms: Dataset) -> Plan:
    return make_plan(fingerprint(phantoms), memory_gb=1.0)
