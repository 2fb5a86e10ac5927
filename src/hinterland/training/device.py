"""What this machine can do: accelerator, precision, processes."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hinterland._version import __version__
from hinterland.networks.base import Network, SplitNetwork
from hinterland.training.config import TrainConfig
from hinterland.types import HinterlandError


def resolve_accelerator(name: str) -> str:
    """Return "cuda", "mps" or "cpu" for "auto", else the name itself ("gpu" is "cuda")."""
    if name != "auto":
        return "cuda" if name == "gpu" else name
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"


def refuse_missing_devices(config: TrainConfig) -> None:
    """Refuse settings that ask for what is not here.

    Raises:
        HinterlandError: See `refuse_missing_accelerator`; or CUDA graphs without CUDA.
    """
    refuse_missing_accelerator(config.accelerator, config.devices)
    if config.compile == "graphs" and resolve_accelerator(config.accelerator) != "cuda":
        raise HinterlandError(
            "compile=graphs: CUDA graphs need an NVIDIA GPU, and this run would train on "
            f"{resolve_accelerator(config.accelerator)}. Set compile=true or leave it away."
        )


def refuse_missing_accelerator(accelerator: str, devices: int = 1) -> None:
    """Refuse an accelerator that is unknown or not here, or more devices than there are.

    Raises:
        HinterlandError: Nothing could be computed there.
    """
    name = resolve_accelerator(accelerator)
    counts = {
        "cpu": devices,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if name not in counts:
        raise HinterlandError(
            f"accelerator {accelerator!r}: expected auto, {', '.join(counts)} (or gpu)."
        )
    if counts[name] < devices:
        have = f"{counts[name]} such device(s)" if counts[name] else "none"
        raise HinterlandError(
            f"accelerator {accelerator!r} with devices={devices}: this machine has "
            f"{have}. Leave it away (auto), or set accelerator=cpu."
        )


def resolve_precision(name: str, accelerator: str) -> str:
    """Return "bf16", "fp16" or "fp32"; for "auto", the fastest that the device computes in.

    Cards before sm_80 (V100, T4) only emulate bf16, slower than float32: there it is fp16.
    """
    if name != "auto":
        return name
    if accelerator == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if accelerator == "cpu" and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def data_workers(config: TrainConfig, accelerator: str) -> int:
    """Return the number of loader processes of each process that trains.

    By default there is none on a CPU, where they would take the cores that the network needs; else
    the cores that this process may use (under SLURM or in a container those it was given) are
    shared by the processes that train on this machine, and each keeps one for itself.
    """
    if config.data.workers is not None:
        return config.data.workers
    if accelerator == "cpu":
        return 0
    return min(8, max(1, usable_cores() // config.devices - 1))


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2


def window_batch(
    config: TrainConfig, tile: Sequence[int], device: str, *, compiled: bool = False
) -> int:
    """Return the number of tiles predicted at a time.

    On a CPU big batches leave the cache: about 2^17 pixels were fastest, in 2D (256^2: two tiles,
    8 % over four) and in 3D (64^3: one, 14 % over two). Runtimes of compiled graphs keep buffers
    for a whole batch: half as many are as fast there and take less memory.

    Args:
        config: may set the number.
        tile: voxels, one number an axis.
        device: "cpu", "cuda" or "mps".
        compiled: whether a backend computes the network.

    Returns:
        The number, from 1.
    """
    if config.validation.window_batch is not None:
        return config.validation.window_batch
    pixels = 2**16 if compiled else 2**17
    return max(1, pixels // math.prod(tile)) if device == "cpu" else 4


def arrange(
    networks: nn.Module, dims: int, accelerator: str, channels_last: bool | None = None
) -> nn.Module:
    """Store the networks' weights in the order of axes that the device computes fastest in.

    On a CPU convolutions with channels last, with their norm and activation, took 0.85 (2D) and 0.7
    (3D) of the time. On CUDA instance norm puts the axes back, so that it is asked for.

    Args:
        networks: whose memory format is set in place.
        dims: spatial axes.
        accelerator: "cpu", "cuda" or "mps".
        channels_last: whether channels come last; None, on a CPU only.

    Returns:
        The same networks.
    """
    if not (accelerator == "cpu" if channels_last is None else channels_last):
        return networks
    order = torch.channels_last if dims == 2 else torch.channels_last_3d
    return networks.to(memory_format=order)  # type: ignore[call-overload]


def choose_algorithms(config: TrainConfig, accelerator: str) -> None:
    """Set torch's switches for this process: which algorithms may be taken for an operator."""
    on_cpu = accelerator == "cpu"
    deterministic = on_cpu if config.deterministic == "auto" else config.deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not on_cpu and not deterministic
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = config.tf32


def compile_parts(networks: nn.Module, graphs: bool = False) -> None:
    """Compile encoders, decoders and heads in place; other networks as a whole.

    What lies around them, such as a method's choices, stays as it is.

    Args:
        networks: of the method.
        graphs: whether each part is recorded as a CUDA graph and replayed. Whoever runs a step
            calls `torch.compiler.cudagraph_mark_step_begin` before it.
    """
    mode = "reduce-overhead" if graphs else None
    for module in list(networks.modules()):
        if isinstance(module, SplitNetwork):
            for part in (module.encoder, module.decoder, module.head):
                part.compile(mode=mode)
        elif isinstance(module, Network):
            module.compile(mode=mode)


def process_rank(devices: int = 1) -> int:
    """Return this process's rank among all processes of a run; 0 when alone.

    torchrun and SLURM say it. Lightning's own launcher says the rank inside a node (LOCAL_RANK),
    and whoever starts the nodes says which one this is (NODE_RANK).

    Args:
        devices: Processes a node.

    Returns:
        The rank, from 0.
    """
    for variable in ("RANK", "SLURM_PROCID"):
        if variable in os.environ:
            return int(os.environ[variable])
    node, local = (int(os.environ.get(name, 0)) for name in ("NODE_RANK", "LOCAL_RANK"))
    return node * devices + local


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on."""
    names = ("torch", "lightning", "monai", "batchgeneratorsv2", "numpy", "scipy")
    found = {name: version(name) for name in names}
    return {"hinterland": __version__, "python": platform.python_version(), **found}


def hardware() -> dict[str, Any]:
    """Describe processor, cores, threads and accelerator of this machine.

    Virtual machines often give every processor one name; its instructions tell them apart.
    """
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            name = (
                next(line for line in file if line.startswith("model name")).split(":")[1].strip()
            )
    except (OSError, StopIteration):
        pass
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "auto_precision": resolve_precision("auto", "cuda" if gpu else "cpu"),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
    }


def git_state() -> str:
    """Name the commit of the code that runs; "" outside a checkout.

    It ends in `-dirty` where files were changed since.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
