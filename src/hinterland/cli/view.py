"""`hinterland view`: cases, patches and preprocessing, as a page to look at."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.options import JsonOption, LabelsOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.report.viewing.cases import ViewCases


@guarded
def view(
    what: Annotated[
        list[Path],
        typer.Argument(
            metavar="WHAT...",
            help="Runs of one data set, a data set, or images: files, a folder, or DICOM.",
        ),
    ],
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help="A case to show. Repeatable."),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option("--number", "-n", min=1, help="How many cases (4), or patches (12)."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="COARSENING", help="The question. Default: the target."),
    ] = None,
    augmented: Annotated[
        bool,
        typer.Option("--augmented", help="What training sees: patches, where drawn, augmented."),
    ] = False,
    preprocessed: Annotated[
        bool,
        typer.Option("--preprocessed", help="What the plan did: spacing, shape, grey values."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: view-NAME.html here.")
    ] = None,
    budget: Annotated[
        float,
        typer.Option("--budget", metavar="MB", min=0.1, help="Volumes in a page, as they lie."),
    ] = 12.0,
    opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Serve all cases to this machine's browser; write nothing."),
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="With --serve. Default: a free one.")
    ] = 0,
    labels: LabelsOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look at cases in 3D: image, reference, predictions and errors, in one offline page.

    Of a run, cases with the lowest Dice come first. 2D pictures are shown with contours. With
    --augmented or --preprocessed, WHAT is one data set or run, and the page shows its training
    cases.
    """
    from hinterland.data.io.files import write_text
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    _refuse_together(augmented, preprocessed, serve, len(what))
    target = out or Path(f"view-{_name(what[0])}.html")
    if not serve and target.exists() and not overwrite:
        raise HinterlandError(f"{target} exists already. Give --overwrite, or another --out.")
    if serve:
        from hinterland.report.viewing.cases import open_cases

        _serve(screen, open_cases(what, at, labels), port, int(budget * 1e6), opened)
        return
    if augmented or preprocessed:
        page, shown = _training_page(screen, what[0], labels, augmented, number)
    else:
        from hinterland.report.viewing.cases import open_cases
        from hinterland.report.viewing.page import view_page

        cases = open_cases(what, at, labels)
        screen.note("reading")
        chosen = cases.chosen(case or [], number or 4)
        page = view_page(cases.title, cases.about, chosen, int(budget * 1e6))
        shown = len(chosen)
    write_text(target, page)
    screen.say(f"written to {target} ({len(page.encode()) / 1e6:.1f} MB)")
    screen.result({"page": str(target), "shown": shown, "bytes": len(page.encode())})
    if opened:
        webbrowser.open(target.resolve().as_uri())


def _refuse_together(augmented: bool, preprocessed: bool, serve: bool, paths: int) -> None:
    if sum((augmented, preprocessed, serve)) > 1:
        raise typer.BadParameter("give one of --augmented, --preprocessed and --serve")
    if (augmented or preprocessed) and paths > 1:
        raise typer.BadParameter("--augmented and --preprocessed take one data set or run")


def _name(path: Path) -> str:
    from hinterland.data.io.formats import stem

    return stem(path) if path.is_file() else path.resolve().name


def _training_page(
    screen: Screen, path: Path, labels: Path | None, augmented: bool, number: int | None
) -> tuple[str, int]:
    from hinterland.report.viewing.augmented import augmented_page
    from hinterland.report.viewing.preprocessed import preprocessed_page
    from hinterland.report.viewing.training import open_training

    with screen.progress("measuring") as tick:
        seen = open_training(path, labels, tick)
        tick.stage("preparing")
        if augmented:
            shown = number or 12
            return augmented_page(seen, shown, tick), shown
        shown = min(number or 4, len(seen.cases))
        return preprocessed_page(seen, shown, tick), shown


def _serve(screen: Screen, cases: ViewCases, port: int, budget: int, opened: bool) -> None:
    from hinterland.report.viewing.serve import CaseServer

    with CaseServer(cases, port, budget) as server:
        screen.say(f"{len(cases.names)} cases at {server.address} (Ctrl+C ends it)")
        screen.result({"address": server.address, "cases": list(cases.names)})
        if opened:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            screen.note("ended")
