"""What receives messages to people: a mail server and an HTTP server on loopback, a program."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import threading
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

#: longest that anything on loopback may take, s
_PATIENCE_S = 30.0


def free_port() -> int:
    """Find a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class HttpReceiver:
    """Takes notifications as JSON (``json://…``); it can be down, refuse, or never answer."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"json://localhost:{self.port}/hook"
        self.received: list[dict[str, Any]] = []
        #: requests that have come, also those that were refused
        self.asked = 0
        self.code = 200
        #: while it isn't set, no answer is given
        self.answers = threading.Event()
        self.answers.set()
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.answers.set()
        self.down()

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.received]

    @property
    def text(self) -> str:
        """All that was received."""
        return "\n".join(f"{each['title']}\n{each['message']}" for each in self.received)

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.asked += 1
                receiver.answers.wait(_PATIENCE_S)
                if receiver.code == 200:
                    receiver.received.append(body)
                self.send_response(receiver.code)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class SmtpSink:
    """A mail server that keeps what it gets."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.url = (
            f"mailto://localhost:{self._controller.port}?from=lab@example.org&to=ada@example.org"
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        return "250 OK"


def text_of(message: EmailMessage) -> str:
    """Read the plain text of a mail."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def teller(folder: Path, script: str) -> list[str]:
    """Write a program that is to be told; give its argument vector."""
    file = folder / "tell.sh"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return ["./tell.sh"]
