"""SNOMED CT codes of common classes, by their names; the numbers are those of pydicom's table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from hinterland.labels.codes import Code

_ABNORMAL = Code("SCT", "49755003", "Morphologically Abnormal Structure")
_ANATOMY = Code("SCT", "91723000", "Anatomical Structure")
PRIVATE = "99HINTERLAND"
"""The terminology of names that have no code: their own words under a number made from them."""
ANATOMY = (
    "AdrenalGland", "Aorta", "Artery", "Bladder", "BloodVessel", "Bone", "Brain", "BrainStem",
    "Breast", "Cell", "Cerebellum", "Colon", "Duodenum", "Esophagus", "Eye", "Fat", "Femur",
    "Gallbladder", "GrayMatter", "Heart", "Hippocampus", "InferiorVenaCava", "Kidney", "Larynx",
    "LeftAtrium", "LeftVentricle", "Liver", "Lung", "LymphNode",
    "Mandible", "Muscle", "Nucleus", "OpticNerve", "Pancreas", "ParotidGland", "PortalVein",
    "Prostate", "Rectum", "Retina", "Rib", "RightAtrium", "RightVentricle", "Skin",
    "SmallIntestine", "Spine", "SpinalCord", "Spleen", "Sternum",
    "Stomach", "Thyroid", "Trachea", "Uterus", "Vein", "Vertebra", "WhiteMatter",
)  # fmt: skip
ABNORMAL = (
    "Cyst", "Edema", "Hemorrhage", "Inflammation", "Lesion", "Mass", "Metastasis", "Necrosis",
    "Neoplasm", "Nodule", "PleuralEffusion", "Scar", "Thrombus",
)  # fmt: skip
SYNONYMS = {
    "bowel": "SmallIntestine", "brainstem": "BrainStem", "cancer": "Neoplasm", "effusion":
    "PleuralEffusion", "haemorrhage": "Hemorrhage", "infection": "Inflammation", "ivc":
    "InferiorVenaCava", "la": "LeftAtrium", "lv": "LeftVentricle", "metastases": "Metastasis",
    "nuclei": "Nucleus", "oedema": "Edema", "oesophagus": "Esophagus", "ra": "RightAtrium",
    "rv": "RightVentricle", "thyroidgland": "Thyroid", "tumor": "Neoplasm", "tumour": "Neoplasm",
    "urinarybladder": "Bladder", "vessel": "BloodVessel",
}  # fmt: skip


def code_of(name: str, codes: Mapping[str, Code]) -> tuple[Code, Code]:
    """Return category and type of a class, as DICOM segments have them.

    Args:
        name: Of the class or group.
        codes: What labels.yaml says; it goes before the table.

    Returns:
        The category (anatomy, or something abnormal) and the concept. A name that nobody has
        coded is its own concept in the scheme `PRIVATE`.
    """
    keyword = keyword_of(name)
    category = _ABNORMAL if keyword in ABNORMAL else _ANATOMY
    if name in codes:
        return category, codes[name]
    if keyword is not None and (found := _in_table(keyword)) is not None:
        return category, found
    number = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    return category, Code(PRIVATE, number, name[:64])


def keyword_of(name: str) -> str | None:
    """Return the table's word for a name: in any spelling, singular or plural; None if unknown.

    A side (left kidney) without a word of its own is that of the organ; the label names the side.
    """
    plain = re.sub(r"[^a-z]", "", name.lower())
    whole = re.sub("^(left|right)|(left|right)$", "", plain)
    endings = (text.removesuffix(end) for text in (plain, whole) for end in ("", "s", "es"))
    for text in endings:
        if text in SYNONYMS:
            return SYNONYMS[text]
        for word in (*ANATOMY, *ABNORMAL):
            if word.lower() == text:
                return word
    return None


def _in_table(keyword: str) -> Code | None:
    from pydicom.sr.codedict import codes

    found: Any = getattr(codes.SCT, keyword, None)
    return None if found is None else Code("SCT", str(found.value), str(found.meaning)[:64])
