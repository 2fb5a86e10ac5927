"""Where scalars of a run go beside log.csv: TensorBoard, MLflow, Weights & Biases, or nowhere."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from hinterland.data.dataset.files import read_object
from hinterland.data.io.files import write_text
from hinterland.types import HinterlandError

log = logging.getLogger(__name__)

_IDENTITY = "tracking.json"
"""The file of a run that names its entry at a service, so that resuming goes on with that."""


class Tracker(Protocol):
    """Takes the scalars of a run."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars of a global step."""

    def flush(self) -> None:
        """Put everything on disk."""

    def close(self) -> None:
        """Let go of files and connections."""


class Nowhere:
    """Takes scalars and keeps none."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoard:
    """Event files in the folder `tensorboard` of a run, cut back to the step it goes on from."""

    def __init__(self, folder: Path, start: int) -> None:
        self._events = SummaryWriter(folder / "tensorboard", purge_step=start)

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars of a global step."""
        for key, value in values.items():
            self._events.add_scalar(key, value, step)

    def flush(self) -> None:
        """Put everything on disk."""
        self._events.flush()

    def close(self) -> None:
        """Close the event file."""
        self._events.close()


class Service:
    """A logger of Lightning's that talks to a service.

    A service that fails does not stop a training: log.csv holds everything. It is said once.

    Args:
        logger: Lightning's.
        named: what the service calls a scalar.
    """

    def __init__(self, logger: Any, named: Callable[[str], str] = str) -> None:
        self._logger: Any = logger
        self._named = named

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars of a global step, under the service's names."""
        named = {self._named(key): float(value) for key, value in values.items()}
        self._try(lambda logger: logger.log_metrics(named, step))

    def flush(self) -> None:
        """Do nothing: what was logged has been sent."""

    def close(self) -> None:
        """Tell the service that this process is done."""
        self._try(lambda logger: logger.finalize("success"))

    def _try(self, work: Callable[[Any], None]) -> None:
        if self._logger is None:
            return
        try:
            work(self._logger)
        except Exception as error:  # any: services raise what they like
            self._logger = None
            log.warning(
                "%s: %s. Nothing more is sent there; the training goes on, and log.csv holds "
                "everything.", type(error).__name__, error,
            )  # fmt: skip


def _mlflow(folder: Path) -> Tracker:
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger("hinterland", run_name=folder.name, run_id=_identity(folder, "mlflow"))
    if logger.run_id is not None:
        _remember(folder, "mlflow", logger.run_id)
    return Service(logger, mlflow_name)


def mlflow_name(key: str) -> str:
    """Return a name that MLflow takes, another one for every key.

    It knows ASCII letters, digits, "_", ".", "/" and blanks, and its files cannot hold val/dice
    beside val/dice/lesion.

    Examples:
        >>> mlflow_name("val/dice/GBM (x)")
        'val/dice.GBM _28x_29'
    """
    first, slash, rest = key.partition("/")
    text = first + slash + rest.replace("/", ".")
    return re.sub(r"[^A-Za-z0-9_. /]", lambda found: f"_{ord(found[0]):x}", text)


def _wandb(folder: Path) -> Tracker:
    from lightning.pytorch.loggers import WandbLogger

    known = _identity(folder, "wandb") or uuid.uuid4().hex[:10]
    _remember(folder, "wandb", known)
    return Service(
        WandbLogger(
            name=folder.name, save_dir=folder, id=known, project="hinterland", resume="allow"
        )
    )


_SERVICES: dict[str, Callable[[Path], Tracker]] = {"mlflow": _mlflow, "wandb": _wandb}
"""Setting -> how to open it; also the name of the package that it needs."""


def open_tracker(name: str, folder: Path, start: int = 0) -> Tracker:
    """Open what the setting `logger` names.

    Args:
        name: "tensorboard", "mlflow", "wandb" or "none".
        folder: of the run.
        start: the global step from which on is logged.

    Returns:
        The tracker.

    Raises:
        HinterlandError: its package is not installed, or it cannot be opened.
    """
    if name == "tensorboard":
        return TensorBoard(folder, start)
    if name == "none":
        return Nowhere()
    refuse_missing_logger(name)
    try:
        return _SERVICES[name](folder)
    except Exception as error:  # any: services raise what they like
        raise HinterlandError(
            f"logger {name}: {type(error).__name__}: {error}. Set up its address and key (for "
            "MLflow MLFLOW_TRACKING_URI, for Weights & Biases `wandb login`), or train with "
            "--set logger=tensorboard."
        ) from error


def refuse_missing_logger(name: str) -> None:
    """Refuse a logger whose package is not installed.

    Args:
        name: the setting `logger`.

    Raises:
        HinterlandError: it names the package.
    """
    if name in _SERVICES and find_spec(name) is None:
        raise HinterlandError(
            f"logger {name} needs the package {name}, which is not installed. Install it (pip "
            f"install {name}), or train with --set logger=tensorboard."
        )


def _identity(folder: Path, service: str) -> str | None:
    path = folder / _IDENTITY
    known = read_object(path).get(service) if path.is_file() else None
    return None if known is None else str(known)


def _remember(folder: Path, service: str, identity: str) -> None:
    if _identity(folder, service) != identity:
        write_text(folder / _IDENTITY, json.dumps({service: identity}) + "\n")
