"""A small HTTP server around a warm model: POST an image, get its segmentation."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from hinterland.inference.service import CHUNK, Refusal, Service
from hinterland.types import HinterlandError

LOG = logging.getLogger(__name__)
SEGMENT = "/segment"
LINGER = 2.0
"""Seconds for which a refused upload is still read, so that its sender comes to see the answer."""


def make_server(service: Service, host: str = "127.0.0.1", port: int = 8787) -> ThreadingHTTPServer:
    """Bind a server; `serve_forever` then answers requests until `shutdown`.

    GET / says in JSON what the model's labels and channels are. POST /segment takes a NIfTI file
    (.nii or .nii.gz, several channels along the fourth axis) as its body and answers with a label
    file (.nii.gz). Whatever is wrong with a request is answered with a 4xx status and
    {"error": "..."}. Nothing of a request names a file here; uploads lie in private temporary
    folders that go with the request.

    Args:
        service: the model and its limits.
        host: address to listen at; the default cannot be reached from other machines.
        port: 0 takes a free one, which `server_port` tells.

    Returns:
        The server.

    Raises:
        HinterlandError: the address is taken or not this machine's.
    """
    try:
        return _Server(service, host, port)
    except OSError as error:
        raise HinterlandError(
            f"nothing can listen at {host}:{port} ({error.strerror}). Give another --port or "
            "--host."
        ) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, service: Service, host: str, port: int) -> None:
        self.service = service
        self.places = threading.BoundedSemaphore(service.limits.requests)
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOG.info("a client went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    server_version, sys_version = "hinterland", ""

    def setup(self) -> None:
        """Wait for the client no longer than the limit, each time."""
        super().setup()
        self.connection.settimeout(self.server.service.limits.seconds)

    def do_GET(self) -> None:
        """Say what the model is."""
        if self.path == "/":
            self._answer(HTTPStatus.OK, self.server.service.describe())
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"there are GET / and POST {SEGMENT}."})

    def do_POST(self) -> None:
        """Segment the body."""
        self.close_connection = True  # what is left of a refused body is no next request
        self._unread = 0
        try:
            length = self._length()
            if not self.server.places.acquire(blocking=False):
                raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many images; try again.")
            try:
                with tempfile.TemporaryDirectory(prefix="hinterland-serve-") as folder:
                    self._receive(Path(folder) / "upload", length)
                    self._send_file(self.server.service.segment(Path(folder)))
            finally:
                self.server.places.release()
        except Refusal as refusal:
            self._answer(refusal.status, {"error": str(refusal)})
            self._linger()
        except (MemoryError, torch.OutOfMemoryError):
            message = "the memory does not suffice for this image."
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": message})
        except (ConnectionError, TimeoutError):
            LOG.info("a client went away")
        except Exception:
            LOG.exception("a request failed")
            self._answer(
                HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "a bug; see the server's log."}
            )

    def _length(self) -> int:
        """Return the bytes of the body that the request announces, if that is acceptable."""
        text = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not text:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "say the Content-Length; no chunks.")
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length is no number.")
        self._unread = int(text)
        if self.path != SEGMENT:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there are GET / and POST {SEGMENT}.")
        if not self._unread:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body is empty; send a NIfTI file.")
        if self._unread > self.server.service.limits.size:
            raise self.server.service.too_large("the upload is")
        return self._unread

    def _receive(self, upload: Path, length: int) -> None:
        end = time.monotonic() + self.server.service.limits.seconds
        with upload.open("wb") as file:
            while self._unread:
                self.connection.settimeout(max(end - time.monotonic(), 0.01))
                try:
                    chunk = self.rfile.read1(min(CHUNK, self._unread))
                except TimeoutError:
                    raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the upload took too long.") from None
                if not chunk:
                    got = length - self._unread
                    raise Refusal(HTTPStatus.BAD_REQUEST, f"{length} bytes announced, {got} sent.")
                self._unread -= len(chunk)
                file.write(chunk)

    def _send_file(self, path: Path) -> None:
        self.connection.settimeout(self.server.service.limits.seconds)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Content-Length", str(path.stat().st_size))
        self.send_header("Connection", "close")
        self.end_headers()
        with path.open("rb") as file:
            shutil.copyfileobj(file, self.wfile)

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    def _linger(self) -> None:
        end = time.monotonic() + LINGER
        with suppress(OSError):
            while self._unread > 0 and (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                chunk = self.rfile.read1(min(CHUNK, self._unread))
                if not chunk:
                    return
                self._unread -= len(chunk)

    def log_message(self, format: str, *args: Any) -> None:
        """Log requests instead of printing them."""
        LOG.info("%s %s", self.address_string(), format % args)
