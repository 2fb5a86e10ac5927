"""Breakages of the text files of a data set, and of settings."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.healthy import Options

Break = Callable[[Path], object]
Breaks = dict[tuple[str, tuple[str, ...]], dict[str, Break]]


def text(name: str, content: str | bytes) -> Break:
    """Replace a file's content."""

    def apply(root: Path) -> None:
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return apply


def edit(name: str, **changes: Any) -> Break:
    """Set keys of a JSON object; `...` removes one."""

    def apply(root: Path) -> None:
        data = json.loads((root / name).read_text()) | changes
        (root / name).write_text(json.dumps({k: v for k, v in data.items() if v is not ...}))

    return apply


def any_content(name: str) -> dict[str, Break]:
    """Contents that no text file of a data set should have."""
    return {
        "empty": text(name, ""),
        "blank": text(name, " \n\n\t"),
        "random bytes": text(name, bytes(range(256)) * 8),
        "UTF-16": text(name, "name,lesion\na1,1\n".encode("utf-16")),
        "NUL bytes": text(name, b"\0" * 1000),
        "cut in the middle": lambda root: os.truncate(
            root / name, (root / name).stat().st_size // 2
        ),
        "a folder": lambda root: ((root / name).unlink(), (root / name).mkdir()),
        "a pipe": lambda root: ((root / name).unlink(), os.mkfifo(root / name)),
        "a link to nothing": lambda root: (
            (root / name).unlink(), (root / name).symlink_to("nowhere")
        ),
        "a link to /dev/zero": lambda root: (
            (root / name).unlink(), (root / name).symlink_to("/dev/zero")
        ),
        "a link to itself": lambda root: (
            (root / name).unlink(), (root / name).symlink_to(name)
        ),
        "very deep": text(name, "[" * 100_000),
        "a megabyte of one letter": text(name, "x" * 2**20),
        "a number": text(name, "5"),
        "a text": text(name, '"text"'),
        "null": text(name, "null"),
        "a list of null": text(name, "[null, null]"),
    }  # fmt: skip


def labels(content: str) -> Break:
    """Replace labels.yaml."""
    return text("labels.yaml", content)


_TREE = "tree: {background: {organ: {}, rest: {}}, lesion: {}}\n"
_SCHEMES = "schemes: {full: {0: rest, 1: organ, 2: lesion}}\n"
_ODD = ("null", "5", "-1", "1.5", ".nan", "text", "''", "[]", "{}", "[1, 2]", "{a: b}", "true",
        "2020-13-45", "2020-01-01", "[[[]]]", "{1: {2: {3: 4}}}", "!!binary aGk=")  # fmt: skip


def odd_yaml() -> dict[str, Break]:
    """Every key of labels.yaml with a value of every wrong kind."""
    found: dict[str, Break] = {}
    whole = {"tree": _TREE, "schemes": _SCHEMES}
    for key in ("tree", "schemes", "target", "cases", "remainder", "spacing", "group_pattern",
                "image_labels"):  # fmt: skip
        others = "".join(v for k, v in whole.items() if k != key)
        for value in _ODD:
            found[f"{key}: {value}"] = labels(f"{others}{key}: {value}\n")
    return found


