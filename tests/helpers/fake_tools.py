"""Packages with the interface of the foreign tools, in an environment of their own.

What they "see" is the label file that lies beside the image, under the names of their classes. The
signatures are those of TotalSegmentator 2.18, TPTBox 1.1 and nnInteractive 2.6; a call that does
not fit them fails here as it would there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_TOTAL = {
    "totalsegmentator/__init__.py": "",
    "totalsegmentator/map_to_binary.py": """
class_map = {
    "total_mr": {1: "liver_left", 2: "liver_right", 3: "colon", 4: "spine"},
    "tissue_types_mr": {1: "fat"},
}
commercial_models = {"tissue_types_mr": 925}
""",
    "totalsegmentator/config.py": """
import os
from pathlib import Path
config = {}
def get_weights_dir(): return Path(os.environ["FAKE_WEIGHTS"])
def setup_nnunet(): pass
def setup_totalseg(totalseg_id=None): return config
def set_license_number(license_number, skip_validation=False):
    config["license_number"] = license_number
""",
    "totalsegmentator/map_tasks_config.py": """
TASK_ID_WEIGHTS_CONFIGS = {850: {"foldername": "Dataset850_part1", "version": "v2.5.0-weights"},
                           925: {"foldername": "Dataset925_tissue"}}
""",
    "totalsegmentator/libs.py": """
from .config import get_weights_dir
def download_pretrained_weights(task_id):
    if not get_weights_dir().is_dir():
        raise ConnectionError("no route to host")
""",
    "totalsegmentator/python_api.py": """
from pathlib import Path
import nibabel as nib, numpy as np
def get_task_config(task, fast=False, fastest=False, quiet=False, robust_crop=None,
                    plans=None, model_size=None):
    return {"task_id": [850] if task == "total_mr" else 925}
def totalsegmentator(input, output=None, ml=False, nr_thr_resamp=1, nr_thr_saving=6, fast=False,
                     nora_tag="None", preview=False, task="total", roi_subset=None,
                     statistics=False, radiomics=False, crop_path=None, body_seg=False,
                     force_split=False,
                     output_type="nifti", quiet=False, verbose=False, test=0, skip_saving=False,
                     device="gpu", license_number=None):
    print("If you use this tool please cite: ...")
    assert device in ("gpu", "cpu", "mps") and ml and output is None, (device, ml, output)
    from totalsegmentator.map_to_binary import class_map
    image = nib.load(input)
    beside = Path(input).parent.parent / "labelsTr" / Path(input).name.replace("_0000", "")
    if beside.name == "phantom_002.nii.gz" and fast:
        raise SystemExit(1)
    seen = np.asarray(nib.load(beside).dataobj).astype(int)
    classes = {1: 1, 2: 2, 3: 3, 4: 4, 5: 1}
    found = np.zeros(seen.shape)
    for old, new in classes.items():
        if roi_subset is None or class_map[task][new] in roi_subset:
            found[seen == old] = new
    return nib.Nifti1Image(found, image.affine)
""",
}
_VIBE = {
    "TPTBox/__init__.py": "",
    "TPTBox/segmentation/__init__.py": """
from TPTBox.segmentation.VibeSeg.vibeseg import run_vibeseg
""",
    "TPTBox/segmentation/VibeSeg/__init__.py": "",
    "TPTBox/segmentation/VibeSeg/vibeseg.py": """
from pathlib import Path
import nibabel as nib
VibeSeg_map = {1: "liver", 2: "spleen", 3: "colon", 4: "spine", 20: "unused/rib (ct only)"}
def run_vibeseg(i, out_seg, override=False, gpu=0, ddevice="cuda", dataset_id=100, padd=5,
                keep_size=False, memory_max=9900000, model_path=None, **args):
    assert not args and dataset_id == 100 and Path(model_path).is_dir()
    beside = Path(i).parent.parent / "labelsTr" / Path(i).name.replace("_0000", "")
    seen = nib.load(beside)
    array = seen.get_fdata()
    array[array == 5] = 1
    nib.save(nib.Nifti1Image(array, seen.affine), out_seg)
    print("Segmentation saved")
