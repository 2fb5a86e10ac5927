"""Cases over HTTP on this machine alone: a list, and one page a case, made when it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

from hinterland.report.viewer.page import render_page
from hinterland.report.viewing.cases import ViewCases
from hinterland.report.viewing.page import BUDGET, view_page
from hinterland.types import HinterlandError

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"


class CaseServer(ThreadingHTTPServer):
    """Answers on the loopback address only.

    Args:
        cases: what can be shown.
        port: where it listens; 0 takes a free one.
        budget: bytes for the volumes of a page.
    """

    daemon_threads = True

    def __init__(self, cases: ViewCases, port: int = 0, budget: int = BUDGET) -> None:
        self.cases, self.budget = cases, budget
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise HinterlandError(
                f"port {port} of {LOOPBACK} cannot be listened on: {error.strerror}. Give another "
                "--port, or none for a free one."
            ) from None

    @property
    def address(self) -> str:
        """What to type into a browser."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: CaseServer

    def do_GET(self) -> None:
        """Answer with the list of cases or with one of them."""
        # A page elsewhere could give this machine a name of its own (DNS rebinding): answer to
        # the address only.
        if self.headers.get("Host", "").rpartition(":")[0] not in (LOOPBACK, "localhost"):
            self._answer(HTTPStatus.FORBIDDEN, "Ask for the address that was printed.")
            return
        place = urlsplit(self.path).path
        if place == "/":
            self._made(self._list)
            return
        name = unquote(place.removeprefix("/case/"))
        if not place.startswith("/case/") or name not in self.server.cases.names:
            self._answer(HTTPStatus.NOT_FOUND, "There is no such case.")
            return
        self._made(lambda: self._case(name))

    def _list(self) -> str:
        cases = self.server.cases
        links = [{"name": name, "address": f"/case/{quote(name, safe='')}"} for name in cases.names]
        return render_page("cases.html", title=cases.title, lede=cases.about, links=links)

    def _case(self, name: str) -> str:
        cases = self.server.cases
        return view_page(cases.title, f"Case {name}.", [cases.read(name)], self.server.budget)

    def _made(self, make: Callable[[], str]) -> None:
        try:
            page = make()
        except HinterlandError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        self._answer(HTTPStatus.OK, page, "text/html")

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log a request where --verbose asks for it."""
        log.info(format, *args)
