"""The protocol guard: each way to fool oneself is refused or flagged, and a clean study is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories import spec_of
from scans import plan_for

from hinterland.report.protocol.checks import CODES, check_protocol, enforce
from hinterland.report.protocol.protocol import Protocol
from hinterland.training.config import make_config
from hinterland.training.runs.record import RunRecord
from hinterland.types import HinterlandError

TRAIN = tuple(f"tr{i}" for i in range(30))
VAL = tuple(f"va{i}" for i in range(5))
TEST = tuple(f"te{i}" for i in range(25))
CLEAN = Protocol(
    run="a", method="supervised", network="unet", dims=3, steps=300, seed=0, fold="fixed",
    selection="val", empty="penalty", convention="hd95=directed_max", question="target", unit="mm",
    labels="all labelled",
    train=TRAIN, val=VAL, test=TEST, evaluated=TEST, fingerprint="f00d",
)  # fmt: skip
OTHER = replace(CLEAN, run="b", method="backsplit")


def codes(*arms: Protocol | tuple[Protocol, ...]) -> dict[str, str]:
    found = check_protocol([arm if isinstance(arm, tuple) else (arm,) for arm in arms])
    return {f.code: f.severity for f in found}


def test_a_clean_study_has_one_remark() -> None:
    assert codes(CLEAN, OTHER) == {"one-seed": "flag"}
    seeds = tuple(replace(CLEAN, run=f"a{s}", seed=s) for s in range(3))
    others = tuple(replace(OTHER, run=f"b{s}", seed=s) for s in range(3))
    assert codes(seeds, others) == {}


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("test-selection", {"selection": "test"}),
        ("test-selection", {"evaluated": VAL * 5, "selection": "val"}),
        ("leak", {"groups": {"tr0": "p1", "te3": "p1"}}),
        ("leak", {"groups": {"tr0": "p1", "va3": "p1"}}),
        ("leak", {"groups": {"va0": "p1", "te0": "p1"}}),
        ("leak", {"train": (*TRAIN, "te0")}),
        ("tested-on-training", {"test": (), "evaluated": (*TEST[:-1], "tr4")}),
        ("cases", {"evaluated": TEST[:-1]}),
        ("cases", {"evaluated": (*TEST, "te99")}),
        ("empty-policy", {"empty": "drop"}),
        ("question", {"question": "leaves"}),
        ("convention", {"convention": "hd95=pooled"}),
        ("unit", {"unit": "voxel"}),
    ],
)
def test_refused(code: str, change: dict[str, object]) -> None:
    broken = replace(OTHER, **change)  # type: ignore[arg-type]
    assert codes(CLEAN, broken)[code] == "refuse"
    with pytest.raises(HinterlandError, match=rf"\[{code}\]"):
        enforce(check_protocol([(CLEAN,), (broken,)]))


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("seed", {"seed": None}),
        ("selection-unknown", {"selection": None}),
        ("unrecorded", {"recorded": False, "selection": None, "seed": None}),
        ("data", {"fingerprint": "beef"}),
        ("settings", {"steps": 600}),
        ("settings", {"network": "segresnet"}),
        ("settings", {"dims": 2}),
        ("labels", {"labels": "3 of 30 labelled"}),
        ("training-cases", {"train": TRAIN[:10]}),
    ],
)
def test_flagged(code: str, change: dict[str, object]) -> None:
    changed = replace(OTHER, **change)  # type: ignore[arg-type]
    found = check_protocol([(CLEAN,), (changed,)])
    assert {f.code: f.severity for f in found}[code] == "flag"
    assert enforce(found) == found


def test_underpowered_counts_patients_not_cases() -> None:
    assert "underpowered" not in codes(CLEAN, OTHER)
    groups = {c: f"p{i // 5}" for i, c in enumerate(TEST)}  # 25 cases of 5 patients
    few = [replace(p, groups=groups) for p in (CLEAN, OTHER)]
    found = [f for f in check_protocol([(p,) for p in few]) if f.code == "underpowered"]
    assert "5 test patients" in found[0].message
    assert "0.062" in found[0].message  # 2^(1 - 5), the spec's .0625
    groups = {c: f"p{i // 2}" for i, c in enumerate(TEST)}
    some = [replace(p, groups=groups) for p in (CLEAN, OTHER)]
    found = [f for f in check_protocol([(p,) for p in some]) if f.code == "underpowered"]
    assert "finds large differences only" in found[0].message


def test_folds_pool_to_one_case_set() -> None:
    first = replace(CLEAN, run="a0", fold="0", evaluated=TEST[:12], selection="none", test=())
    second = replace(first, run="a1", fold="1", evaluated=TEST[12:])
    whole = replace(OTHER, selection="none", test=())
    assert "cases" not in codes((first, second), whole)
    assert codes((first,), whole)["cases"] == "refuse"


def test_different_numbers_of_seeds() -> None:
    assert codes((CLEAN, replace(CLEAN, run="a1", seed=1)), OTHER)["seeds"] == "flag"


def test_a_refusal_can_be_allowed_and_is_still_told() -> None:
    found = check_protocol([(CLEAN,), (replace(OTHER, selection="test"),)])
    passed = enforce(found, allow=("test-selection",))
    told = [f for f in passed if f.code == "test-selection"]
    assert told[0].severity == "flag"
    assert "Allowed on request" in told[0].message


def test_all_refusals_come_in_one_message() -> None:
    broken = replace(OTHER, selection="test", empty="drop", evaluated=TEST[:-1])
    with pytest.raises(HinterlandError) as error:
        enforce(check_protocol([(CLEAN,), (broken,)]))
    for code in ("test-selection", "empty-policy", "cases"):
        assert f"[{code}]" in str(error.value)


def test_unknown_code_to_allow() -> None:
    with pytest.raises(HinterlandError, match="no protocol check 'everything'"):
        enforce([], allow=("everything",))
    assert enforce([], allow=CODES) == []


def test_protocol_reads_what_training_writes(tmp_path: Path) -> None:
    spec = spec_of({"lung": {}, "rest": {}}, schemes={"full": {0: "rest", 1: "lung"}})
    RunRecord(
        method="backsplit", on=({"rest": ["rest"], "lung": ["lung"]}, {"all": ["rest", "lung"]}),
        method_options={}, fold="0", selection="none", dims=2,
        split={"train": ["a", "c"], "val": ["b"], "test": []}, groups={"a": "p0"},
        schemes={"a": "full", "b": "full", "c": "none"},
        dataset={"path": "/data/x", "fingerprint": "f00d"},
        train=make_config({"seed": 3}), plan=plan_for((None, 1.0, 1.0)), spec=spec,
    ).write(tmp_path)  # fmt: skip
    record = RunRecord.read(tmp_path)
    protocol = Protocol.of("r", record, {"empty": "penalty", "seed": "7"}, ["b", "b"], {"b": "p1"})
    assert protocol.on == "rest/lung + all"
    assert (protocol.seed, protocol.dims, protocol.empty) == (3, 2, "penalty")
    assert (protocol.train, protocol.evaluated) == (("a", "c"), ("b",))
    assert protocol.patients(["a", "b"]) == {"p0", "p1"}
    assert protocol.labels == "1 of 2 labelled"
    assert protocol.recorded
    bare = Protocol.of("r", None, {"seed": "7", "fold": "1"}, ["b"])
    assert (bare.recorded, bare.seed, bare.fold) == (False, 7, "1")
    assert Protocol.of("r", None, {"seed": ""}, []).seed is None


def test_runs_that_never_took_off_are_named():
    flying = Protocol("a", took_off=True, take_off=40)
    grounded = Protocol("b", took_off=False)
    codes = {f.code: f for f in check_protocol([[flying, grounded], [flying]])}
    assert "average 1 such run(s) with 1 that did" in codes["take-off"].message
    assert codes["take-off"].runs == ("b",)
    alone = {f.code: f for f in check_protocol([[grounded], [flying]])}
    assert "training was too short" in alone["take-off"].message
    assert "take-off" not in {f.code for f in check_protocol([[flying], [flying]])}
