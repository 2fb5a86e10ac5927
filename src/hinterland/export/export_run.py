"""Give a run away: the model in a format of others, and its card."""

from __future__ import annotations

from pathlib import Path

from hinterland.data.io.files import write_text
from hinterland.export.folder import fresh_output
from hinterland.export.model_card import CARD, model_card
from hinterland.export.registry import EXPORTERS
from hinterland.training.runs.run import Run, Which
from hinterland.types import HinterlandError


def export_run(
    run: Run, out: Path, to: str, *, checkpoint: Which | None = None, overwrite: bool = False
) -> dict[str, int]:
    """Write the model of a run for other software, with a model card.

    The card lies in the folder that is made, or beside the file (NAME.model_card.md).

    Args:
        run: The run.
        out: The folder or file to make.
        to: The name of an exporter.
        checkpoint: "best" or "last"; None is the one that the run reports.
        overwrite: Replace what is there.

    Returns:
        Class -> the integer that stands for it in what the model predicts.

    Raises:
        HinterlandError: There is no such exporter, it cannot express the model, or `out` exists.
    """
    write = EXPORTERS.get(to)
    card = model_card(run, checkpoint, kind=to)
    beside = out.with_name(f"{out.stem}.{CARD}")
    _refuse_another(beside, card, overwrite)
    with fresh_output(out, overwrite) as temporary:
        labels = write(run, temporary, checkpoint=checkpoint, overwrite=False)
        write_text(temporary / CARD if temporary.is_dir() else beside, card)
    return labels


def _refuse_another(file: Path, card: str, overwrite: bool) -> None:
    """Refuse to replace a card with other content, which somebody may have completed by hand."""
    if file.exists() and not overwrite and file.read_text(encoding="utf-8") != card:
        raise HinterlandError(
            f"{file} exists already and says something else. Give --overwrite, or another path."
        )
