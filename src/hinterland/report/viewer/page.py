"""The viewer as part of a page, and pages that hold nothing else."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from hinterland._version import __version__
from hinterland.report.viewer.scene import Scene

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src data: blob:; worker-src blob:; base-uri 'none'; "
    "form-action 'none'"
)
"""Content-Security-Policy of the pages: a browser then refuses every request to a network."""


@cache
def engine() -> str:
    """Return the script that draws volumes (NiiVue), gzip'd, as base64."""
    packed = files("hinterland.report.vendor") / "niivue" / "niivue.min.js.gz"
    return base64.b64encode(packed.read_bytes()).decode("ascii")


def viewer_context(scenes: Sequence[Scene], budget: int) -> dict[str, Any]:
    """Return what the templates `viewer.html` need.

    Args:
        scenes: the cases that can be chosen.
        budget: bytes that the volumes of all of them may take, to be stated.

    Returns:
        The variable `viewer`.
    """
    return {
        "scenes": [scene.content for scene in scenes],
        "engine": engine(),
        "budget_text": (
            f"Volumes take {sum(s.size for s in scenes) / 1e6:.1f} MB of this page, of "
            f"{budget / 1e6:g} MB that they may. Grey values are rounded to 256 steps."
        ),
    }


def render_view(title: str, lede: str, scenes: Sequence[Scene], budget: int) -> str:
    """Write a page with the viewer alone.

    Args:
        title: of the page.
        lede: a sentence below it.
        scenes: the cases that can be chosen.
        budget: see `viewer_context`.

    Returns:
        HTML that refers to nothing outside of itself.
    """
    return render_page("view.html", title=title, lede=lede, viewer=viewer_context(scenes, budget))


def render_page(template: str, **content: Any) -> str:
    """Fill a template of the report with content; every page gets date, version and policy."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("hinterland.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        date=datetime.date.today().isoformat(), version=__version__, policy=POLICY, **content
    )
