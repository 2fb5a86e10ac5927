"""Under which terms foreign weights stand, as far as their authors say so.

What we could read of them in 2026; the pages named are what counts.
"""

from __future__ import annotations

from hinterland.supports.sources.source import Licence

TOTALSEGMENTATOR = Licence(
    "TotalSegmentator, openly available task",
    "The code is Apache-2.0; the authors call this task openly available for any usage. The tool "
    "sends anonymous usage statistics unless send_usage_stats is false in "
    "~/.totalsegmentator/config.json. Cite Wasserthal et al., Radiology: AI 2023 "
    "(MR: Akinci D'Antonoli et al., Radiology 2025).",
    "https://github.com/wasserth/TotalSegmentator",
    True,
)
TOTALSEGMENTATOR_LICENSED = Licence(
    "TotalSegmentator, task that needs a licence number",
    "Free of charge for NON-COMMERCIAL use with a licence number; commercial use is by agreement "
    "with the authors (jakob.wasserthal@usb.ch). The tool sends anonymous usage statistics, with "
    "the licence number, unless send_usage_stats is false in ~/.totalsegmentator/config.json.",
    "https://backend.totalsegmentator.com/license-academic/",
    False,
)
VIBESEGMENTATOR = Licence(
    "VIBESegmentator",
    "The code (TPTBox) is Apache-2.0; no licence is named for the weights on their own: ask the "
    "authors before you use them commercially. Trained on NAKO and UK Biobank images. Cite Graf et "
    "al., European Radiology 2025.",
    "https://github.com/robert-graf/VIBESegmentator",
    None,
)
NNINTERACTIVE = Licence(
    "CC BY-NC-SA 4.0 (nnInteractive's official checkpoint)",
    "The code is Apache-2.0, the weights are not: attribution, NON-COMMERCIAL use only, and what "
    "is derived from them is shared under the same terms. Whether that reaches a model trained on "
    "labels made with them is for you to settle. Cite Isensee et al., nnInteractive, 2025.",
    "https://github.com/MIC-DKFZ/nnInteractive#license",
    False,
)
