"""`--planner nnunet`: nnU-Net's own planner, in an environment of its own, read as our plan.

nnU-Net pulls a torchvision that breaks Lightning beside a CPU build of torch, so it is called as a
subprocess. The interpreter is that of HINTERLAND_NNUNET_PYTHON, else this one if nnunetv2 is here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hinterland.data.io.files import dataset_hash
from hinterland.data.io.volume import file_ending
from hinterland.data.planning.fingerprint import training_cases
from hinterland.data.planning.plan import SLICES_FOR_3D
from hinterland.types import Case, Dataset, HinterlandError, NetworkPlan, Normalisation, Plan

INTERPRETER = "HINTERLAND_NNUNET_PYTHON"
_NUMBER = 1  # of the data set in the temporary nnU-Net folder
_NAME = f"Dataset{_NUMBER:03d}_hinterland"


def plan_with_nnunet(
    dataset: Dataset,
    dims: Literal[2, 3] | None = None,
    memory_gb: float = 8.0,
    cases: Sequence[Case] | None = None,
    workers: int = 2,
) -> Plan:
    """Let nnU-Net extract its fingerprint from the labelled cases and plan.

    Args:
        dataset: the data set.
        dims: 2 or 3; None decides as `make_plan` does.
        memory_gb: what a training step may take of a GPU.
        cases: those that are planned from; default, `training_cases(dataset)`.
        workers: processes that read files.

    Returns:
        The plan.

    Raises:
        HinterlandError: there is no nnU-Net, no labelled case, or nnU-Net fails.
    """
    chosen = tuple(cases) if cases is not None else training_cases(dataset)
    return translate(
        nnunet_plans(dataset, memory_gb, chosen, workers),
        channels=dataset.channels,
        fingerprint=dataset_hash(dataset, chosen),
        spacing_known=dataset.spacing_known,
        dims=dims,
        memory_gb=memory_gb,
    )


def nnunet_plans(
    dataset: Dataset, memory_gb: float, cases: Sequence[Case], workers: int = 2
) -> dict[str, Any]:
    """Return what nnU-Net writes into its plans.json, with all configurations.

    It works on links in a temporary folder: the data set may be read-only and in any layout.

    Args:
        dataset: the data set.
        memory_gb: what a training step may take of a GPU.
        cases: those that are planned from; unlabelled ones are left out.
        workers: processes that read files.

    Returns:
        The content of plans.json.

    Raises:
        HinterlandError: there is no nnU-Net, no labelled case, or nnU-Net fails.
    """
    interpreter = nnunet_interpreter()
    labelled = [case for case in cases if case.label is not None]
    if not labelled:
        raise HinterlandError(
            "nnU-Net plans from labelled cases only and there is none. Use --planner hinterland."
        )
    with tempfile.TemporaryDirectory(prefix="hinterland-nnunet-") as temporary:
        root = Path(temporary)
        _link(root / "raw" / _NAME, dataset, labelled)
        known = "1" if dataset.spacing_known else "0"
        script = Path(__file__).with_name("nnunet_script.py")
        command = [interpreter, str(script), str(_NUMBER), str(workers), str(memory_gb), known]
        folders = {
            "nnUNet_raw": "raw", "nnUNet_preprocessed": "preprocessed", "nnUNet_results": "results"
        }  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {key: str(root / name) for key, name in folders.items()}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
        except OSError as error:
            raise HinterlandError(f"nnU-Net's planner could not be run: {error}") from error
        if done.returncode:
            tail = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise HinterlandError(f"nnU-Net's planner failed (exit {done.returncode}):\n{tail}")
        plans: dict[str, Any] = json.loads(
            (root / "preprocessed" / _NAME / "nnUNetPlans.json").read_text()
        )
    return plans


def nnunet_interpreter() -> str:
    """Return the Python that can import nnunetv2.

    Raises:
        HinterlandError: there is none; the message says how to get one.
    """
    chosen = os.environ.get(INTERPRETER)
    if chosen:
        if not Path(chosen).is_file():
            raise HinterlandError(f"{INTERPRETER} names {chosen}, which is not there. Correct it.")
        return chosen
    if importlib.util.find_spec("nnunetv2"):
        return sys.executable
    raise HinterlandError(
        "--planner nnunet needs nnU-Net, best in an environment of its own: python -m venv nn; "
        f"nn/bin/pip install torch nnunetv2; export {INTERPRETER}=$PWD/nn/bin/python. Or install "
        "hinterland[nnunet] into this one."
    )


def translate(
    plans: dict[str, Any],
    channels: tuple[str, ...],
    fingerprint: str,
    spacing_known: bool = True,
    dims: Literal[2, 3] | None = None,
    memory_gb: float = 8.0,
) -> Plan:
    """Translate nnU-Net's plans.json, configuration 2d or 3d_fullres, into our plan.

    Args:
        plans: the content of plans.json.
        channels: names of the data set's channels.
        fingerprint: hash of the data set.
        spacing_known: whether distances are in mm.
        dims: 2 or 3; None decides as `make_plan` does.
        memory_gb: what was planned for.

    Returns:
        The plan.

    Raises:
        HinterlandError: 3D is asked for and nnU-Net has no such configuration.
    """
    configurations = plans["configurations"]
    full = configurations.get("3d_fullres")
    median = (full or configurations["2d"])["median_image_size_in_voxels"]
    if dims is None:
        dims = 3 if full and spacing_known and median[0] >= SLICES_FOR_3D else 2
    if dims == 3 and full is None:
        raise HinterlandError("nnU-Net plans no 3D network for these images. Use --dims 2.")
    chosen = configurations["2d"] if dims == 2 else full
    network = chosen["architecture"]["arch_kwargs"]
    stats = plans["foreground_intensity_properties_per_channel"]
    z, y, x = (1, *median)[-3:]
    depth = None if dims == 2 else float(chosen["spacing"][0])
    height, width = (float(s) for s in chosen["spacing"][-2:])
    first, second, third = plans["transpose_forward"]
    return Plan(
        dims=dims,
        channels=channels,
        normalisation=tuple(
            _normalisation(scheme, masked, stats[str(channel)])
            for channel, (scheme, masked) in enumerate(
                zip(chosen["normalization_schemes"], chosen["use_mask_for_norm"], strict=True)
            )
        ),
        spacing=(depth, height, width),
        unit="mm" if spacing_known else "voxel",
        transpose=(first, second, third),
        median_shape=(round(z), round(y), round(x)),
        patch_size=tuple(chosen["patch_size"]),
        batch_size=chosen["batch_size"],
        batch_dice=chosen["batch_dice"],
        network=NetworkPlan(
            features=tuple(network["features_per_stage"]),
            strides=tuple(tuple(s) for s in network["strides"]),
            kernels=tuple(tuple(k) for k in network["kernel_sizes"]),
            convolutions=network["n_conv_per_stage"][0],
        ),
        fingerprint=fingerprint,
        memory_gb=memory_gb,
        planner="nnunet",
    )


def _normalisation(scheme: str, masked: bool, stats: dict[str, float]) -> Normalisation:
    if scheme == "CTNormalization":
        low, high = stats["percentile_00_5"], stats["percentile_99_5"]
        return Normalisation("ct", low, high, stats["mean"], stats["std"])
    if scheme == "RGBTo01Normalization":
        return Normalisation("rescale", lower=0.0, upper=255.0)
    if scheme == "RescaleTo01Normalization":
        return Normalisation("rescale")
    if scheme == "NoNormalization":
        return Normalisation("none")
    return Normalisation("zscore", masked=bool(masked))


def _link(folder: Path, dataset: Dataset, cases: Sequence[Case]) -> None:
    """Link the cases in nnU-Net's raw layout."""
    endings = {file_ending(path) for case in cases for path in case.images}
    if len(endings) > 1:
        raise HinterlandError(
            f"nnU-Net needs one file format, found {', '.join(sorted(endings))}. Use --planner "
            "hinterland, or convert the files."
        )
    ending = endings.pop()
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for case in cases:
        for index, image in enumerate(case.images):
            link = folder / "imagesTr" / f"{case.name}_{index:04d}{ending}"
            link.symlink_to(image.resolve())
        assert case.label is not None
        (folder / "labelsTr" / f"{case.name}{ending}").symlink_to(case.label.resolve())
    leaves = dataset.labels.tree.leaves
    description = {
        "channel_names": {str(i): name for i, name in enumerate(dataset.channels)},
        # only their number enters the plan
        "labels": {"background": 0} | {f"class{i}": i for i in range(1, len(leaves))},
        "numTraining": len(cases),
        "file_ending": ending,
    }
    (folder / "dataset.json").write_text(json.dumps(description))
