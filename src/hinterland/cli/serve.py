"""`hinterland serve`: a warm model behind a local address."""

from __future__ import annotations

from typing import Annotated

import typer

from hinterland.cli.options import (
    AcceleratorOption,
    AutoMirrorOption,
    BackendOption,
    CheckpointOption,
    FastOption,
    JsonOption,
    MirrorOption,
    PrecisionOption,
    RunArgument,
    mirroring,
    refuse_unknown_words,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def serve(
    run: RunArgument,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="COARSENING",
            help="What is asked: target, leaves, a question of labels.yaml, or an expression. "
            "Default: all that the model tells apart.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen at. There is no password: keep it local."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")
    ] = 8787,
    max_mb: Annotated[
        int, typer.Option("--max-mb", metavar="MB", min=1, help="Largest image, unpacked.")
    ] = 1024,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=1, help="For an upload, and in the queue."
        ),
    ] = 120.0,
    checkpoint: CheckpointOption = None,
    mirror: MirrorOption = None,
    auto_mirror: AutoMirrorOption = False,
    fast: FastOption = False,
    precision: PrecisionOption = None,
    accelerator: AcceleratorOption = None,
    backend: BackendOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a trained run in memory and segment what is sent to it, until Ctrl-C.

    POST a NIfTI file to /segment and get its segmentation; GET / says what the integers mean.
    For 3D Slicer see docs/serve.md.
    """
    from hinterland.inference.server import make_server
    from hinterland.inference.service import Limits, Service
    from hinterland.labels import group_values
    from hinterland.training.runs.run import Run

    screen = Screen(as_json)
    model = Run(run)
    record = model.record
    refuse_unknown_words(checkpoint, precision)
    question = record.spec.question(at) if at else model.method.cells
    question.over(model.method.cells)
    predictor = model.predictor(
        checkpoint,  # type: ignore[arg-type]
        accelerator=accelerator,
        precision=precision,
        mirror=mirroring(mirror, auto_mirror),
        fast=fast,
        backend=backend,
    )
    values = group_values(question, record.spec.default_scheme)
    service = Service(predictor, question, values, Limits(max_mb, timeout))
    with make_server(service, host, port) as server:
        address = f"http://{host}:{server.server_port}"
        screen.say(f"{run} answers at {address}/segment; Ctrl-C ends it.")
        screen.result({"address": address, **service.describe()})
        server.serve_forever()
