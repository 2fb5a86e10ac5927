"""A segmentation as a DICOM-SEG object that belongs to the series it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hinterland._version import __version__
from hinterland.data.dicom.files import library, quiet, read_header
from hinterland.data.dicom.series import Series
from hinterland.data.io.files import atomic_path
from hinterland.export.snomed import code_of
from hinterland.labels.codes import Code
from hinterland.types import HinterlandError


def write_dicom_seg(
    series: Series,
    labels: np.ndarray,
    values: Mapping[str, int],
    file: Path,
    *,
    codes: Mapping[str, Code] | None = None,
    model: str = "Hinterland",
) -> Path:
    """Write a segmentation: a segment for each class, on the slices of the series.

    Patient and study are those of the series, as the archive needs them: such a file is no more
    anonymous than the series.

    Args:
        series: What was segmented.
        labels: Integers (z, y, x) on its grid.
        values: Class -> its integer; the background is left out.
        file: The file to make.
        codes: Node -> code, of labels.yaml; else a table of common anatomy.
        model: What the algorithm is called.

    Returns:
        The file.

    Raises:
        HinterlandError: highdicom is not installed, the grids differ, or there is nothing to write.
    """
    hd = _highdicom()
    if labels.shape != series.shape:
        raise HinterlandError(
            f"{file}: the segmentation has the shape {labels.shape} (z, y, x), its series "
            f"{series.shape}. Expected one grid; predict the series itself."
        )
    with quiet():
        sources, order = _sources(series)
        segments = [
            _segment(hd, number, name, codes or {}, model)
            for number, name in enumerate(values, start=1)
        ]
        numbers = np.zeros(labels.shape, np.uint16 if len(values) > 255 else np.uint8)
        for number, value in enumerate(values.values(), start=1):
            numbers[labels == value] = number
        made = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=numbers[order],
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=hd.UID(),
            series_number=_number(sources[0]),
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="Hinterland",
            manufacturer_model_name=model[:64],
            software_versions=__version__,
            device_serial_number="0",
            series_description="Segmentation, not for clinical use",
            omit_empty_frames=bool(numbers.any()),
        )
    with atomic_path(file) as temporary:
        made.save_as(temporary)
    return file


def _highdicom() -> Any:
    library()
    try:
        import highdicom
        import highdicom.seg
    except ImportError as error:
        raise HinterlandError(
            "DICOM-SEG needs highdicom. Install it: pip install 'hinterland[dicom]'"
        ) from error
    return highdicom


def _sources(series: Series) -> tuple[list[Any], np.ndarray]:
    """Return the headers of the series, and the slice that each of their frames is."""
    files = list(dict.fromkeys(s.path for s in series.slices))
    if len(files) == len(series.slices):
        return [read_header(path) for path in files], np.arange(len(files))
    if len(files) > 1:
        raise HinterlandError(
            f"{series.name}: its slices lie in several multi-frame files, for which no DICOM-SEG "
            "is written. Leave --dicom-seg away."
        )
    header = read_header(files[0])
    if int(header.NumberOfFrames) != len(series.slices):
        raise HinterlandError(
            f"{series.name}: it is a part of its multi-frame file only, for which no DICOM-SEG is "
            "written. Leave --dicom-seg away."
        )
    return [header], np.argsort([s.frame for s in series.slices])


def _segment(hd: Any, number: int, name: str, codes: Mapping[str, Code], model: str) -> Any:
    from pydicom.sr.codedict import codes as known

    category, kind = (
        hd.sr.CodedConcept(c.value, c.scheme, c.meaning) for c in code_of(name, codes)
    )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=model[:64], family=known.DCM.ArtificialIntelligence, version=__version__
        ),
    )


def _number(source: Any) -> int:
    """Return a series number that others of the study will hardly have."""
    return int(source.get("SeriesNumber") or 0) % 1000 + 9000
