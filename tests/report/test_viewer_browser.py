"""The 3D viewer in headless Chromium: slices, layers, errors, keys, without a network."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import ARROW_UP, PHONE, Browser
from factories import spec_of
from PIL import Image
from report_study import make_study

from hinterland.data.io.volume import Volume
from hinterland.evaluation.masks import encode
from hinterland.report.compare import compare
from hinterland.report.viewer.page import render_view
from hinterland.report.viewer.scene import CaseVolumes, make_scene, make_scenes
from hinterland.report.viewing.cases import ViewCases
from hinterland.report.viewing.serve import CaseServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

READY = "return document.getElementById('viewer').dataset.ready"
SLICE = "return Number(document.getElementById('viewer').dataset.slice)"
COLOURED = "return Number(document.getElementById('viewer').dataset.coloured)"
SHOW = "return document.getElementById('viewer').dataset.show"

WHEEL = """
  const canvas = document.querySelector('#viewer canvas'), box = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: 100, bubbles: true, cancelable: true,
    clientX: box.left + box.width / 4, clientY: box.top + box.height / 2}));
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    return compare(make_study(folder, cases=4), folder / "out").report


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("desktop"))
    yield browser
    browser.close()


def _open(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.getElementById('viewer').scrollIntoView()")
    browser.until(READY)


def _choose(browser: Browser, part: str, value: str) -> None:
    browser.run(
        "const s = document.querySelector(`[data-part=${arguments[0]}] select`);"
        "s.value = arguments[1]; s.dispatchEvent(new Event('change'))", part, value,
    )  # fmt: skip


def _stage(browser: Browser) -> np.ndarray:
    """Return the pixels of the canvas as a screenshot shows them."""
    box = browser.run(
        "const b = document.querySelector('#viewer canvas').getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom].map(v => v * devicePixelRatio)"
    )
    picture = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
    return np.asarray(picture.crop(tuple(map(int, box)))).astype(int)


def _colourful(pixels: np.ndarray) -> int:
    return int((pixels.max(axis=-1) - pixels.min(axis=-1) > 40).sum())


def test_starts_when_it_comes_into_view_and_asks_nobody(desktop: Browser, report: Path) -> None:
    desktop.open(report)
    assert desktop.run(READY) is None
    _open(desktop, report)
    loaded = desktop.run("return performance.getEntriesByType('resource').map(r => r.name)")
    assert [n for n in loaded if not n.startswith(("data:", "blob:"))] == []
    refused = desktop.run("return fetch('https://example.org').then(() => 'sent', () => 'refused')")
    assert refused == "refused"  # the page's own policy; the log says so
    assert all("Content Security Policy" in line for line in desktop.console())


def test_wheel_and_keys_move_through_the_slices(desktop: Browser, report: Path) -> None:
    _open(desktop, report)
    first = _stage(desktop)
    at = desktop.run(SLICE)
    assert (first.max(axis=-1) > 60).mean() > 0.1  # there is a picture
    desktop.keys("#viewer canvas", ARROW_UP)
    assert desktop.run(SLICE) == at + 1
    desktop.run(WHEEL)
    desktop.until(SLICE + f" !== {at + 1}")
    after = desktop.run(SLICE)
    assert abs(after - at - 1) == 1
    assert (_stage(desktop) != first).any()
    desktop.run("document.activeElement.blur()")
    desktop.run(WHEEL)  # without the focus, the wheel is the page's
    assert desktop.run(SLICE) == after
    desktop.run("const s = document.querySelector('[data-part=slice]'); s.value = 2;"
                "s.dispatchEvent(new Event('input'))")  # fmt: skip
    assert desktop.run(SLICE) == 2


def test_layers_are_shown_and_hidden(desktop: Browser, report: Path) -> None:
    _open(desktop, report)
    _choose(desktop, "show", "masks")
    desktop.until(SHOW + " === 'masks'")
    everything, pixels = desktop.run(COLOURED), _colourful(_stage(desktop))
    desktop.click("[data-mask=reference]")
    desktop.until(COLOURED + f" !== {everything}")
    desktop.click("[data-mask=prediction0]")
    desktop.click("[data-mask=prediction1]")
    desktop.until(COLOURED + " === 0")
    assert _colourful(_stage(desktop)) < pixels


def test_errors_are_coloured_by_structure(desktop: Browser, report: Path) -> None:
    _open(desktop, report)
    assert desktop.run(SHOW) == "errors1"  # the second method's, to begin with
    legend = "return document.querySelector('#viewer .legend').textContent"
    desktop.run("document.querySelector('[data-part=case] select').selectedIndex")
    texts = []
    for method in ("errors0", "errors1"):
        _choose(desktop, "show", method)
        desktop.until(SHOW + f" === '{method}'")
        texts.append(desktop.run(legend))
    for text in texts:
        assert "found," in text
        assert "missed," in text
        assert "mL" in text
        assert ", taken for lesion:" in text
    assert texts[0] != texts[1]
    coloured = desktop.run(COLOURED)
    assert coloured > 0
    shown = _colourful(_stage(desktop))
    _choose(desktop, "show", "nothing")
    desktop.until(COLOURED + " === 0")
    assert _colourful(_stage(desktop)) < shown


def test_every_control_has_a_key(desktop: Browser, report: Path) -> None:
    _open(desktop, report)
    canvas = "#viewer canvas"
    value = "return document.querySelector('[data-part={}]').value"
    opacity, width = desktop.run(value.format("opacity")), desktop.run(value.format("width"))
    desktop.keys(canvas, "+[z")
    assert desktop.run(value.format("zoom")) == "1.25"
    assert float(desktop.run(value.format("opacity"))) == float(opacity) + 10
    desktop.until(value.format("width") + f" < {width}")
    pressed = "return document.querySelector('[data-plane][aria-pressed=true]').textContent"
    for key, plane in zip("12354", ("axial", "coronal", "sagittal", "3D", "all"), strict=True):
        desktop.keys(canvas, key)
        assert desktop.run(pressed) == plane
    desktop.keys(canvas, "e")
    desktop.until(SHOW + " !== 'errors1'")
    desktop.keys(canvas, "r")
    desktop.until(SHOW + " === 'masks'")
    desktop.keys(canvas, "0")
    assert desktop.run(value.format("opacity")) == opacity
    desktop.until(value.format("width") + f" === '{width}'")


def test_another_case_is_another_volume(desktop: Browser, report: Path) -> None:
    _open(desktop, report)
    first = desktop.run(READY)
    _choose(desktop, "case", "1")
    desktop.until(READY + f" !== {first!r}")
    assert desktop.run("return document.querySelector('#viewer .remark').textContent").startswith(
        "Dice:"
    )


def test_position_names_the_structure_whatever_the_orientation(
    desktop: Browser, tmp_path: Path
) -> None:
    spec = spec_of(
        tree={"background": {"lung": {}, "rest": {}}, "lesion": {}}, target=["lesion"],
        schemes={"full": {0: "rest", 1: "lung", 2: "lesion"}},
    )  # fmt: skip
    labels = np.zeros((10, 20, 30), np.uint8)
    labels[2:5, 3:6, 20:24] = 2
    labels[7, 15:, :8] = 1
    affine = np.array([[0, -1.5, 0, 40], [-1, 0, 0, 12], [0, 0, -2.0, 9], [0, 0, 0, 1]])
    reference = encode(labels, spec.scheme("full").label_values, spec.tree.leaves, "labels")
    volume = Volume((labels * 100.0)[None] + np.arange(30), affine)
    page = tmp_path / "page.html"
    case = CaseVolumes("turned", volume, spec.target, reference)
    page.write_text(render_view("turned", "", [make_scene(case, 10**6)], 10**6))
    _open(desktop, page)
    desktop.until("return document.querySelector('[data-part=where]').textContent"
                  ".includes('reference: lesion')")  # fmt: skip


def test_served_cases_are_reached_from_the_list(desktop: Browser) -> None:
    rng = np.random.default_rng(0)
    names = ("first", "second <b>%/?#")
    volumes = {n: CaseVolumes(n, Volume(rng.normal(size=(1, 6, 8, 8)), np.eye(4))) for n in names}
    cases = ViewCases("all", "In order.", names, volumes.__getitem__)
    with CaseServer(cases) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            desktop.visit(server.address)
            desktop.click("li:last-child a")
            assert desktop.until(READY) == names[1]
            assert desktop.console() == []
        finally:
            server.shutdown()
            thread.join(timeout=10)


def test_hostile_names_are_text_in_the_viewer(desktop: Browser, tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script><img src=x onerror=alert(2)>${7*7}"
    spec = spec_of(tree={name: {}, "rest": {}}, target=[name],
                   schemes={"full": {0: "rest", 1: name}})  # fmt: skip
    labels = np.zeros((6, 8, 8), np.uint8)
    labels[2:4, 2:5, 2:5] = 1
    reference = encode(labels, spec.scheme("full").label_values, spec.tree.leaves, "labels")
    said = np.where(labels[::-1] == 1, spec.target.foreground[0], spec.target.background)
    case = CaseVolumes(name, Volume(labels[None] * 1.0, np.eye(4)), spec.target, reference,
                       {name: said.astype(np.uint8)})  # fmt: skip
    page = tmp_path / "page.html"
    other = CaseVolumes("other", Volume(labels[None] * 1.0, np.eye(4)))
    page.write_text(render_view(name, name, make_scenes([case, other], 10**6), 10**6))
    _open(desktop, page)
    assert desktop.run(READY) == name
    for show in ("errors0", "masks", "structures"):
        _choose(desktop, "show", show)
        desktop.until(SHOW + f" === '{show}'")
    assert (
        desktop.run("return document.querySelectorAll('#viewer img, #viewer script').length") == 0
    )
    assert name in desktop.run("return document.querySelector('#viewer select').textContent")
    assert desktop.console() == []


def test_without_webgl_there_is_a_message(tmp_path: Path, report: Path) -> None:
    browser = Browser(tmp_path, flags=("--disable-3d-apis",))
    try:
        browser.open(report)
        text = browser.run("return document.querySelector('#viewer .message').innerText")
        assert "no WebGL 2" in text
        assert browser.run("return document.querySelector('#viewer .bar').offsetHeight") == 0
        assert browser.run("return document.querySelectorAll('.picture image').length") > 6
        assert browser.console() == []
    finally:
        browser.close()


def test_fits_a_phone_and_can_be_read(tmp_path: Path, report: Path) -> None:
    phone = Browser(tmp_path, PHONE)
    try:
        _open(phone, report)
        width, inner = phone.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner == 375
        assert _colourful(_stage(phone)) > 0
        heights = phone.run(
            "return [...document.querySelectorAll('#viewer button, #viewer select')]"
            ".filter(e => e.offsetHeight).map(e => e.offsetHeight)"
        )
        assert min(heights) >= 24  # what a finger hits (WCAG 2.2, target size)
    finally:
        phone.close()


def test_text_of_the_viewer_has_contrast(desktop: Browser, report: Path) -> None:
    _open(desktop, report)
    ratios = """
      const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => {
        v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
        return .2126 * r + .7152 * g + .0722 * b; };
      const paper = e => { for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor;
        if (c !== 'rgba(0, 0, 0, 0)') return light(c); } return 1; };
      return ['.bar label', 'select', '.planes button', '[aria-pressed=true]', '.remark', '.note',
        '.sliders label', '.legend li', 'summary'].map(s => {
        const e = document.querySelector('#viewer ' + s);
        const [a, b] = [light(getComputedStyle(e).color), paper(e)];
        return [s, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; });
    """
    for theme in ("light", "dark"):
        desktop.run("document.documentElement.dataset.theme = arguments[0]", theme)
        for selector, ratio in desktop.run(ratios):
            assert ratio >= 4.5, (theme, selector, ratio)
