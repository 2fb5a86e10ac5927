"""How Lightning is driven: the project's own logging, checkpoints and progress, not Lightning's."""

from __future__ import annotations

import logging

import lightning as L
from lightning.pytorch.plugins.precision import MixedPrecision, Precision

from hinterland.training.config import TrainConfig
from hinterland.training.optimisation.cpu_precision import CpuMixedPrecision


def precision_plugin(precision: str, accelerator: str) -> Precision:
    """Return what runs a step in a precision: "fp32", "bf16" or "fp16".

    The scaler of fp16 is the engine's own, which divides gradients by it before it clips them.
    """
    if precision == "fp32":
        return Precision()
    if precision == "bf16":
        return (
            CpuMixedPrecision()
            if accelerator == "cpu"
            else MixedPrecision("bf16-mixed", accelerator)
        )
    plugin = MixedPrecision("16-mixed", accelerator)
    plugin.scaler = None
    return plugin


def lightning_trainer(config: TrainConfig, accelerator: str, precision: str) -> L.Trainer:
    """Make a trainer for one phase, which is one epoch.

    Args:
        config: devices and nodes.
        accelerator: "cpu", "cuda" or "mps".
        precision: "fp32", "bf16" or "fp16".

    Returns:
        A trainer that logs, saves and validates nothing by itself.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    many = config.devices * config.nodes > 1
    return L.Trainer(
        max_epochs=1,
        accelerator="gpu" if accelerator == "cuda" else accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp_find_unused_parameters_true" if many else "auto",
        plugins=[precision_plugin(precision, accelerator)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        # Batch norms see the whole batch, as one GPU with all of it would. (CPUs cannot.)
        sync_batchnorm=many and accelerator == "cuda",
        num_sanity_val_steps=0,
    )
