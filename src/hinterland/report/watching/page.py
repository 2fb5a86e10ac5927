"""How a run is doing as a page that loads itself again while the run goes on."""

from __future__ import annotations

import pandas as pd

from hinterland.report.plots.figures import plot_curves
from hinterland.report.viewer.page import render_page
from hinterland.report.watching.frame import clock
from hinterland.report.watching.state import WatchState

_CURVES = {"train/loss": "training loss", "val/dice": "validation Dice"}


def watch_page(state: WatchState, pictures: list[dict[str, str]], every: float) -> str:
    """Write the page of one moment.

    Args:
        state: the run.
        pictures: of `validation_overlay`.
        every: seconds after which a browser loads it again, while the run goes on.

    Returns:
        HTML that refers to nothing outside of itself.
    """
    from markupsafe import Markup

    told = state.progress
    cards = [("step", f"{state.step} of {state.steps}", f"phase {state.phase}")]
    if state.validation:
        step, dice = state.validation[-1]
        cards.append(("validation Dice", f"{dice:.3f}", f"at step {step}"))
    if told and told.left is not None and state.state == "running":
        cards.append((told.stage, f"{clock(told.left)} left", f"{told.speed:.3g} a second"))
    took = state.took_off
    cards.append(("take-off", "not yet" if took is None else f"step {took}",
                  "validation Dice at a tenth of its best"))  # fmt: skip
    curves = {}
    for key, title in _CURVES.items():
        points = state.curve(key)
        if len(points) > 1:
            curves[title] = pd.Series(dict(points), dtype=float)
    return render_page(
        "watch.html",
        title=f"{state.run.resolve().name}: {state.state}",
        lede=f"Method {state.method}, in {state.run}.",
        refresh=max(1, round(every)) if state.state == "running" else None,
        share=100 * min(1.0, state.step / max(state.steps, 1)),
        cards=[{"what": a, "big": b, "rest": c} for a, b, c in cards],
        figures=[Markup(plot_curves({state.method: [values]}, title, f"curve-{i}"))
                 for i, (title, values) in enumerate(curves.items())],
        classes=[{"name": name, "last": f"{last:.3f}", "best": f"{best:.3f}"}
                 for name, (last, best) in state.by_class.items()],
        pictures=pictures,
    )  # fmt: skip
