"""The command line: `hinterland COMMAND`. It parses and calls; every step is in a room below."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated

import typer

from hinterland._version import __version__
from hinterland.cli.advise.addition import advise_addition
from hinterland.cli.advise.annotate import advise_annotate
from hinterland.cli.advise.cases import advise_cases, advise_interval
from hinterland.cli.advise.masks import advise_masks
from hinterland.cli.advise.supports import advise_supports
from hinterland.cli.analyse.calibration import analyse_calibration
from hinterland.cli.analyse.confidence import analyse_confidence
from hinterland.cli.analyse.errors import analyse_errors
from hinterland.cli.analyse.features import analyse_features
from hinterland.cli.analyse.gradients import analyse_gradients
from hinterland.cli.analyse.prediction import analyse_prediction
from hinterland.cli.check import check
from hinterland.cli.classify.compare import classify_compare
from hinterland.cli.classify.evaluate import classify_evaluate
from hinterland.cli.classify.negatives import classify_negatives
from hinterland.cli.classify.predict import classify_predict
from hinterland.cli.classify.relabel import classify_relabel
from hinterland.cli.classify.slices import classify_slices
from hinterland.cli.classify.start import classify_start
from hinterland.cli.classify.targets import classify_targets
from hinterland.cli.classify.train import classify_train
from hinterland.cli.compare import compare
from hinterland.cli.demo import demo
from hinterland.cli.dicom.import_series import dicom_import
from hinterland.cli.distil import distil
from hinterland.cli.evaluate import evaluate
from hinterland.cli.export import export
from hinterland.cli.new import new
from hinterland.cli.plan import plan
from hinterland.cli.predict import predict
from hinterland.cli.quantise import quantise
from hinterland.cli.queue.add import queue_add
from hinterland.cli.queue.status import queue_status
from hinterland.cli.queue.work import queue_work
from hinterland.cli.serve import serve
from hinterland.cli.split import split
from hinterland.cli.study.data_addition import study_data_addition
from hinterland.cli.study.discrepancy import study_discrepancy
from hinterland.cli.study.heterogeneity import study_heterogeneity
from hinterland.cli.study.labels import study_labels
from hinterland.cli.study.noise import study_noise
from hinterland.cli.study.supports import study_supports
from hinterland.cli.study.synthetic import synthetic
from hinterland.cli.supports.commands import (
    agreement,
    masks,
    model,
    nninteractive,
    totalsegmentator,
    vibesegmentator,
)
from hinterland.cli.train import resume, train
from hinterland.cli.view import view
from hinterland.cli.watch import watch

app = typer.Typer(
    name="hinterland",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# What is typed (a command, or a group and a command) -> what runs and an example of it.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "demo": (demo, "--out demo"),
    "new": (new, "Dataset115_COVID19CT --names 1=lung,2=infection --target infection --yes"),
    "split": (split, "MoNuSeg --shares 70-10-20"),
    "check": (check, "Dataset115_COVID19CT --labels examples/labels/covid19ct.yaml"),
    "plan": (plan, "Dataset115_COVID19CT --memory 4 --out plan.json"),
    "train": (
        train,
        "Dataset115_COVID19CT --method backsplit --fold 0 --steps 2000 --out runs/backsplit",
    ),
    "resume": (resume, "runs/backsplit"),
    "distil": (distil, "runs/fold0 runs/fold1 runs/fold2 --steps 2000 --out runs/student"),
    "watch": (watch, "runs/backsplit"),
    "predict": (predict, "runs/backsplit new_scans segmentations --at target"),
    "serve": (serve, "runs/backsplit --at target --port 8787"),
    "evaluate": (evaluate, "segmentations Dataset115_COVID19CT/labelsTs --out metrics.csv"),
    "compare": (compare, "runs/binary runs/backsplit --at target --out comparison"),
    "quantise": (quantise, "runs/backsplit --tolerance 0.005"),
    "export": (export, "runs/backsplit model --to nnunet"),
    "view": (view, "runs/binary runs/backsplit --number 4 --open"),
    "supports masks": (masks, "Dataset115_COVID19CT lung_masks --out with_lungs"),
    "supports agreement": (agreement, "with_organs Dataset116_MyoPS --structures LV,RV"),
    "supports model": (model, "Dataset116_MyoPS runs/organs --structures LV,RV --out with_organs"),
    "supports totalsegmentator": (
        totalsegmentator,
        "Dataset115_COVID19CT --structures 'lung_*=lung,heart' --out with_lungs",
    ),
    "supports vibesegmentator": (
        vibesegmentator,
        "Dataset050_Liver --structures liver,spleen --out with_organs",
    ),
    "supports nninteractive": (
        nninteractive,
        "Dataset115_COVID19CT --masks lung_masks --clicks 7 --out with_lungs",
    ),
    "classify start": (classify_start, "pictures --labels labels.csv"),
    "classify train": (classify_train, "runs/lesions --task lesion --by rule --out lesion-rule"),
    "classify predict": (classify_predict, "lesion-rule new_scans answers"),
    "classify evaluate": (classify_evaluate, "lesion-rule --spurious chest_tube"),
    "classify compare": (classify_compare, "lesion-net lesion-rule"),
    "classify slices": (classify_slices, "scans --out slices"),
    "classify negatives": (
        classify_negatives,
        "Dataset115_COVID19CT --labels examples/labels/covid19ct.yaml --erase infection "
        "--within lung --out covid-negatives",
    ),
    "classify targets": (
        classify_targets,
        "spines vertebrae --find 'C*:vertebrae_C*:fracture' --out fractures",
    ),
    "classify relabel": (classify_relabel, "runs/few-masks --boosted --out more-masks"),
    "study synthetic": (synthetic, "--sweep spurious --out synthetic-study"),
    "study supports": (
        study_supports,
        "Dataset116_MyoPS partial --supports LV,RV --steps 2000 --out partial",
    ),
    "study data-addition": (
        study_data_addition,
        "STU BUSI --add 0,15,30,45 --resize 128x128 --out addition",
    ),
    "study discrepancy": (
        study_discrepancy,
        "BUSI --layers all,bottleneck --starts 0,0.571 --steps 2000 --out ablation",
    ),
    "study heterogeneity": (
        study_heterogeneity,
        "Dataset115_COVID19CT --steps 2000 --out heterogeneity",
    ),
    "study labels": (
        study_labels,
        "BUSI --task class=malignant --arms rule,boosted,resnet50 --out curve",
    ),
    "study noise": (study_noise, "MoNuSeg --losses none,fd --steps 2000 --out noise"),
    "analyse calibration": (
        analyse_calibration,
        "segmentations Dataset115_COVID19CT/labelsTs --out calibration",
    ),
    "analyse confidence": (analyse_confidence, "runs/supervised runs/cvbm --out confidence"),
    "analyse errors": (
        analyse_errors,
        "segmentations Dataset115_COVID19CT/labelsTs --out errors.csv",
    ),
    "analyse features": (
        analyse_features,
        "runs/with-fd --without runs/without --out features",
    ),
    "analyse gradients": (analyse_gradients, "runs/backsplit-2d runs/backsplit-3d --out gradients"),
    "analyse prediction": (analyse_prediction, "runs/backsplit --cases 8"),
    "dicom import": (dicom_import, "scans data --structures 'GTV*=tumour,Lung*=lung'"),
    "queue add": (queue_add, "queue -- train Dataset115_COVID19CT --method backsplit --out runs/a"),
    "queue work": (queue_work, "queue --workers 4 --until-empty"),
    "queue status": (queue_status, "queue"),
    "advise addition": (advise_addition, "STU BUSI --resize 128x128 --out advice"),
    "advise annotate": (advise_annotate, "runs/cvbm new_scans --out ranking.csv --maps maps"),
    "advise supports": (advise_supports, "Dataset116_MyoPS runs/binary --out advice"),
    "advise masks": (advise_masks, "BUSI --at target"),
    "advise cases": (advise_cases, "runs/binary/metrics.csv --width 0.05"),
    "advise interval": (advise_interval, "0.784 --cases 50"),
}
GROUPS = {
    "supports": "Support labels from elsewhere: masks, models, foreign tools; lesions always win.",
    "study": "Experiments of the papers, each one command: tables and figures.",
    "advise": "What to do next with a data set or a run, and how unsure the advice is.",
    "dicom": "Series and outlines as a data set (check and predict take DICOM as it is).",
    "queue": "Many commands, shared out among machines that see one folder.",
    "analyse": "Look inside a trained run.",
    "classify": "Image labels out of segmentation networks, and classifiers beside them.",
}

# Words of earlier versions -> what the group is called now.
RENAMED = {"auxiliary": "supports"}


def _renamed(old: str, new: str) -> Callable[[], None]:
    """Make the command that answers to an earlier word with the one line that says the new one."""

    def say() -> None:
        typer.echo(
            f"error: `hinterland {old}` is called `hinterland {new}` now; give the same command "
            "with the new word.", err=True,
        )  # fmt: skip
        raise typer.Exit(2)

    return say


def _add_commands() -> None:
    groups = {
        name: typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)
        for name, text in GROUPS.items()
    }
    for typed, (command, example) in COMMANDS.items():
        *group, name = typed.split()
        at = groups[group[0]] if group else app
        at.command(name, epilog=f"Example: hinterland {typed} {example}")(command)
    for old, now in RENAMED.items():
        app.command(
            old, hidden=True, add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_renamed(old, now))  # fmt: skip
    for name in dict.fromkeys(typed.split()[0] for typed in COMMANDS if " " in typed):
        app.add_typer(groups[name], name=name)


_add_commands()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"hinterland {__version__}")
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more, on stderr.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Medical image segmentation in which labels have structure.

    Start with `hinterland demo`, or with `hinterland check DATASET` on data of your own.
    Exit codes: 0 done, 1 the data or the run is at fault, 2 usage.
    """
    del version
    if verbose:
        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO, force=True)


def main() -> None:
    """Run the `hinterland` script."""
    app(prog_name="hinterland")
