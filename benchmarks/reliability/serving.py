"""A service under load: sound, broken, huge and hostile requests, four at a time."""

from __future__ import annotations

import gzip
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.harness.cell import Cell
from benchmarks.reliability.process import warm_up
from benchmarks.reliability.subjects import TRUNCATED, Bench, prepare

TITLE = "hinterland serve under load"
TEXT = """
A process of `hinterland serve` with limits of 16 MiB and 3 s gets requests, four at a time: every
second one is a sound scan of 24^3, whose answer has to be, voxel by voxel, what `hinterland
predict` writes; the others are broken, huge or hostile, in turn, and have to be answered with their
own status. Resident memory, open files and threads are looked at after a first round of all kinds,
and at the end; files that are left in the temporary folder are counted.
"""
LIMIT = 16
"""MiB that the service accepts."""
SECONDS = 3.0
AT_A_TIME = 4


@dataclass(frozen=True)
class ServingCell(Cell):
    """Two rounds of requests at one process; what the second leaves beyond the first is a leak."""

    requests: int = 200

    def run(self, folder: Path) -> dict[str, Any]:
        warm_up()
        bench = prepare(folder)
        bench.empty()
        scans = bench.base / "scans" / "imagesTs"
        bench.run(["predict", str(bench.base / "runs" / "b"), str(scans), str(bench.out)])
        sound = [
            (f.read_bytes(), _voxels(bench.out / f.name.replace("_0000", "")))
            for f in sorted(scans.iterdir())
            if TRUNCATED not in f.name
        ]
        kinds = hostile((next(scans.glob(f"{TRUNCATED}_*"))).read_bytes(), sound[0][0])
        with Served(bench) as served:
            first = _round(served, sound, kinds, 2 * len(kinds))
            before, started = served.usage(), time.perf_counter()
            found = _round(served, sound, kinds, self.requests)
            seconds = time.perf_counter() - started
            after = served.usage()
            left = len(list(served.scratch.iterdir()))
        return {"measured": {
            "requests": len(found), "wrong": sorted({*first, *found} - {""}),
            "right": found.count(""), "seconds": seconds, "before": before, "after": after,
            "left": left, "kinds": len(kinds),
        }}  # fmt: skip


class Served:
    """A process of `hinterland serve`, ended with the block."""

    def __init__(self, bench: Bench) -> None:
        self.scratch = bench.place / "scratch"
        self.scratch.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        command = [
            sys.executable, "-c", "from hinterland.cli.main import main; main()", "serve",
            str(bench.base / "runs" / "b"), "--port", str(self.port), "--max-mb", str(LIMIT),
            "--timeout", str(SECONDS),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "TMPDIR": str(self.scratch)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Served:
        for _ in range(1800):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.1)
        raise RuntimeError("the service did not come up")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with suppress(ConnectionError):  # refused before the whole was sent: the answer is there
            connection.request("POST", "/segment", body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def raw(self, data: bytes) -> int:
        """Send bytes as they are and no more; return the status."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(data)
            return int(client.recv(4096).split()[1])

    def usage(self) -> dict[str, int]:
        """Return resident MiB, open files and threads, once the last request's thread has ended."""
        time.sleep(1)
        place = Path(f"/proc/{self._process.pid}")
        lines = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        return {
            "mib": int(lines["VmRSS"].split()[0]) // 1024,
            "threads": int(lines["Threads"]),
            "files": len(list((place / "fd").iterdir())),
        }


def hostile(truncated: bytes, sound: bytes) -> list[tuple[str, Callable[[Served], int], int]]:
    """Name each kind of bad request, how it is sent, and the status that is expected."""
    noise = random.Random(0).randbytes(5000)
    bodies = {
        "a truncated scan": (truncated, 400),
        "nothing": (b"", 400),
        "noise": (noise, 422),
        "noise after a gzip header": (b"\x1f\x8b" + noise, 400),
        "a path": (b"../../../etc/passwd", 422),
        "a pickle": (b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.", 422),
        "another checksum": (sound[:-8] + bytes(8), 400),
        "an upload above the limit": (bytes(2**20 * (LIMIT + 1)), 413),
        "a gzip bomb": (gzip.compress(bytes(2**20 * 8 * LIMIT)), 413),
        "NaN": (_packed(np.full((9, 8, 7), np.nan, np.float32)), 422),
        "four channels": (_packed(np.zeros((9, 8, 7, 4), np.float32)), 422),
        "voxels of a light year": (_packed(np.ones((9, 8, 7)), 1e19), 413),
    }  # fmt: skip
    lines = {
        "chunks": (b"POST /segment HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        "an exabyte": (b"POST /segment HTTP/1.1\r\nContent-Length: 99999999999999999\r\n\r\n", 413),
        "another path": (b"POST /../../etc/passwd HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 404),
        "a sender that dawdles": (b"POST /segment HTTP/1.1\r\nContent-Length: 50\r\n\r\nab", 408),
    }  # fmt: skip
    return [
        *((n, lambda s, b=body: s.post(b)[0], code) for n, (body, code) in bodies.items()),
        *((n, lambda s, b=line: s.raw(b), code) for n, (line, code) in lines.items()),
    ]


def _round(
    served: Served,
    sound: Sequence[tuple[bytes, np.ndarray]],
    kinds: Sequence[tuple[str, Callable[[Served], int], int]],
    requests: int,
) -> list[str]:
    """Send requests; return for each what was wrong, or nothing."""

    def ask(index: int) -> str:
        half = index // 2
        if index % 2:
            name, send, expected = kinds[half % len(kinds)]
            status = send(served)
            return "" if status == expected else f"{name}: {status}, not {expected}"
        body, label = sound[half % len(sound)]
        status, answer = served.post(body)
        if status != 200:
            return f"a sound scan: {status}"
        found = np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(answer)).dataobj)
        return "" if np.array_equal(found, label) else "a sound scan: other voxels"

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(ask, range(requests)))


def _packed(array: np.ndarray, spacing: float = 1.0) -> bytes:
    affine = np.diag([spacing] * 3 + [1.0])
    return gzip.compress(nib.Nifti1Image(array.astype(np.float32), affine).to_bytes())


def _voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def cells(size: str, seeds: int) -> list[Cell]:
    """One process."""
    del seeds
    return [ServingCell("serve", requests=40 if size == "smoke" else 200)]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """What was right, and what was there before and after."""
    del size
    lines = [
        "| requests | right | kinds of bad ones | s | MiB before, after | open files | threads "
        "| files left |",
        "|" + " ---: |" * 8,
    ]
    notes: Counter[str] = Counter()
    for cell in all_cells:
        if cell.name not in results:
            continue
        m = results[cell.name]["measured"]
        notes.update(m["wrong"])
        shown = [f"{m['before'][k]}, {m['after'][k]}" for k in ("mib", "files", "threads")]
        lines.append(
            f"| {m['requests']} | {m['right']} | {m['kinds']} | {m['seconds']:.1f} "
            f"| {' | '.join(shown)} | {m['left']} |"
        )
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)])
