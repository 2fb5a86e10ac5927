"""`hinterland view`: one offline page of anything, and a server on the loopback address."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from cli_helpers import as_json
from report_study import make_study
from typer.testing import Result

from hinterland.data.io.volume import Volume
from hinterland.report.format import number
from hinterland.report.viewer.scene import CaseVolumes
from hinterland.report.viewing.cases import ViewCases, open_cases
from hinterland.report.viewing.serve import CaseServer

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    make_study(folder, cases=6, training=4)
    return folder


def _scenes(page: Path) -> list[dict]:
    text = page.read_text()
    found = re.search(r'id="viewer-scenes">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_two_runs_are_shown_beside_each_other_the_worst_cases_first(
    hinterland: Invoke, study: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    runs = [study / "runs" / name for name in ("supervised", "backsplit")]
    made = as_json(hinterland("view", *runs, "-n", 3, "--out", page, "--json"))
    assert (made["page"], made["shown"]) == (str(page), 3)
    import pandas as pd

    dice = pd.read_csv(runs[0] / "metrics.csv").groupby("case")["dice"].mean()
    scenes = _scenes(page)
    assert [s["case"] for s in scenes] == list(dice.sort_values().index[:3])
    assert all(s["methods"] == ["supervised", "backsplit"] for s in scenes)
    assert all(s["remark"].startswith("Dice: supervised") for s in scenes)
    assert made["bytes"] == page.stat().st_size


@pytest.mark.parametrize(("at", "coarsening"), [("target", "target"), ("leaves", "cells")])
def test_dice_that_is_told_is_that_of_the_question_shown(
    hinterland: Invoke, study: Path, tmp_path: Path, at: str, coarsening: str
) -> None:
    import pandas as pd

    run, page = tmp_path / "backsplit", tmp_path / "page.html"
    shutil.copytree(study / "runs" / "backsplit", run)
    target = pd.read_csv(run / "metrics.csv")
    cells = target.assign(coarsening="cells", dice=target["dice"].rank(ascending=False) / 10)
    table = pd.concat([target, cells])  # as of a run that is asked for its leaves, too
    table.to_csv(run / "metrics.csv", index=False)
    hinterland("view", run, "--at", at, "-n", 6, "--out", page)
    dice = table[table["coarsening"] == coarsening].groupby("case")["dice"].mean()
    scenes = _scenes(page)
    assert [s["remark"] for s in scenes] == [
        f"Dice: backsplit {number(dice[s['case']], 'dice')}" for s in scenes
    ]
    assert list(dice[[s["case"] for s in scenes]]) == sorted(dice)


def test_files_of_one_name_are_all_shown(hinterland: Invoke, study: Path, tmp_path: Path) -> None:
    file = next((study / "data" / "imagesTs").iterdir())
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / file.name).write_bytes(file.read_bytes())
    page = tmp_path / "page.html"
    hinterland("view", *folders, "--out", page)
    assert [s["case"] for s in _scenes(page)] == [str(f / file.name) for f in folders]


def test_a_data_set_is_shown_with_its_annotations(
    hinterland: Invoke, study: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    hinterland("view", study / "data", "--case", "case01", "--case", "train00", "--out", page)
    first, second = _scenes(page)
    assert (first["case"], second["case"]) == ("case01", "train00")
    assert first["methods"] == []
    assert set(first["structures"]) == {"rest", "lung", "vessel", "lesion"}


def test_images_alone_need_no_labels(hinterland: Invoke, study: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    hinterland("view", study / "data" / "imagesTs", "--out", page)
    assert len(_scenes(page)) == 4
    file = next((study / "data" / "imagesTs").iterdir())
    hinterland("view", file, "--out", page, "--overwrite")
    assert [s["structures"] for s in _scenes(page)] == [[]]


def test_pictures_have_contours_instead(
    hinterland: Invoke, runs: Path, phantoms: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    hinterland("view", runs / "binary", runs / "backsplit", "-n", 2, "--out", page)
    text = page.read_text()
    assert "viewer-scenes" not in text
    assert text.count('<svg viewBox="0 0 360 360" role="img"') == 2
    assert 'class="reference"' in text
    hinterland("view", phantoms, "--out", page, "--overwrite")
    assert page.read_text().count("data:image/jpeg") == 4


def test_nothing_is_replaced_unasked(hinterland: Invoke, study: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    refused = hinterland("view", study / "data", "--out", page, code=1)
    assert "--overwrite" in refused.stderr
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nothing at"),
        (["{data}", "--case", "nobody"], "has no case 'nobody'"),
        (["{runs}/supervised", "{data}"], "is no run"),
        (["{runs}/supervised", "--at", "nonsense"], "nonsense"),
        (["{data}", "{runs}"], "one data set at a time"),
    ],
)
def test_what_cannot_be_shown_is_said(
    hinterland: Invoke, study: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    given = [a.format(data=study / "data", runs=study / "runs") for a in arguments]
    refused = hinterland("view", *given, "--out", tmp_path / "page.html", code=1)
    assert words in refused.stderr
    assert not (tmp_path / "page.html").exists()


def test_only_one_kind_of_page_at_a_time(hinterland: Invoke, study: Path) -> None:
    hinterland("view", study / "data", "--augmented", "--preprocessed", code=2)
    hinterland("view", study / "data", study / "runs" / "supervised", "--augmented", code=2)


def test_a_run_without_predictions_points_to_watch(
    hinterland: Invoke, runs: Path, tmp_path: Path
) -> None:
    import shutil

    run = shutil.copytree(runs / "binary", tmp_path / "run")
    shutil.rmtree(run / "predictions")
    refused = hinterland("view", run, "--out", tmp_path / "page.html", code=1)
    assert "hinterland watch" in refused.stderr


@pytest.fixture
def server() -> Iterator[CaseServer]:
    rng = np.random.default_rng(0)
    volumes = {
        name: CaseVolumes(name, Volume(rng.normal(size=(1, 4, 6, 6)), np.eye(4)))
        for name in ("a", "b/../c <i>")
    }
    cases = ViewCases("all", "In order.", tuple(volumes), volumes.__getitem__)
    with CaseServer(cases) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join(timeout=10)


def _get(address: str, **headers: str) -> tuple[int, str]:
    try:
        with urlopen(Request(address, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_the_server_lists_its_cases_and_shows_them(server: CaseServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    status, listing = _get(server.address)
    assert status == 200
    links = re.findall(r'<a href="(/case/[^"]+)"', listing)
    assert links == ["/case/a", "/case/b%2F..%2Fc%20%3Ci%3E"]
    assert "<i>" not in listing
    for link in links:
        status, page = _get(server.address.rstrip("/") + link)
        assert status == 200
        assert "viewer-scenes" in page


def test_the_server_answers_to_nobody_else(server: CaseServer) -> None:
    assert _get(server.address, Host="evil.example:80")[0] == 403
    for place in ("case/nobody", "etc/passwd", "case/../../etc/passwd"):
        assert _get(server.address + place)[0] == 404


def test_a_port_that_is_taken_is_said(server: CaseServer) -> None:
    from hinterland.types import HinterlandError

    with pytest.raises(HinterlandError, match="Give another --port"):
        CaseServer(server.cases, server.server_address[1])


def test_cases_of_a_data_set_can_be_asked_coarser(study: Path) -> None:
    [case] = open_cases([study / "data"], at="lesion+vessel").chosen(["case00"], 1)
    assert case.at is not None
    assert case.at.names[case.at.foreground[0]] == "lesion+vessel"
