"""The server of the page, on this computer alone."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from counterforensics.errors import StudyError

HOST = "127.0.0.1"
MOST_WAITING = 100
# The browser may fetch nothing from elsewhere, whatever a library of the page asks for.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)


def serve(port: int, *, wait: bool = True, say: Callable[[str], None] = print) -> Callable[[], None]:
    """Serve the page on 127.0.0.1 until the process is interrupted, or until the function that it returns is called.

    port: 1 to 65535.  wait: whether to return only at the end.  say: gets one line, the address.  Uploads and results
    lie in a temporary folder, which is deleted at the end.
    Raises StudyError without the extra `app`, or if the port is taken.
    """
    _check_free(port)
    folder = tempfile.TemporaryDirectory(prefix="counterforensics-app-", ignore_cleanup_errors=True)
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder.name, HF_HUB_DISABLE_TELEMETRY="1")
    try:
        page = _launched(port, Path(folder.name))
    except BaseException:
        folder.cleanup()
        raise

    def close() -> None:
        page.close(verbose=False)
        folder.cleanup()

    say(f"The page is at http://{HOST}:{port} until you press Ctrl-C; nothing leaves this computer, nothing is kept")
    if wait:
        before = signal.signal(
            signal.SIGTERM, lambda number, _: sys.exit(128 + number)
        )  # the folder is deleted then, too
        try:
            page.server.thread.join()
        finally:
            close()
            signal.signal(signal.SIGTERM, before)
    return close


def _launched(port: int, folder: Path) -> Any:
    """The page, served by a thread."""
    try:
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from counterforensics.app.page import THEME, build
    except ImportError as error:
        raise StudyError("the page needs the extra app: pip install 'counterforensics[app]'") from error
    from counterforensics.app.clients import Clients
    from counterforensics.app.uploads import MOST_MEGABYTES
    from counterforensics.app.views import CSS

    page = build(Clients(folder))
    page.queue(max_size=MOST_WAITING)
    # A page of somebody else cannot ask this server through a name that leads here.
    only_here = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    page.launch(
        server_name=HOST,
        server_port=port,
        prevent_thread_lock=True,
        share=False,
        quiet=True,
        ssr_mode=False,
        max_file_size=MOST_MEGABYTES * 2**20,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        theme=THEME,
        css=CSS,
        app_kwargs={"middleware": [only_here, Middleware(OwnHostOnly)]},
    )
    return page


def _check_free(port: int) -> None:
    """Raise StudyError if nothing can be served on `port`: the libraries of the page take seconds to load."""
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((HOST, port))
    except OSError as error:
        reason = error.strerror or error
        raise StudyError(f"cannot serve on port {port} ({reason}); give another one with --port") from error


class OwnHostOnly:
    """Forbids the browser, in each answer, to fetch anything from another host (ASGI middleware)."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
                message = {**message, "headers": [*headers, (b"referrer-policy", b"no-referrer")]}
            await send(message)

        await self.app(scope, receive, sending)
