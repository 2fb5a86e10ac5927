"""One NIfTI file in, its segmentation out, within limits: what a server does with a request."""

from __future__ import annotations

import gzip
import math
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from hinterland.data.io.volume import Volume, read_volume, write_label
from hinterland.data.preprocessing.preprocess import geometry_of, preprocess
from hinterland.inference.restore import restored_labels
from hinterland.inference.volumes import Decoding, Predictor
from hinterland.labels import Coarsening
from hinterland.types import HinterlandError

CHUNK = 2**20
GZIP = b"\x1f\x8b"


class Refusal(Exception):
    """An answer other than a segmentation: the HTTP status, and what is wrong in one sentence."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    `megabytes`: of the upload, of what it unpacks to, and of its voxels in float32, as stored and
    on the network's grid. `seconds`: for sending it, and for waiting until others are predicted.
    `requests`: that are in the house at a time.
    """

    megabytes: int = 1024
    seconds: float = 120.0
    requests: int = 8

    @property
    def size(self) -> int:
        """Bytes."""
        return self.megabytes * 2**20


@dataclass(frozen=True)
class Service:
    """A warm model that answers one question about images, one at a time.

    Args:
        predictor: the model.
        at: the question.
        values: the integer written for each group of `at`.
        limits: of a request.
    """

    predictor: Predictor
    at: Coarsening
    values: Mapping[str, int]
    limits: Limits = field(default_factory=Limits)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def segment(self, folder: Path) -> Path:
        """Segment FOLDER/upload, which may be anything at all.

        Args:
            folder: a private folder that the caller removes.

        Returns:
            The label file in the same folder, .nii.gz, on the image's grid.

        Raises:
            Refusal: the upload is no image that this model can segment, or is too large.
        """
        image = self._unpacked(folder / "upload", folder / "image.nii")
        try:
            volume = read_volume(image)
            self._refuse_large(volume)
            array, _, geometry = preprocess(volume, self.predictor.plan)
        except HinterlandError as error:
            text = str(error).replace(str(image), "the image")
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, text) from None
        image.unlink()
        question = Decoding(self.at, self.values).channels()
        if not self._turn.acquire(timeout=self.limits.seconds):
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "busy with other images; try again.")
        try:
            slabs = self.predictor.slabs(array, self.at)
            (label,) = restored_labels(slabs, geometry, [question])
        except HinterlandError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        finally:
            self._turn.release()
        return write_label(folder / "segmentation.nii.gz", label, like=volume)

    def _unpacked(self, upload: Path, image: Path) -> Path:
        """Write the upload, unpacked if it is gzip, under a name of ours; refuse a bomb."""
        with upload.open("rb") as raw:
            packed = raw.read(len(GZIP)) == GZIP
        if not packed:
            return upload.rename(image)
        try:
            with gzip.open(upload) as source, image.open("wb") as target:
                self._copy(source, target)
        except (OSError, EOFError, zlib.error) as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the gzip data is broken: {error}.") from None
        upload.unlink()
        return image

    def _copy(self, source: gzip.GzipFile, target: BinaryIO) -> None:
        left = self.limits.size
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise self.too_large("the image unpacks to")
            target.write(chunk)

    def _refuse_large(self, volume: Volume) -> None:
        """Refuse before anything is made of it: a tiny file may claim voxels of a metre."""
        if 4 * volume.array.size > self.limits.size:
            raise self.too_large("the image's voxels take")
        plan = self.predictor.plan
        if len(volume.array) != len(plan.channels):
            return  # `preprocess` says so
        shape = geometry_of(volume.array, volume.spacing, plan).shape
        if 4 * len(volume.array) * math.prod(shape) > self.limits.size:
            raise self.too_large("at the model's voxel size the image takes")

    def too_large(self, what: str) -> Refusal:
        """Return the refusal of what is too large.

        Args:
            what: begins the sentence.

        Returns:
            Something to raise.
        """
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{what} more than the {self.limits.megabytes} MiB that this server allows "
            "(hinterland serve --max-mb).",
        )

    def describe(self) -> dict[str, object]:
        """Return what a client has to know, in JSON's types."""
        plan = self.predictor.plan
        return {
            "labels": dict(self.values),
            "channels": list(plan.channels),
            "dims": plan.dims,
            "max_megabytes": self.limits.megabytes,
        }
