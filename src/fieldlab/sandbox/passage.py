"""A way into the network of a sandbox in a user namespace: ssh's ``ProxyCommand``.

``python -m fieldlab.sandbox.passage FOLDER ADDRESS PORT`` enters the namespaces, connects, and
passes what comes between the connection and its standard input and output.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from pathlib import Path

from fieldlab.sandbox import kernel
from fieldlab.sandbox.folder import Folder, started_ticks

#: how long a connection may take, s
_PATIENCE_S = 10.0
_CHUNK = 1 << 16


def main(argv: list[str]) -> int:
    """Connect standard input and output with a host."""
    standing = Folder(Path(argv[1])).read_standing()
    if standing is None or started_ticks(standing.supervisor) != standing.started_ticks:
        sys.stderr.write(f"There is no sandbox in {argv[1]}\n")
        return 1
    for kind, flag in (("user", kernel.NEW_USER), ("net", kernel.NEW_NETWORK)):
        namespace = os.open(f"/proc/{standing.supervisor}/ns/{kind}", os.O_RDONLY)
        kernel.enter(namespace, flag)
        os.close(namespace)
    try:
        connection = socket.create_connection((argv[2], int(argv[3])), _PATIENCE_S)
    except OSError as error:
        sys.stderr.write(f"{argv[2]} port {argv[3]}: {error}\n")
        return 1
    with connection:
        connection.settimeout(None)
        _pass(connection)
    return 0


def _pass(connection: socket.socket) -> None:
    """Pass bytes both ways until the host closes the connection, or nobody reads its answers."""
    wanted: list[int] = [0, connection.fileno()]
    while connection.fileno() in wanted:
        ready, _, _ = select.select(wanted, [], [])
        if 0 in ready:
            chunk = os.read(0, _CHUNK)
            connection.sendall(chunk)
            if not chunk:
                connection.shutdown(socket.SHUT_WR)
                wanted.remove(0)
        if connection.fileno() in ready:
            chunk = connection.recv(_CHUNK)
            if not chunk:
                return
            view = memoryview(chunk)
            while view:
                view = view[os.write(1, view) :]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except (BrokenPipeError, ConnectionError):
        sys.exit(1)
