"""Plots as inline SVG that follow the page's theme: colours are CSS variables, text is text."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib wants real colours: these stand for CSS variables until the SVG is finished.
INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#05{i:02x}05" for i in range(1, 9))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"} | {
    colour: f"--series-{i}" for i, colour in enumerate(SERIES)
}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hinterland",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "lines.linewidth": 1.4,
    "font.size": 8,
}


def colour(index: int) -> str:
    """Return the colour of the index-th method (they repeat after eight)."""
    return SERIES[index % len(SERIES)]


def marker(index: int) -> str:
    """Return the marker of the index-th method: colour is never the only difference."""
    return MARKERS[index % len(MARKERS)]


class Panel:
    """One small figure with one pair of axes, and what it says to a screen reader.

    `points` draws a scatter whose points carry a tooltip each.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.axes: Axes = figure.subplots()
        self._titles: dict[str, Sequence[str]] = {}

    def points(self, x: Any, y: Any, titles: Sequence[str], series: int = 0, **style: Any) -> None:
        """Scatter the points of one method.

        Args:
            x: one number a point.
            y: one number a point.
            titles: what the page says of each point.
            series: number of the method, for colour and marker.
            style: options of matplotlib's `scatter`.
        """
        gid = f"points-{len(self._titles)}"
        options = {"s": 13, "alpha": 0.75, "linewidths": 0, "zorder": 3} | style
        drawn = self.axes.scatter(x, y, color=colour(series), marker=marker(series), **options)
        drawn.set_gid(gid)
        self._titles[gid] = titles

    def svg(self, key: str, label: str) -> str:
        """Return the inline SVG. `key` is unique on the page, `label` describes the plot."""
        buffer = io.StringIO()
        with _styled():
            self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        return _inline(buffer.getvalue(), key, label, self._titles)


@contextmanager
def panel(width: float = 3.7, height: float = 2.7) -> Iterator[Panel]:
    """Open a panel of width x height inches, to be drawn on inside the `with`."""
    from matplotlib.figure import Figure

    with _styled():
        yield Panel(Figure(figsize=(width, height), layout="constrained"))


@contextmanager
def _styled() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context(_STYLE):
        yield


def _inline(svg: str, key: str, label: str, titles: Mapping[str, Sequence[str]]) -> str:
    """Strip what a page does not need, scope the ids, set titles and theme colours."""
    for name, uri in (("", _SVG), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(name, uri)
    root = ElementTree.fromstring(svg)
    for child in list(root):
        if child.tag == f"{{{_SVG}}}metadata":
            root.remove(child)
    for gid, texts in titles.items():
        group = root.find(f".//*[@id='{gid}']")
        uses = [] if group is None else list(group.iter(f"{{{_SVG}}}use"))
        if len(uses) == len(texts):  # points outside of the axes are not drawn
            for use, text in zip(uses, texts, strict=True):
                ElementTree.SubElement(use, f"{{{_SVG}}}title").text = text
    _scope_ids(root, key)
    for element in root.iter():
        for name in {"d", "x", "y", "transform"} & element.attrib.keys():
            element.set(name, re.sub(r"(\d\.\d\d)\d+", r"\1", element.attrib[name]))
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"role": "img", "aria-label": label, "class": "plot"}
    text = ElementTree.tostring(root, encoding="unicode")
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    for colour_, variable in _VARIABLES.items():
        text = text.replace(colour_, f"var({variable})")
    return re.sub(r">\s+<", "><", text)


def _scope_ids(root: ElementTree.Element, key: str) -> None:
    """Keep only ids that something points at, under a prefix: several SVGs share one page."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    for element in root.iter():
        if element.get("id") in used:
            element.set("id", f"{key}-{element.get('id')}")
        else:
            element.attrib.pop("id", None)
        if _XLINK in element.attrib:
            element.set("href", f"#{key}-{element.attrib.pop(_XLINK)[1:]}")
        for name, value in element.attrib.items():
            if "url(#" in value:
                element.set(name, value.replace("url(#", f"url(#{key}-"))
