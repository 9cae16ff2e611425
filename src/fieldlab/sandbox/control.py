"""Asking the supervisor of a sandbox: a document there, a document back, over a socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fieldlab.domain.errors import SandboxError

#: the longest that the supervisor may take to answer, s
PATIENCE_S = 60.0
_LONGEST = 1 << 20


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Name a socket such that its path isn't too long, however deep its folder lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the supervisor that listens at a socket.

    Raises
    ------
    SandboxError
        It says that it can't, or it isn't there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_S)
        try:
            with short_path(path) as name:
                connection.connect(name)
            connection.sendall(encode(request))
            answer = receive(connection)
        except (OSError, ValueError) as error:
            raise SandboxError(
                f"The sandbox in {path.parent} doesn't answer: {error}",
                remedy="Take it down with `fieldlab sandbox down`, and up again",
            ) from error
    if "error" in answer:
        raise SandboxError(answer["error"], remedy=answer.get("remedy", ""))
    return answer


def receive(connection: socket.socket) -> dict[str, Any]:
    """Read one document.

    Raises
    ------
    ValueError
        It is cut off, or isn't one.
    """
    text = b""
    while not text.endswith(b"\n") and len(text) < _LONGEST:
        part = connection.recv(65_536)
        if not part:
            break
        text += part
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("not a document")
    return document


def encode(document: dict[str, Any]) -> bytes:
    """Write one document, as :func:`receive` reads it."""
    return json.dumps(document).encode() + b"\n"


def decode(text: bytes) -> dict[str, Any]:
    """Read what :func:`encode` wrote."""
    document: dict[str, Any] = json.loads(text)
    return document
