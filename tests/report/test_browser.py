"""The report in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import ARROW_RIGHT, PHONE, SPACE, Browser
from report_study import make_study

from hinterland.report.compare import compare

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    return compare(make_study(folder, cases=6), folder / "out").report


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("desktop"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("phone"), PHONE)
    yield browser
    browser.close()


def test_opens_from_file_without_console_error(desktop: Browser, report: Path) -> None:
    desktop.open(report)
    loaded = "return performance.getEntriesByType('resource').map(r => r.name)"
    outside = [n for n in desktop.run(loaded) if not n.startswith("data:")]
    assert outside == []
    pictures = desktop.run("return document.querySelectorAll('.picture image').length")
    assert pictures > 6
    assert desktop.console() == []


def test_theme_follows_the_system_and_the_button(desktop: Browser, report: Path) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    axis = "return getComputedStyle(document.querySelector('svg.plot text')).fill"
    desktop.cdp("Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": "dark"}])  # fmt: skip
    desktop.open(report)
    desktop.run("localStorage.clear()")
    desktop.open(report)
    dark, dark_axis = desktop.run(paper), desktop.run(axis)
    desktop.click("#theme")
    light, light_axis = desktop.run(paper), desktop.run(axis)
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    assert dark_axis != light_axis
    assert desktop.run("return document.getElementById('theme').textContent") == "Dark theme"
    desktop.open(report)  # the choice is kept
    assert desktop.run(paper) == light
    desktop.run("localStorage.clear()")
    assert desktop.console() == []


def test_slider_moves_with_the_keyboard(desktop: Browser, report: Path) -> None:
    desktop.open(report)
    shown = (
        "const e = document.querySelector('.exhibit');"
        "const f = [...e.querySelectorAll('.picture svg')];"
        "return [f.findIndex(s => !s.hidden && getComputedStyle(s).display !== 'none'),"
        " f.filter(s => getComputedStyle(s).display !== 'none').length,"
        " e.querySelector('output').textContent, f.length]"
    )
    desktop.run(
        "const i = document.querySelector('.exhibit input'); i.value = 0;"
        "i.dispatchEvent(new Event('input'))"
    )
    first, visible, text, count = desktop.run(shown)
    assert (first, visible) == (0, 1)
    assert count > 1
    desktop.keys(".exhibit input", ARROW_RIGHT)
    second, visible, moved, _ = desktop.run(shown)
    assert (second, visible) == (1, 1)
    assert moved != text
    assert desktop.console() == []


def test_contours_can_be_hidden(desktop: Browser, report: Path) -> None:
    desktop.open(report)
    display = "return getComputedStyle(document.querySelector('.picture path.reference')).display"
    assert desktop.run(display) == "inline"
    desktop.click("[data-layer=reference]")
    assert desktop.run(display) == "none"
    desktop.keys("[data-layer=reference]", SPACE)
    assert desktop.run(display) == "inline"


def test_text_has_contrast_in_both_themes(desktop: Browser, report: Path) -> None:
    desktop.open(report)
    ratios = """
      const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => {
        v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
        return .2126 * r + .7152 * g + .0722 * b; };
      const paper = light(getComputedStyle(document.body).backgroundColor);
      const of = s => { const l = light(getComputedStyle(document.querySelector(s)).color);
        return (Math.max(l, paper) + .05) / (Math.min(l, paper) + .05); };
      return ['body', '.note', 'nav a', '.remarks b', 'th', '.ci'].map(s => [s, of(s)]);
    """
    for theme in ("light", "dark"):
        desktop.run("document.documentElement.dataset.theme = arguments[0]", theme)
        for selector, ratio in desktop.run(ratios):
            assert ratio >= 4.5, (theme, selector, ratio)


def test_print_is_on_white_without_controls(desktop: Browser, report: Path) -> None:
    desktop.open(report)
    desktop.run("document.documentElement.dataset.theme = 'dark'")
    desktop.cdp("Emulation.setEmulatedMedia", media="print")
    try:
        paper = desktop.run("return getComputedStyle(document.body).backgroundColor")
        shown = desktop.run(
            "return ['nav', '#theme', '.slider input', '.controls']"
            ".filter(s => getComputedStyle(document.querySelector(s)).display !== 'none')"
        )
    finally:
        desktop.cdp("Emulation.setEmulatedMedia", media="")
    assert paper == "rgb(255, 255, 255)"
    assert shown == []


def test_nothing_overflows_on_a_phone(phone: Browser, report: Path) -> None:
    phone.open(report)
    width, inner = phone.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= inner == 375
    wide = phone.run(
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, svg')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    text = phone.run(
        "return Math.min(...[...document.querySelectorAll('svg.plot')].filter(s => s.clientWidth)"
        ".map(s => 7.5 * s.clientWidth / s.viewBox.baseVal.width))"
    )
    assert text >= 6.9  # CSS pixels of the smallest label
    assert phone.console() == []
