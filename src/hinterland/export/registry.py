"""Exporters by name, open to those of other packages (entry points `hinterland.exporters`).

An exporter of one's own is one function and one line:

```python
from hinterland.export.registry import EXPORTERS

def export(run, out, *, checkpoint=None, overwrite=False):
    ...
    return {"background": 0, "lesion": 1}

EXPORTERS.register("mine", export)
```
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from hinterland.export import monai, nnunet, onnx
from hinterland.types.registry import Registry

if TYPE_CHECKING:
    from hinterland.training.runs.run import Run


class Exporter(Protocol):
    """Writes a model that runs without Hinterland."""

    def __call__(
        self,
        run: Run,
        out: Path,
        *,
        checkpoint: Literal["best", "last"] | None = None,
        overwrite: bool = False,
    ) -> dict[str, int]:
        """Write the model of a run as the file or folder `out`.

        Returns:
            Class -> the integer that stands for it in what the model predicts.

        Raises:
            HinterlandError: the target cannot express the model, or `out` exists.
        """
        ...


EXPORTERS: Registry[Exporter] = Registry(
    "exporter",
    "hinterland.exporters",
    {"nnunet": nnunet.export, "onnx": onnx.export, "monai": monai.export},
)