def deep_yaml() -> dict[str, Break]:
    """Trees and schemes that cannot be meant."""
    both = _TREE + _SCHEMES
    return {
        "a key twice": labels(both + _TREE),
        "an unknown key": labels(both + "colour: red\n"),
        "an unknown node": labels(_TREE + "schemes: {full: {0: rest, 1: kidney}}\n"),
        "a value twice": labels(_TREE + "schemes: {full: {0: rest, 0: organ}}\n"),
        "a negative value": labels(_TREE + "schemes: {full: {-1: rest, 1: organ}}\n"),
        "a huge value": labels(_TREE + "schemes: {full: {0: rest, 99999999999: organ}}\n"),
        "a text for a value": labels(_TREE + "schemes: {full: {zero: rest}}\n"),
        "one leaf": labels("tree: {a: {}}\nschemes: {full: {0: a}}\n"),
        "a node twice": labels("tree: {a: {b: {}}, c: {b: {}}}\nschemes: {full: {0: a}}\n"),
        "a node inside itself": labels("tree: &t {a: *t}\nschemes: {full: {0: a}}\n"),
        "a thousand levels": labels("tree: " + "{a: " * 1000 + "{}" + "}" * 1000 + "\n"),
        "two thousand leaves": labels(
            "tree: {" + ", ".join(f"n{i}: {{}}" for i in range(2000)) + "}\n"
            "schemes: {full: {" + ", ".join(f"{i}: n{i}" for i in range(2000)) + "}}\n"
        ),
        "twenty thousand leaves": labels(
            "tree: {" + ", ".join(f"n{i}: {{}}" for i in range(20000)) + "}\n"
            "schemes: {full: {0: n0, 1: n1, 2: n2}}\n"
        ),
        "aliases that multiply": labels(both + "cases: " + _laughs() + "\n"),
        "a tag that calls": labels("tree: !!python/object/apply:os.getcwd []\n"),
        "a pattern that is none": labels(both + "group_pattern: '(['\n"),
        "a pattern that matches nothing": labels(both + "group_pattern: 'zzz'\n"),
        "a pattern with an empty group": labels(both + "group_pattern: '()'\n"),
        "an unknown scheme": labels(both + "cases: {a1: {scheme: coarse}}\n"),
        "a case that is not there": labels(both + "cases: {zz: {scheme: full}}\n"),
        "an unknown setting": labels(both + "cases: {a1: {colour: red}}\n"),
        "all cases unlabelled": labels(both + "cases: {'*': {scheme: none}}\n"),
        "one patient": labels(both + "cases: {'*': {group: p}}\n"),
        "image labels elsewhere": labels(both + "image_labels: ../../../etc/passwd\n"),
        "image labels missing": labels(both + "image_labels: nowhere.csv\n"),
        "image labels a folder": labels(both + "image_labels: imagesTr\n"),
        "a target twice": labels(both + "target: [lesion, lesion]\n"),
        "a target of all": labels(both + "target: ['*']\n"),
        "a target that overlaps": labels(both + "target: [background, organ]\n"),
        "an empty name": labels("tree: {'': {}, b: {}}\nschemes: {full: {0: '', 1: b}}\n"),
        "a name with operators": labels("tree: {a+b/c: {}, d: {}}\nschemes: {full: {0: d}}\n"),
        "tabs": labels("tree:\n\ta: {}\n"),
    }


def _laughs() -> str:
    bomb = "&a0 [" + ",".join(["x"] * 9) + "]"
    for i in range(1, 12):
        bomb = f"&a{i} [{bomb}," + ",".join([f"*a{i - 1}"] * 8) + "]"
    return bomb


def dataset_json() -> dict[str, Break]:
    """dataset.json with every key wrong; labels.yaml is taken away so that its labels count."""

    def bare(change: Break) -> Break:
        def apply(root: Path) -> None:
            (root / "labels.yaml").unlink()
            change(root)

        return apply

    def file(**changes: Any) -> Break:
        return bare(edit("dataset.json", **changes))

    odd: list[Any] = [..., None, 5, "text", [], {}, [1], {"0": None}, {"0": "T1", "2": "T2"}, True]
    found = {
        f"{key}: {'missing' if v is ... else json.dumps(v)}": file(**{key: v})
        for key in ("channel_names", "file_ending", "labels", "numTraining")
        for v in odd
    }
    return found | {
        "one channel too few": file(channel_names={"0": "T1"}),
        "one channel too many": file(channel_names={"0": "a", "1": "b", "2": "c"}),
        "a million channels": file(channel_names={str(i): "c" for i in range(1_000_000)}),
        "another ending": file(file_ending=".png"),
        "an ending that climbs": file(file_ending="/../../x.nii.gz"),
        "labels of text": file(labels={"background": "zero", "organ": "one"}),
        "labels of floats": file(labels={"background": 0, "organ": 1.5, "lesion": 2}),
        "labels without 0": file(labels={"organ": 1, "lesion": 2}),
        "labels too few": file(labels={"background": 0, "organ": 1}),
        "one integer twice": file(labels={"background": 0, "organ": 1, "lesion": 1}),
        "a negative integer": file(labels={"background": 0, "organ": -1, "lesion": 2}),
        "regions that do not nest": file(
            labels={"background": 0, "x": [1, 2], "y": [2, 3]}, regions_class_order=[1, 2]
        ),
        "an empty region": file(labels={"background": 0, "x": [], "lesion": 2}),
        "files listed elsewhere": file(dataset={"a1": {"images": ["/x"], "label": "/y"}}),
        "NaN": bare(text("dataset.json", '{"channel_names": NaN}')),
        "an integer of 5000 digits": bare(text("dataset.json", '{"a": 1' + "0" * 5000 + "}")),
        "a key twice": bare(text("dataset.json", '{"labels": {}, "labels": {}}')),
    }