""",
    "TPTBox/segmentation/VibeSeg/auto_download.py": """
WEIGHTS_URL_ = "https://example.org/v1.0.0/"
def download_weights(idx, model_path=None):
    print("Download attempt failed:", WEIGHTS_URL_)
    raise FileNotFoundError
""",
    "TPTBox/segmentation/VibeSeg/inference_nnunet.py": """
from pathlib import Path
_model_path_ = Path(__file__).parent / "nnUNet_results"
""",
}
_INTERACTIVE = {
    "torch.py": """
class device:
    def __init__(self, name): self.type = name
def get_num_threads(): return 1
""",
    "nnInteractive/model_management.py": """
import os
from pathlib import Path
def get_model_root_dir(): return Path(os.environ["NNINTERACTIVE_MODEL_DIR"])
def get_default_model_id(model_root=None, manifest=None): raise RuntimeError("offline")
def ensure_model_available(model_id, model_root=None, manifest=None):
    folder = get_model_root_dir() / "models" / model_id
    if not folder.is_dir(): raise RuntimeError("offline")
    return folder
""",
    "nnInteractive/inference/inference_session.py": """
import numpy as np
from scipy import ndimage
class nnInteractiveInferenceSession:
    def __init__(self, device=None, use_torch_compile=False, verbose=False, torch_n_threads=8,
                 do_autozoom=True, interactions_storage="auto", enable_undo=True):
        print("session initialized")
        self.device = device
    def initialize_from_trained_model_folder(self, model_training_output_dir, use_fold=None,
                                             checkpoint_name="checkpoint_final.pth"):
        self.license = "CC BY-NC-SA 4.0"
    def set_image(self, image, image_properties=None):
        assert image.ndim == 4 and len(image) == 1
        self.image, self.target, self.clicks = image[0], None, []
    def set_target_buffer(self, target_buffer):
        assert target_buffer.shape == self.image.shape
        self.target = target_buffer
    def add_point_interaction(self, coordinates, include_interaction, run_prediction=True,
                              override_capability_checks=False):
        # a click means: everything of this grey level that hangs together with it
        self.clicks.append(coordinates)
        alike = np.abs(self.image - self.image[tuple(coordinates)]) < 1e-3
        parts, _ = ndimage.label(alike)
        region = parts == parts[tuple(coordinates)]
        self.target[region] = 1 if include_interaction else 0
    def reset_interactions(self):
        self.target[...] = 0
        self.clicks = []
""",
}
_VERSIONS = {"TotalSegmentator": "2.18.0", "TPTBox": "1.1.0", "nnInteractive": "2.6.0"}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An interpreter that has the fake tools; each variable of ours names it."""
    site = folder / "site"
    for name, text in {**_TOTAL, **_VIBE, **_INTERACTIVE}.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    for name, version in _VERSIONS.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for tool in ("TOTALSEGMENTATOR", "VIBESEGMENTATOR", "NNINTERACTIVE"):
        monkeypatch.setenv(f"HINTERLAND_{tool}_PYTHON", str(python))
    monkeypatch.setenv("FAKE_WEIGHTS", str(folder / "weights"))
    monkeypatch.setenv("NNINTERACTIVE_MODEL_DIR", str(folder / "nninteractive"))
    return python


def add_weights(folder: Path) -> None:
    """The weights that the fakes look for."""
    (folder / "weights").mkdir()
    vibe = folder / "vibe" / "nnUNet_results" / "Dataset100" / "T__nnUNetPlans__3d"
    interactive = folder / "nninteractive" / "models" / "nnInteractive_v1.0"
    for model in (vibe, interactive):
        model.mkdir(parents=True)
        (model / "plans.json").write_text("{}")
