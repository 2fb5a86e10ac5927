"""An augmentation: half of all contrast, and a line in a file each time it is asked."""

import os
from pathlib import Path

import torch


class Dimmed:
    def __init__(self, plan):
        self.patch_size = self.draw_size = plan.patch_size

    def __call__(self, image, rows, rng):
        with Path(os.environ["OUTSIDE_CALLS"]).open("a") as file:
            file.write("called\n")
        return torch.from_numpy(image) / 2, torch.from_numpy(rows).long()
