"""One frame of `hinterland watch` for a terminal."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from hinterland.report.watching.curve import braille
from hinterland.report.watching.state import WatchState

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLOURS = {"finished": "green", "running": "cyan", "stopped": "yellow"}
_ADVICE = {"stopped": "go on with: hinterland resume {run}"}


def frame(state: WatchState, width: int = 100) -> RenderableType:
    """Draw how a run is doing: where it stands, its curves, and Dice by class.

    Args:
        state: the run at one moment.
        width: characters.

    Returns:
        Something for a console of rich to print.
    """
    from rich.console import Group
    from rich.text import Text

    head = Text()
    head.append(_visible(str(state.run)), style="bold")
    head.append(f"  {_visible(state.method)}  ")
    head.append(state.state, style=_COLOURS[state.state])
    if state.state in _ADVICE:
        head.append("  " + _ADVICE[state.state].format(run=_visible(str(state.run))), style="dim")
    parts: list[RenderableType] = [head, Text(_where(state)), Text(_bar(state, width))]
    half = max(20, min(60, (width - 22) // 2 if width >= 90 else width - 14))
    panels = [
        _panel("training loss", state.curve("train/loss"), state.step, half),
        _panel("validation Dice", state.validation, state.step, half, (0.0, 1.0)),
    ]
    if width >= 90:
        pairs = zip(*panels, strict=True)
        parts += [Text(f"{a:<{half + 10}}  {b}", no_wrap=True) for a, b in pairs]
    else:
        parts += [Text(line, no_wrap=True) for panel in panels for line in panel]
    parts += [Text(line) for line in _classes(state)]
    return Group(*parts)


def _where(state: WatchState) -> str:
    number = state.phases.index(state.phase) + 1 if state.phase in state.phases else 1
    parts = [f"phase {state.phase} ({number} of {len(state.phases)})"]
    told = state.progress
    if told is not None and state.state == "running":
        parts.append(f"{told.stage}, {told.done} of {told.total}")
        if told.speed:
            parts.append(f"{told.speed:.3g} a second")
        if told.left is not None and told.total:
            parts.append(f"{clock(told.left)} left")
    elif told is not None and told.speed and state.state == "stopped":
        parts.append(f"last heard of while {told.stage}, {told.done} of {told.total}")
    took = state.took_off
    parts.append("not taken off yet" if took is None else f"took off at step {took}")
    return " · ".join(parts)


def _bar(state: WatchState, width: int) -> str:
    share = min(1.0, state.step / max(state.steps, 1))
    text = f" step {state.step} of {state.steps} ({100 * share:.0f} %)"
    room = max(10, min(width, 100) - len(text))
    full = round(share * room)
    return "█" * full + "░" * (room - full) + text


def _panel(
    title: str,
    points: list[tuple[int, float]],
    steps: int,
    width: int,
    limits: tuple[float, float] | None = None,
) -> list[str]:
    """Draw a titled curve with its limits on the left, as lines of equal number."""
    height = 7
    if not points:
        return [title, *([" " * 9 + "nothing logged yet"] + [""] * height)]
    values = [y for _, y in points]
    low, high = limits or (min(values), max(values))
    lines = braille(points, width, height, x_range=(0, max(steps, 1)), y_range=(low, high))
    marks = {0: high, height - 1: low}
    shown = [f"{_short(marks[i]) if i in marks else '':>8} {line}" for i, line in enumerate(lines)]
    return [f"{title}: {_short(values[-1])} at step {points[-1][0]}", *shown,
            f"{'':>9}0{max(steps, 1):>{width - 1}}"]  # fmt: skip


def _classes(state: WatchState) -> list[str]:
    found = {_visible(name): values for name, values in state.by_class.items()}
    if not found:
        return []
    wide = max(len("class"), *(len(name) for name in found))
    lines = [f"{'class':<{wide}}  last   best"]
    for name, (last, best) in found.items():
        lines.append(f"{name:<{wide}}  {_short(last):<5}  {_short(best)}")
    return lines


def _visible(text: str) -> str:
    """Replace what would command a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _short(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "none"


def clock(seconds: float) -> str:
    """Write a time as a person would: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