def splits() -> dict[str, Break]:
    """splits.json that divides wrongly, or not at all."""
    names = ["a1", "a2", "b1", "c1"]
    wrong: dict[str, Any] = {
        "no train": {"val": ["a1"]},
        "an empty train": {"train": [], "test": ["t1"]},
        "train of text": {"train": "a1"},
        "train of numbers": {"train": [1, 2]},
        "train of lists": {"train": [["a1"]]},
        "train null": {"train": None},
        "a case twice": {"train": ["a1", "a1", "a2", "b1"]},
        "a case in two": {"train": names, "val": ["a1"]},
        "an unknown case": {"train": [*names, "zz"]},
        "a path": {"train": [*names, "../../etc/passwd"]},
        "every case in test": {"train": [], "test": [*names, "d1", "t1"]},
        "one case": {"train": ["a1"]},
        "a patient on both sides": {
            "train": names, "val": ["d1"], "train_patients": ["a"],
            "cases": {"a1": {"patient": "p"}, "d1": {"patient": "p"}},
        },
        "cases of numbers": {"train": names, "cases": 5},
        "cases of null": {"train": names, "cases": {"a1": None}},
        "a list": [names],
        "folds of nnU-Net": [{"train": names, "val": ["d1"]}],
    }  # fmt: skip
    return {name: text("splits.json", json.dumps(content)) for name, content in wrong.items()}


def tables() -> dict[str, Break]:
    """labels.csv, the image labels."""
    head = "name,lesion,sex\n"
    wrong = {
        "no header": "a1,1,m\na2,0,f\n",
        "header only": head,
        "a short row": head + "a1,1\n",
        "a long row": head + "a1,1,m,x,y\n",
        "a name twice": head + "a1,1,m\na1,0,m\n",
        "an unknown name": head + "zz,1,m\n",
        "another value": head + "a1,maybe,m\n",
        "a formula": head + '"=HYPERLINK(""x"")",1,m\n',
        "it contradicts the mask": head + "a1,0,m\n",
        "an open quote": head + 'a1,"1,m\n',
        "a field of a megabyte": head + "a1,1," + "x" * 2**20 + "\n",
        "a hundred thousand rows": head + "".join(f"z{i},1,m\n" for i in range(100_000)),
        "semicolons": head.replace(",", ";") + "a1;1;m\n",
        "a column twice": "name,lesion,lesion\na1,1,0\n",
        "one column": "name\na1\n",
    }
    return {name: text("labels.csv", content) for name, content in wrong.items()}


def layout() -> dict[str, Break]:
    """Files and folders that are not where they belong."""

    def move(old: str, new: str) -> Break:
        return lambda root: (root / old).rename(root / new)

    def remove(name: str) -> Break:
        return lambda root: (
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()
        )

    return {
        "no imagesTr": remove("imagesTr"),
        "no labelsTr": remove("labelsTr"),
        "no dataset.json": remove("dataset.json"),
        "an empty imagesTr": lambda root: [p.unlink() for p in (root / "imagesTr").iterdir()],
        "imagesTr is a file": lambda root: (
            shutil.rmtree(root / "imagesTr"), (root / "imagesTr").write_text("x")
        ),
        "a channel missing": remove("imagesTr/a1_0001.nii.gz"),
        "a channel too many": move("imagesTr/a1_0001.nii.gz", "imagesTr/a1_0002.nii.gz"),
        "a mask missing": remove("labelsTr/a1.nii.gz"),
        "a mask without image": move("labelsTr/a1.nii.gz", "labelsTr/zz.nii.gz"),
        "no channel numbers": move("imagesTr/a1_0000.nii.gz", "imagesTr/a1.nii.gz"),
        "another ending": move("imagesTr/a1_0000.nii.gz", "imagesTr/a1_0000.dcm"),
        "upper case": move("imagesTr/a1_0000.nii.gz", "imagesTr/a1_0000.NII.GZ"),
        "a folder for an image": lambda root: (
            (root / "imagesTr/a1_0000.nii.gz").unlink(),
            (root / "imagesTr/a1_0000.nii.gz").mkdir(),
        ),
        "a link loop": lambda root: (
            (root / "imagesTr/a1_0000.nii.gz").unlink(),
            (root / "imagesTr/a1_0000.nii.gz").symlink_to("a1_0000.nii.gz"),
        ),
        "a name of 240 letters": move(
            "imagesTr/a1_0000.nii.gz", f"imagesTr/{'x' * 240}_0000.nii.gz"
        ),
        "a name with a line break": move("labelsTr/a1.nii.gz", "labelsTr/a\n1.nii.gz"),
        "the same file everywhere": lambda root: [
            shutil.copyfile(root / "imagesTr/a1_0000.nii.gz", p)
            for p in (root / "imagesTr").iterdir() if p.name != "a1_0000.nii.gz"
        ],
    }  # fmt: skip


