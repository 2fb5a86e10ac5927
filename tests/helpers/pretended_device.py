"""A device that pretends to be a GPU: CPU numbers behind tensors that say they are elsewhere.

PyTorch lets an accelerator be written in Python (torch.utils.backend_registration, torch 2.9 and
later). Ours keeps each tensor's numbers in CPU memory and follows CUDA's rules about where tensors
may meet, so that autograd, autocast, optimisers and modules take it for one:

    with Pretence() as seen:
        x = torch.randn(3, device=DEVICE)
        x + torch.ones(3)   # refused with `Mixed`, as CUDA would
        float(x.max())      # allowed, and written down in seen.waits with the line that did it

Importing this module renames a backend of the whole process: do so in a process of its own.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from torch.utils.backend_registration import (  # isort: skip
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

TYPE = "pretended"
HALF = (torch.bfloat16, torch.float16)

# Operators whose result, or its size, the host has to read.
READ_BY_HOST = {
    "_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "bincount",
    "_unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave",
}  # fmt: skip
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
# Beside pointwise operators, those of CUDA that take a number from a CPU tensor without axes.
TAKE_A_NUMBER = {"fill_", "masked_fill", "masked_fill_", "where", "mul_"}


class Mixed(RuntimeError):
    """Tensors of two devices in one operator: what CUDA refuses."""


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def _lazy_init(self) -> None:
        pass


_setup_privateuseone_for_python_backend(TYPE, backend_module=_Backend())
DEVICE = torch.device(TYPE, 0)


class Elsewhere(Tensor):
    """A tensor on the pretended device; `host` has its numbers."""

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls, host.shape, strides=host.stride(), storage_offset=host.storage_offset(),
            dtype=host.dtype, device=DEVICE,
        )  # fmt: skip
        made.host = host
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, *_: Any, **__: Any) -> str:
        return f"Elsewhere({self.host})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} on {DEVICE} outside of a Pretence")


class _HostGenerator(torch.Generator):
    """Random numbers of the CPU, also for the pretended device."""

    def __new__(cls, device: Any = None) -> _HostGenerator:
        return super().__new__(cls, "cpu")


class Pretence(TorchDispatchMode):
    """While it is on, tensors may be on `DEVICE`.

    Attributes:
        waits: (what, file:line of the package) -> how often the host would have waited.
        doubles: (operator, file:line) -> how often it gave float64: slow, and missing on MPS.
        operators: how many ran on the device.
    """

    def __init__(self, package: str = "hinterland", behind: str = "cpu") -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()
        self.doubles: Counter[tuple[str, str]] = Counter()
        self.operators = 0
        self._folder = f"/{package}/"
        self._behind = torch.device(behind)

    def __enter__(self) -> Pretence:
        self._generator, torch.Generator = torch.Generator, _HostGenerator  # type: ignore[misc]
        self._lifting = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=DEVICE) is a copy
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        torch._C._set_only_lift_cpu_tensors(self._lifting)
        torch.Generator = self._generator  # type: ignore[misc]
        super().__exit__(*error)

    def clear(self) -> None:
        """Forget what was seen so far."""
        self.waits.clear()
        self.doubles.clear()
        self.operators = 0

    def line(self) -> str:
        """Return file:line of the package that is running; autograd's own thread has none."""
        frame = sys._getframe()
        while frame is not None:
            _, found, rest = frame.f_code.co_filename.rpartition(self._folder)
            if found:
                return f"{rest}:{frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return "backward"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch.is_inference_mode_enabled() and func._can_decompose():
            with self:
                return func.decompose(*args, **kwargs)
        operands = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        there = [t for t in operands if isinstance(t, Elsewhere)]
        asked = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
        if not there and (asked is None or asked.type != TYPE):
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        goes_there = asked.type == TYPE if asked is not None else True
        if name in ("_to_copy", "copy_"):
            self._copied(name, args, kwargs, goes_there)
        else:
            self._judge(func, name, args, operands)
        if asked is not None:
            kwargs["device"] = self._behind if goes_there else torch.device("cpu")
        plain = tree_map_only(Tensor, self._plain, (args, kwargs))
        found = _run(func, name, *plain)
        self.ran(func, there, found)
        if name == "copy_" and not isinstance(args[0], Elsewhere):
            return args[0]
        if not goes_there:
            return found
        self.operators += 1
        results = [t for t in tree_leaves(found) if isinstance(t, Tensor)]
        if there and any(t.dtype == torch.float64 for t in results):
            self.doubles[name, self.line()] += 1
        wrapped = tree_map_only(Tensor, Elsewhere, found)
        if not there:
            return wrapped
        out = return_and_correct_aliasing(func, args, kwargs, wrapped)
        for mine, host in zip(tree_leaves(out), tree_leaves(found), strict=False):
            if isinstance(mine, Elsewhere) and mine.shape != mine.host.shape:  # resized in place
                mine.host = host
        return out

    def _plain(self, tensor: Tensor) -> Tensor:
        if isinstance(tensor, Elsewhere):
            return tensor.host
        moved = self._behind.type == "meta" and tensor.ndim and tensor.device.type == "cpu"
        return tensor.to("meta") if moved else tensor

    def ran(self, func: Any, there: list[Elsewhere], found: Any) -> None:
        """Do more with an operator that ran on the device; for subclasses that measure."""

    def _copied(self, name: str, args: Any, kwargs: Any, goes_there: bool) -> None:
        """Write down copies between host and device that the host waits for."""
        source = args[0] if name == "_to_copy" else args[1]
        if name == "copy_":
            goes_there = isinstance(args[0], Elsewhere)
        comes_from_there = isinstance(source, Elsewhere)
        if comes_from_there and not goes_there:
            self.waits["to the host", self.line()] += 1
        asynchronous = kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])
        number = name == "copy_" and source.ndim == 0
        if goes_there and not comes_from_there and not asynchronous and not number:
            self.waits["to the device", self.line()] += 1

    def _judge(self, func: Any, name: str, args: Any, operands: list[Tensor]) -> None:
        """Refuse what CUDA refuses; write down what the host waits for."""
        there = [t for t in operands if isinstance(t, Elsewhere)]
        here = [t for t in operands if not isinstance(t, Elsewhere)]
        if not there:
            return
        if name in READ_BY_HOST:
            self.waits[name, self.line()] += 1
        if name in INDEXING:
            if not isinstance(args[0], Elsewhere):
                raise Mixed(f"{func}: a CPU tensor indexed by one on the device, {self.line()}")
            indices = [t for t in args[1] if isinstance(t, Tensor)]
            for index in indices:
                if index.ndim and index.dtype in (torch.bool, torch.uint8):
                    self.waits["index by a mask", self.line()] += 1
                if not isinstance(index, Elsewhere):
                    self.waits["index from the host", self.line()] += 1
            here = [t for t in here if not any(t is i for i in indices)]
        if shapes := [tuple(t.shape) for t in here if t.ndim]:
            raise Mixed(f"{func}: {shapes} on the CPU, the rest on the device, {self.line()}")
        takes = torch.Tag.pointwise in func.tags or name in TAKE_A_NUMBER
        if here and not (takes or name in INDEXING or name.startswith("_foreach")):
            raise Mixed(f"{func}: a number on the CPU, the rest on the device, {self.line()}")


