"""optuna-dashboard over a copy of a study, on this machine's loopback address only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from nas.dashboard.copy import Copy
from nas.data.extras import require_extra
from nas.errors import ConfigError, StudyError
from nas.search.study import Study

HOST = "127.0.0.1"
"""Nobody on another machine can reach it."""
READING_SHARE = 0.02
"""Share of a processor, at most, that reading the database takes."""
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def require_dashboard() -> None:
    """Make sure that optuna-dashboard is there.

    Raises:
        DataError: It is not installed.
    """
    require_extra("optuna_dashboard", extra="dashboard", what="nas dashboard")


@contextmanager
def dashboard(study: Study, *, port: int) -> Iterator[Serving]:
    """Serve a copy of a study until the block ends.

    Args:
        study: That has been run; its database is only read.
        port: On which to listen; 0 for any that is free.

    Raises:
        DataError: optuna-dashboard is not installed.
        ConfigError: The port is taken.
    """
    require_dashboard()
    from optuna_dashboard import wsgi

    copy = Copy(study)
    try:
        server = make_server(HOST, port, _from_here(wsgi(copy.storage)), server_class=_Server, handler_class=_Silent)
    except OSError as error:
        raise ConfigError(
            f"--port {port} cannot be used: {error.strerror}; give another, or 0 for a free one"
        ) from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Serving(copy, f"http://{HOST}:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


class Serving:
    """A dashboard that listens.

    Attributes:
        url: Where.
    """

    def __init__(self, copy: Copy, url: str) -> None:
        """Keep what is served."""
        self._copy, self.url = copy, url

    def follow(self, *, seconds: float, note: Callable[[str], None]) -> None:
        """Take over what is new every so many seconds, until Ctrl-C.

        Args:
            seconds: Between two looks at the database, at least.
            note: Is told in one line where the database does not answer; that is no end.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        told = ""
        while True:
            began = time.process_time()
            try:
                self._copy.refresh()
                told = ""
            except StudyError as error:
                if str(error) != told:
                    note(told := str(error))
            time.sleep(max(seconds, (time.process_time() - began) / READING_SHARE))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing for each request."""


def _from_here(application: Application) -> Application:
    """Let only pages of this address ask: another site's name may be made to lead here, but its requests say so."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").rpartition(":")[0] in (HOST, "localhost"):
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"ask for 127.0.0.1\n"]

    return guarded
