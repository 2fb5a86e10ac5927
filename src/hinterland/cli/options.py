"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from hinterland.cli.screen import Screen
    from hinterland.data.planning.plan_dataset import PlanOptions
    from hinterland.types import Dataset, Plan

DatasetArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET",
        help="Folder of a data set: nnU-Net's raw layout, or images/ and masks/.",
    ),
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory, as `hinterland train` made it.")
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="A labels.yaml outside the data set's folder: tree, schemes, target, patients.",
    ),
]
DimsOption = Annotated[
    int | None,
    typer.Option("--dims", min=2, max=3, help="2 or 3. Default: by spacing and number of slices."),
]
MemoryOption = Annotated[
    float,
    typer.Option(
        "--memory",
        metavar="GB",
        min=0.25,
        help="What a training step may take (GPU, mixed precision; a CPU takes about twice).",
    ),
]
PlannerOption = Annotated[
    str,
    typer.Option("--planner", help="`hinterland`, or `nnunet` (needs nnU-Net, best elsewhere)."),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option("--checkpoint", help="`best` or `last`. Default: the one the run reports."),
]
MirrorOption = Annotated[
    bool | None,
    typer.Option("--mirror/--no-mirror", help="Average over mirrored copies, or be faster."),
]
AutoMirrorOption = Annotated[
    bool,
    typer.Option(
        "--auto-mirror",
        help="Mirror only if the run has measured on validation cases that it pays: that Dice "
        "gains more than the standard error (hinterland analyse prediction RUN).",
    ),
]
FastOption = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Predict in full only where a sparse pass finds something; labels can differ. What "
        "it costs is in the run's summary.json.",
    ),
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="What computes the network on a CPU: torch, onnxruntime, openvino or "
        "openvino-int8 (see `hinterland quantise`). Default: torch.",
    ),
]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", help="auto, fp32, bf16 or fp16. Default: the run's.")
]
AcceleratorOption = Annotated[
    str | None, typer.Option("--accelerator", help="auto, cpu, cuda, mps. Default: the run's.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there already.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout; all else goes to stderr.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="Any setting of the runs. Repeatable."),
]
ResizeOption = Annotated[
    str | None,
    typer.Option("--resize", metavar="ROWSxCOLUMNS", help="All 2D pictures to this size."),
]
FixedStepsOption = Annotated[
    bool,
    typer.Option(
        "--fixed-steps",
        help="The same steps with novel cases as without, not the same epochs: base's cases are "
        "then seen less often.",
    ),
]
WarmStartOption = Annotated[
    float | None,
    typer.Option(
        "--warm-start", min=0, max=1, metavar="SHARE",
        help="Of the steps, a phase of its own without L_fd, in every arm. Default: the paper's "
        "0.571; 0 is one phase.",
    ),
]  # fmt: skip
QueueOption = Annotated[
    Path | None,
    typer.Option(
        "--queue", metavar="QUEUE",
        help="Let the workers of a queue train the runs (hinterland queue work QUEUE).",
    ),
]  # fmt: skip
StudyOutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for runs and results.")
]


def names(text: str | None) -> list[str]:
    """Split the text "a, b" into the list ["a", "b"]."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def numbers(text: str, option: str, expected: str, unit: str = "") -> tuple[float, ...]:
    """Split the text "1, 2.5" into numbers, each with its unit or not.

    Args:
        text: of the option.
        option: its name.
        expected: what a message says of it.
        unit: a sign that may stand behind a number.

    Returns:
        The numbers.

    Raises:
        HinterlandError: one is no number.
    """
    from hinterland.types import HinterlandError

    try:
        return tuple(float(part.rstrip(f" {unit}")) for part in names(text))
    except ValueError:
        raise HinterlandError(f"{option} {text}: expected {expected}.") from None


def held_out_fold(text: str) -> int | Literal["fixed"]:
    """Read the --fold of a study, which needs held-out cases; HinterlandError without any."""
    from hinterland.training.runs.request import parse_fold
    from hinterland.types import HinterlandError

    where = parse_fold(text)
    if where == "all":
        raise HinterlandError("--fold all: a study needs held-out cases; give a number or fixed.")
    return where


def size_of(text: str | None) -> tuple[int, int] | None:
    """Return the size (256, 256) that the text "256x256" means; HinterlandError for other text."""
    from hinterland.types import HinterlandError

    if text is None:
        return None
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise HinterlandError(f"--resize {text}: expected ROWSxCOLUMNS, such as 256x256.")
    return int(rows), int(columns)


def refuse_unknown_words(checkpoint: str | None, precision: str | None) -> None:
    """Raise HinterlandError for a --checkpoint or a --precision that there is not."""
    from hinterland.types import HinterlandError

    if checkpoint not in (None, "best", "last"):
        raise HinterlandError(f"--checkpoint {checkpoint}: expected best or last.")
    if precision not in (None, "auto", "fp32", "bf16", "fp16"):
        raise HinterlandError(f"--precision {precision}: expected auto, fp32, bf16 or fp16.")


def mirroring(mirror: bool | None, auto: bool) -> bool | Literal["auto"] | None:
    """Read --mirror, --no-mirror and --auto-mirror. HinterlandError for two of them."""
    from hinterland.types import HinterlandError

    if auto and mirror is not None:
        raise HinterlandError(
            "--auto-mirror decides what --mirror and --no-mirror say: give one of them."
        )
    return "auto" if auto else mirror


def plan_options(dims: int | None, memory: float, planner: str = "hinterland") -> PlanOptions:
    """Read --dims, --memory and --planner. HinterlandError for a planner that there is not."""
    from hinterland.data.planning.plan_dataset import PlanOptions

    return PlanOptions(dims_of(dims), memory, planner)


def dims_of(dims: int | None) -> Literal[2, 3] | None:
    """Read --dims, whose bounds the option itself checks."""
    return None if dims is None else 2 if dims == 2 else 3


def plan_for(screen: Screen, dataset: Dataset, options: PlanOptions) -> Plan:
    """Measure the data set, with a progress bar, and plan."""
    from hinterland.data.planning.plan_dataset import plan_dataset

    with screen.progress("measuring") as tick:
        return plan_dataset(dataset, options, progress=tick)