def _run(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """Run an operator on the CPU.

    Convolutions and poolings in half precision go through float32: the CPU's own are missing
    (average pooling of volumes) or wrong (see training/optimisation/cpu_precision.py).
    """
    low = [t.dtype for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    low = [d for d in low if d in HALF]
    if not low or not ("conv" in name or "pool" in name):
        return func(*args, **kwargs)
    wide = tree_map_only(Tensor, lambda t: t.float() if t.dtype in HALF else t, (args, kwargs))
    found = func(*wide[0], **wide[1])
    narrow = {torch.float32: low[0]}
    return tree_map_only(Tensor, lambda t: t.to(narrow.get(t.dtype, t.dtype)), found)


def _autocast_lists() -> Iterator[tuple[str, str, str]]:
    """Yield (list, operator, overload) of CUDA's autocast, as PyTorch's own header has them."""
    header = Path(torch.__file__).parent / "include" / "ATen" / "autocast_mode.h"
    text = header.read_text(encoding="utf-8")
    for kind in ("LOWER_PRECISION_FP", "FP32", "FP32_SET_OPT_DTYPE", "PROMOTE"):
        body = re.search(rf"#define AT_FORALL_{kind}\(_\)(.*?)\n\n", text, re.DOTALL)
        for name, overload in re.findall(
            r"_\((\w+)(?:,\s*(\w+))?\)", body.group(1) if body else ""
        ):
            yield kind, name, overload or "default"


def _casting(operator: Any, kind: str) -> Callable[..., Any]:
    """Return an operator that first casts its floating-point tensors, as its list says."""
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(key):
            floats = [
                t for t in tree_leaves((args, kwargs))
                if isinstance(t, Tensor) and t.is_floating_point() and t.dtype != torch.float64
            ]  # fmt: skip
            wanted = torch.float32
            if kind == "LOWER_PRECISION_FP":
                wanted = torch.get_autocast_dtype(TYPE)
            elif kind == "PROMOTE" and all(t.dtype != torch.float32 for t in floats):
                return operator(*args, **kwargs)

            def cast(t: Tensor) -> Tensor:
                ours = any(t is f for f in floats) and t.device.type == TYPE
                return t.to(wanted) if ours and t.dtype != wanted else t

            args, kwargs = tree_map_only(Tensor, cast, (args, kwargs))
            return operator(*args, **kwargs)

    return run


def _register_autocast() -> list[torch.library.Library]:
    everything = torch.library.Library("_", "IMPL")
    everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    aten = torch.library.Library("aten", "IMPL")
    for kind, name, overload in _autocast_lists():
        packet = getattr(torch.ops.aten, name, None)
        if packet is None or overload not in packet.overloads():
            continue
        full = name if overload == "default" else f"{name}.{overload}"
        aten.impl(full, _casting(getattr(packet, overload), kind), "AutocastPrivateUse1")
    return [everything, aten]


_LIBRARIES = _register_autocast()  # kept: they end with their objects
