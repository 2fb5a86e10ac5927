"""The label files of public data sets say what their publishers say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hinterland.labels import LabelSpec

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "labels"


def sides(name: str, order: str = "left right") -> str:
    return " ".join(f"{name}_{side}" for side in order.split())


def numbered(name: str, numbers: range) -> str:
    return " ".join(f"{name}{i}" for i in numbers)


# The 117 classes of totalsegmentator/map_to_binary.py ("total", version 2), in their order.
TOTAL = " ".join(
    [
        "spleen", sides("kidney", "right left"), "gallbladder liver stomach pancreas",
        sides("adrenal_gland", "right left"),
        "lung_upper_lobe_left lung_lower_lobe_left",
        "lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right",
        "esophagus trachea thyroid_gland small_bowel duodenum colon urinary_bladder prostate",
        sides("kidney_cyst"), "sacrum vertebrae_S1", numbered("vertebrae_L", range(5, 0, -1)),
        numbered("vertebrae_T", range(12, 0, -1)), numbered("vertebrae_C", range(7, 0, -1)),
        "heart aorta pulmonary_vein brachiocephalic_trunk",
        sides("subclavian_artery", "right left"), sides("common_carotid_artery", "right left"),
        sides("brachiocephalic_vein"), "atrial_appendage_left",
        "superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein",
        *(sides(n) for n in (
            "iliac_artery", "iliac_vena", "humerus", "scapula", "clavicula", "femur", "hip")),
        "spinal_cord",
        *(sides(n) for n in (
            "gluteus_maximus", "gluteus_medius", "gluteus_minimus", "autochthon", "iliopsoas")),
        "brain skull", numbered("rib_left_", range(1, 13)), numbered("rib_right_", range(1, 13)),
        "sternum costal_cartilages",
    ]
).split()  # fmt: skip

PUBLISHED = {
    "kits23": "kidney tumor cyst",
    "panther": "tumor pancreas",
    "nsclc-radiomics": "lung_left lung_right heart esophagus spinal_cord gtv",
    "autopet": "tumor",
    "mswal": "gallstone kidney_stone liver_tumor kidney_tumor pancreatic_cancer liver_cyst "
    "kidney_cyst",
    "amos22": "spleen kidney_right kidney_left gallbladder esophagus liver stomach aorta postcava "
    "pancreas adrenal_gland_right adrenal_gland_left duodenum bladder prostate_uterus",
    "brats2023": "NCR ED ET",
    "brats2024": "NETC SNFH ET RC",
    "totalsegmentator": " ".join(TOTAL),
}
"""Names of the values 1, 2, ...; 0 is what is left."""


def load(name: str) -> LabelSpec:
    return LabelSpec.load(FOLDER / f"{name}.yaml")


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_mean_what_is_published(name):
    spec, names = load(name), PUBLISHED[name].split()
    values = spec.scheme("full").label_values
    assert sorted(values) == list(range(len(names) + 1))
    for value, leaf in enumerate(names, start=1):
        assert values[value] == spec.tree.leaves_under(leaf), leaf
        assert len(values[value]) == 1
    assert values[0].isdisjoint(set().union(*(values[v] for v in values if v)))
    assert len(spec.tree) == len(names) + 1  # no leaf without a value


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_file_names_its_source(name):
    comment = re.match(r"(#.*\n)+", (FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert comment is not None
    assert "https://" in comment.group()


def test_total_has_117_classes_and_its_systems_hold_them_all():
    assert len(TOTAL) == len(set(TOTAL)) == 117
    tree = load("totalsegmentator").tree
    systems = [
        "digestive", "urogenital", "endocrine", "respiratory", "cardiovascular", "nervous",
        "skeleton", "muscle", "spleen",
    ]  # fmt: skip
    parts = [tree.leaves_under(system) for system in systems]
    assert sum(map(len, parts)) == 117
    ribs = [n for n in TOTAL if n.startswith("rib_")]
    both = tree.leaves_under("rib_left") | tree.leaves_under("rib_right")
    assert both == {tree.leaf_names.index(n) for n in ribs}


@pytest.mark.parametrize(
    ("name", "node", "leaves"),
    [
        ("brats2023", "WT", "ED NCR ET"),
        ("brats2023", "TC", "NCR ET"),
        ("brats2024", "WT", "SNFH NETC ET"),
        ("brats2024", "TC", "NETC ET"),
        ("kits23", "kidney_and_mass", "kidney tumor cyst"),
        ("kits23", "mass", "tumor cyst"),
    ],
)
def test_regions_of_the_challenges_are_nodes(name, node, leaves):
    tree = load(name).tree
    below = [tree.leaves_under(leaf) for leaf in leaves.split()]
    assert tree.leaves_under(node) == frozenset().union(*below)


@pytest.mark.parametrize(
    ("name", "case", "group"),
    [
        ("autopet", "fdg_0b98dbe00d_08-02-2006-NA-PET-CT", "fdg_0b98dbe00d"),
        ("autopet", "psma_95b833d65be26d9f_2018-04-23", "psma_95b833d65be26d9f"),
        ("brats2023", "BraTS-GLI-00000-000", "BraTS-GLI-00000"),
        ("brats2024", "BraTS-GLI-02405-100", "BraTS-GLI-02405"),
    ],
)
def test_patients_are_read_from_names(name, case, group):
    assert load(name).case_settings(case).group == group


def test_an_organ_that_nobody_drew_is_not_called_background():
    spec = load("nsclc-radiomics")
    zero = spec.scheme("no_heart").label_values[0]
    assert zero == spec.tree.leaves_under("rest") | spec.tree.leaves_under("heart")
