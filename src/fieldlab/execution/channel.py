"""Messages between fieldlab's own processes: JSON with a length in front, over a socket pair."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!I")

Message = dict[str, Any]

#: bytes of a message; more can only be a mistake
LARGEST = 1 << 30


def encode(message: Message) -> bytes:
    """Write a message as bytes."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


class Channel:
    """The blocking end of a socket pair, as workers and the keeper use it."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        """Give the file descriptor, so that a selector can wait for it."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send a message whole."""
        self._socket.sendall(encode(message))

    def send_text(self, body: str) -> None:
        """Send a message that is JSON already."""
        data = body.encode()
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> Message | None:
        """Wait for a message; None when the other side is gone."""
        head = self._exactly(_LENGTH.size)
        body = head and self._exactly(_LENGTH.unpack(head)[0])
        return json.loads(body) if body else None

    def receive_with_files(self, most: int) -> tuple[Message | None, list[int]]:
        """Wait for a message that comes with open files (descriptors that are ours to close)."""
        head, files, _, _ = socket.recv_fds(self._socket, _LENGTH.size, most)
        if not head:
            return None, files
        head += self._exactly(_LENGTH.size - len(head)) or b""
        body = self._exactly(_LENGTH.unpack(head)[0])
        return (json.loads(body) if body else None), files

    def _exactly(self, size: int) -> bytes | None:
        parts = []
        while size:
            part = self._socket.recv(min(size, 1 << 20))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


async def receive(reader: asyncio.StreamReader) -> Message | None:
    """Wait for a message on the engine's side; None when the other side is gone.

    Raises
    ------
    ValueError
        What came is no message.
    """
    try:
        head = await reader.readexactly(_LENGTH.size)
        size: int = _LENGTH.unpack(head)[0]
        if size > LARGEST:
            raise ValueError(f"a message of {size} bytes: something else wrote to the socket")
        body = await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError(f"a message that is no mapping but {type(message).__name__}")
    return message
