"""The HTTP service: right answers, several at a time, and bodies that mean no good."""

import gzip
import http.client
import io
import json
import random
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from broken import AFFINE, image_array, nifti
from scans import plan_for

from hinterland.inference.folder import predict_files
from hinterland.inference.server import make_server
from hinterland.inference.service import Limits, Service
from hinterland.inference.volumes import Predictor
from hinterland.labels import LabelTree
from hinterland.types import HinterlandError

TREE = LabelTree({"rest": {}, "lesion": {}})
VALUES = {"rest": 0, "lesion": 5}


def bright(x):
    logits = 4 * (x - 0.5)
    return torch.cat([-logits, logits], dim=1).softmax(dim=1)


def packed(array, affine=AFFINE, suffix=".nii.gz"):
    data = nib.Nifti1Image(array, affine).to_bytes()
    return gzip.compress(data) if suffix == ".nii.gz" else data


@pytest.fixture(scope="module")
def predictor():
    return Predictor(bright, replace(plan_for((2.0, 0.8, 0.8)), patch_size=(4, 4, 4)), TREE.leaves)


def started(predictor, limits):
    server = make_server(Service(predictor, TREE.leaves, VALUES, limits), port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return server, thread


@pytest.fixture
def seconds():
    """How long an upload may take."""
    return 3


@pytest.fixture
def server(predictor, tmp_path, monkeypatch, seconds):
    """A server with a small limit, whose temporary files lie in a folder of the test."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    running, thread = started(predictor, Limits(megabytes=1, seconds=seconds, requests=6))
    yield running
    running.shutdown()
    running.server_close()
    thread.join(5)
    assert not list(scratch.iterdir())  # whatever was sent, nothing of it stays


def post(server, body, path="/segment", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("POST", path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def raw(server, data, finish=True):
    """Send bytes as they are; return the status line."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as client:
        client.sendall(data)
        if finish:
            client.shutdown(socket.SHUT_WR)
        return client.recv(4096).split(b"\r\n")[0].decode()


@pytest.fixture(scope="module")
def expected(predictor, tmp_path_factory):
    """What `predict` writes for five scans."""
    folder = tmp_path_factory.mktemp("expected")
    jobs = [(f"s{i}", (folder / "in" / f"s{i}.nii.gz",)) for i in range(5)]
    for seed, (_, (file,)) in enumerate(jobs):
        nifti(file, image_array(seed))
    list(predict_files(predictor, jobs, folder / "out", TREE.leaves, VALUES))
    return [np.asarray(nib.load(folder / "out" / f"{n}.nii.gz").dataobj) for n, _ in jobs]


def segmentation(body):
    image = nib.Nifti1Image.from_bytes(gzip.decompress(body))
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_an_image_comes_back_segmented_as_predict_does(server, expected, suffix):
    status, body = post(server, packed(image_array(0), suffix=suffix))
    assert status == 200
    label, affine = segmentation(body)
    np.testing.assert_array_equal(label, expected[0])
    np.testing.assert_allclose(affine, AFFINE)
    assert set(np.unique(label)) == {0, 5}


def test_get_says_what_the_integers_mean(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", "/")
    answer = json.loads(connection.getresponse().read())
    assert answer["labels"] == VALUES
    assert answer["max_megabytes"] == 1
    connection.request("GET", "/etc/passwd")
    assert connection.getresponse().status == 404


def bomb():
    return gzip.compress(bytes(5 * 2**20))


def header_of(**fields):
    image = nib.Nifti1Image(image_array(0), AFFINE)
    data = bytearray(image.to_bytes())
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(bytes(data)), check=False)
    for name, value in fields.items():
        header[name] = value
    buffer = io.BytesIO()
    header.write_to(buffer)
    return gzip.compress(buffer.getvalue() + bytes(data[348:]))


HOSTILE = {
    "empty": (b"", 400),
    "noise": (random.Random(0).randbytes(5000), 422),
    "text": (b"../../etc/passwd", 422),
    "a path in gzip": (gzip.compress(b"/etc/passwd"), 422),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.", 422),
    "cut gzip": (packed(image_array(0))[:-300], 400),
    "broken gzip": (b"\x1f\x8b" + bytes(200), 400),
    "checksum": (packed(image_array(0))[:-8] + bytes(8), 400),
    "bomb": (bomb(), 413),
    "too large": (bytes(2 * 2**20), 413),
    "cut nifti": (packed(image_array(0), suffix=".nii")[:900], 422),
    "promised voxels": (header_of(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]), 422),
    "negative shape": (header_of(dim=[3, -4, 8, 6, 1, 1, 1, 1]), 422),
    "many dimensions": (header_of(dim=[7, 2, 2, 2, 2, 2, 2, 2]), 422),
    "nan": (packed(np.full((9, 8, 6), np.nan, np.float32)), 422),
    "two channels": (packed(np.zeros((9, 8, 6, 2), np.float32)), 422),
    "complex": (packed(np.zeros((9, 8, 6), np.complex64)), 422),
    "voxels of a metre": (packed(image_array(0), np.diag([1e3, 1e3, 1e3, 1])), 413),
    "voxels of a light year": (packed(image_array(0), np.diag([1e19, 1e19, 1e19, 1])), 413),
    "no voxel size": (
        header_of(sform_code=1, srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4),
        422,
    ),
    "inflating numbers": (packed(np.zeros((90, 90, 90), np.uint8)), 413),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_answered_and_the_next_is_served(server, expected, name):
    body, status = HOSTILE[name]
    got, text = post(server, body)
    assert (got, name) == (status, name)
    assert "error" in json.loads(text)
    assert "scratch" not in text.decode()  # no path of this machine
    got, body = post(server, packed(image_array(1)))
    assert got == 200
    np.testing.assert_array_equal(segmentation(body)[0], expected[1])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /segment HTTP/1.1\r\nHost: x\r\n\r\n", "411"),
        (b"POST /segment HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "411"),
        (b"POST /segment HTTP/1.1\r\nContent-Length: -5\r\n\r\n", "400"),
        (b"POST /segment HTTP/1.1\r\nContent-Length: 5e9\r\n\r\n", "400"),
        (b"POST /segment HTTP/1.1\r\nContent-Length: 99999999999999999\r\n\r\n", "413"),
        (b"POST /segment HTTP/1.1\r\nContent-Length: 500\r\n\r\nshort", "400"),
        (b"POST /../../etc/passwd HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "404"),
        (b"POST /segment?file=/etc/passwd HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "404"),
        (b"DELETE /segment HTTP/1.1\r\n\r\n", "501"),
        (b"nonsense\r\n\r\n", "400"),
    ],
)  # fmt: skip
def test_hostile_requests_are_answered(server, request_, status):
    assert status in raw(server, request_)


def test_a_sender_that_dawdles_is_let_go(server):
    line = raw(server, b"POST /segment HTTP/1.1\r\nContent-Length: 500\r\n\r\nshort", finish=False)
    assert " 408 " in line


@pytest.mark.parametrize("seconds", [60])  # of a machine that does much else
def test_forty_requests_four_at_a_time(server, expected):
    """Broken and hostile ones among them: the others get their own answers, and no file is left."""
    hostile = list(HOSTILE.values())

    def ask(index):
        if index % 4 == 3:
            body, status = hostile[index // 4 % len(hostile)]
            return post(server, body)[0] == status
        status, body = post(server, packed(image_array(index % 5)))
        return status == 200 and np.array_equal(segmentation(body)[0], expected[index % 5])

    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(40)))
    end = time.monotonic() + 10  # a request's thread ends a moment after its answer
    while threading.active_count() > threads and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= files


def test_more_requests_than_places_are_sent_away(predictor):
    entered, leave = threading.Event(), threading.Event()

    def slow(x):
        entered.set()
        leave.wait(20)
        return bright(x)

    running, _ = started(
        replace(predictor, model=slow), Limits(megabytes=1, seconds=20, requests=1)
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, running, packed(image_array(0)))
        assert entered.wait(20)
        assert post(running, packed(image_array(1)))[0] == 503
        leave.set()
        assert first.result()[0] == 200
    running.shutdown()
    running.server_close()


def test_memory_that_does_not_suffice_and_bugs_are_answered(predictor):
    def failing(x):
        raise errors.pop()

    errors = [RuntimeError("a bug"), torch.OutOfMemoryError("pretended")]
    running, _ = started(replace(predictor, model=failing), Limits(megabytes=1))
    assert [post(running, packed(image_array(0)))[0] for _ in range(2)] == [413, 500]
    running.shutdown()
    running.server_close()


def test_a_port_that_is_taken_is_said(server, predictor):
    service = Service(predictor, TREE.leaves, VALUES)
    with pytest.raises(HinterlandError, match="--port"):
        make_server(service, port=server.server_port)


def test_the_default_address_is_not_reachable_from_elsewhere(server):
    assert server.server_address[0] == "127.0.0.1"
