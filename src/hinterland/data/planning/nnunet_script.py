"""Run by the interpreter of an nnU-Net environment, never imported by Hinterland.

Usage: python nnunet_script.py ID WORKERS MEMORY_GB KNOWN, with nnU-Net's folders in the
environment. KNOWN 0 replaces all spacings by 1.
"""

import json
import logging
import os
import sys
from pathlib import Path


def main(dataset: int, workers: int, memory_gb: float, spacing_known: bool) -> None:
    """Extract the fingerprint and plan; nnU-Net writes both into its preprocessed folder.

    Args:
        dataset: number of the data set.
        workers: processes.
        memory_gb: what a training step may take.
        spacing_known: whether 3d_fullres makes sense.
    """
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    extractor = DatasetFingerprintExtractor(dataset, workers)
    extractor.show_progress_bar = False
    extractor.run(overwrite_existing=True)
    if not spacing_known:
        folder = Path(os.environ["nnUNet_preprocessed"]) / extractor.dataset_name  # noqa: SIM112
        path = folder / "dataset_fingerprint.json"
        found = json.loads(path.read_text())
        found["spacings"] = [[1.0, 1.0, 1.0] for _ in found["spacings"]]
        path.write_text(json.dumps(found))
    ExperimentPlanner(dataset, gpu_memory_target_in_gb=memory_gb).plan_experiment()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    number, processes, memory, known = sys.argv[1:]
    main(int(number), int(processes), float(memory), known == "1")