def settings() -> dict[str, Break]:
    """Values of `--set` and other options that cannot be meant."""
    texts = (
        "steps=0", "steps=-5", "steps=many", "steps=1e400", "steps=.nan", "steps=null",
        "batch_size=0", "batch_size=-1", "batch_size=1.5", "batch_size=99999999",
        "patch_size=0", "patch_size=[0, 32]", "patch_size=[7, 7]", "patch_size=[-8, 8]",
        "patch_size=[8]", "patch_size=[8, 8, 8]", "patch_size=[100000, 100000]", "patch_size=big",
        "network=resnet", "network=null", "network=[1]", "network_options=5",
        "network_options.features=[]", "network_options.features=[0, 4]",
        "network_options.features=[-4, 8]", "network_options.features=big",
        "network_options.features=[1000000, 1000000]", "network_options.colour=red",
        "optimiser.lr=-1", "optimiser.lr=inf", "optimiser.lr=nan", "optimiser.lr=fast",
        "optimiser.optimiser=newton", "optimiser=5", "optimiser.colour=red",
        "loss=l2", "loss=5", "seed=-1", "seed=1e30", "seed=x", "precision=fp8", "time=-5",
        "time=soon", "accelerator=tpu9", "data.workers=-1", "data.workers=x",
        "validation.interval=0", "validation.interval=-1", "validation.overlap=2",
        "validation.overlap=-1", "validation.mirror=maybe", "regularisers=5",
        "regularisers.magic={}", "colour=red", "a.b.c.d=1", "=5", "steps", "steps=",
        "steps=[1, 2]", "steps={a: b}", "augmentation=wild", "data=5", "ema=2",
    )  # fmt: skip
    found: dict[str, Break] = {f"--set {t}": (lambda _, t=t: Options(("--set", t))) for t in texts}
    options = (
        ("--method", "magic"), ("--method", ""), ("--fold", "9"), ("--fold", "-1"),
        ("--fold", "x"), ("--dims", "4"), ("--dims", "3"), ("--on", "kidney"), ("--on", ""),
        ("--labelled", "0"), ("--labelled", "-3"), ("--labelled", "1000"),
        ("--labelled", "nowhere.txt"), ("--fine", "2"), ("--labels", "nowhere.yaml"),
        ("--memory", "0"), ("--memory", "-1"), ("--memory", "nan"), ("--memory", "1e12"),
        ("--steps", "0"), ("--seed", "x"), ("--with", "magic"), ("--recipe", "magic"),
        ("--time", "never"), ("--init-from", "nowhere"), ("--out", "/proc/nowhere"),
        ("--out", "/dev/null"),
    )  # fmt: skip
    found |= {" ".join(o): (lambda _, o=o: Options(o)) for o in options}
    return found


BREAKS: Breaks = {
    ("dataset.json", ("check", "train")): any_content("dataset.json") | dataset_json(),
    ("labels.yaml", ("check",)): any_content("labels.yaml") | odd_yaml(),
    ("labels.yaml: meaning", ("check", "train")): deep_yaml(),
    ("splits.json", ("check", "train")): any_content("splits.json") | splits(),
    ("image labels (CSV)", ("check",)): any_content("labels.csv") | tables(),
    ("layout of files", ("check", "train", "evaluate")): layout(),
    ("picture: settings", ("settings",)): settings(),
}
