"""`hinterland serve` as it is typed: a process that answers, and ends on Ctrl-C."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import nibabel as nib
import numpy as np
import pytest


@pytest.mark.parametrize("options", [(), ("--backend", "openvino", "--fast", "--no-mirror")])
def test_serve_answers_until_it_is_stopped(runs, options):
    if options:
        pytest.importorskip("openvino")
    command = [sys.executable, "-c", "from hinterland.cli.main import main; main()", "serve",
               str(runs / "binary"), "--port", "0", "--max-mb", "1", "--json",
               *options]  # fmt: skip
    # what a shell starts in the background ignores Ctrl-C, and so does all that it starts
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/segment", line):
            break
    assert found, lines
    address = found[1]
    labels = json.load(urllib.request.urlopen(address, timeout=60))["labels"]
    assert labels == {"background": 0, "lesion": 5}
    image = nib.Nifti1Image(np.random.default_rng(0).random((32, 32, 1), np.float32), np.eye(4))
    request = urllib.request.Request(address + "/segment", image.to_bytes(), method="POST")
    body = urllib.request.urlopen(request, timeout=60).read()
    answer = nib.Nifti1Image.from_bytes(gzip.decompress(body))
    assert answer.shape == (32, 32, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped." in errors
