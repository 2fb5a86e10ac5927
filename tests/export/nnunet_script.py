"""Run by a Python that has nnU-Net and not Hinterland: load an exported folder and predict.

nnunet_script.py MODEL patch IN.npy OUT.npy        logits of a batch (B, C, *patch)
nnunet_script.py MODEL images IN_FOLDER OUT_FOLDER whole files through its own preprocessing
"""

import sys
from pathlib import Path

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

model, what, source, target = sys.argv[1:]
torch.set_num_threads(1)
predictor = nnUNetPredictor(
    use_mirroring=True, perform_everything_on_device=False, device=torch.device("cpu")
)
predictor.initialize_from_trained_model_folder(model, use_folds=(0,))
if what == "patch":
    network = predictor.network.eval()
    with torch.no_grad():
        np.save(target, network(torch.from_numpy(np.load(source))).numpy())
else:
    Path(target).mkdir()
    predictor.predict_from_files_sequential(source, target)
