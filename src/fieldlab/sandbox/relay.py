"""A relay of network frames, for kernels without netem: it delays, doubles and reorders.

It stands between the end of a host's cable and the bridge, and takes frames on either side from one
to the other. Offloads stay as they are: with each frame goes the header (``virtio_net_hdr``) that
says which checksum and which segmentation the kernel still owes.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import random
import select
import signal
import socket
import time
import traceback
from dataclasses import asdict, dataclass
from typing import NoReturn

from fieldlab.sandbox import kernel
from fieldlab.sandbox.children import Child, become_child

_ALL_PROTOCOLS = 0x0003
_SOL_PACKET = 263
_VNET_HEADER = 15
_IGNORE_OUTGOING = 23
_RECEIVE_BUFFER_FORCED = 33
#: room for the frames that wait for this process, bytes
_BUFFER = 8 << 20
#: the largest frame, with its header, bytes
_FRAME = (1 << 16) + 256
#: more frames don't wait: they are lost, as on a router
_MOST_WAITING = 20_000
#: frames taken from a side before the other has its turn
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What is done to frames."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    #: share of frames that go twice, 0 to 1
    duplication: float = 0.0


def start(sides: tuple[str, str], what: str) -> Child:
    """Start a relay between two interfaces of this process's network namespace."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _run(sides, theirs)
    theirs.close()
    return Child(pid, ours, what)


def order_of(treatment: Treatment) -> str:
    """Write the order to treat frames so."""
    return json.dumps(asdict(treatment))


def _run(sides: tuple[str, str], orders: socket.socket) -> NoReturn:
    code = 1
    try:
        kernel.die_with_parent(signal.SIGKILL)
        become_child({orders.fileno()})
        _Relay(sides, orders).serve()
        code = 0
    except BaseException:  # noqa: BLE001 - nobody is above to whom it could go
        traceback.print_exc()
    finally:
        os._exit(code)


class _Relay:
    """Frames on their way between two interfaces."""

    def __init__(self, sides: tuple[str, str], orders: socket.socket) -> None:
        self._orders = orders
        first, second = (_open(name) for name in sides)
        self._other = {first: second, second: first}
        self._treatment = Treatment()
        self._waiting: list[tuple[float, int, socket.socket, bytes]] = []
        self._count = 0

    def serve(self) -> None:
        """Pass frames until the supervisor is gone."""
        everything = [self._orders, *self._other]
        while True:
            now = time.monotonic()
            pause = max(0.0, self._waiting[0][0] - now) if self._waiting else None
            for ready in select.select(everything, [], [], pause)[0]:
                if ready is not self._orders:
                    self._take(ready)
                elif not self._obey():
                    return
            self._send_due()

    def _obey(self) -> bool:
        order = self._orders.recv(4096)
        if not order:
            return False
        self._treatment = Treatment(**json.loads(order))
        self._orders.sendall(b"done\n")
        return True

    def _take(self, side: socket.socket) -> None:
        treatment = self._treatment
        for _ in range(_AT_ONCE):
            try:
                frame = side.recv(_FRAME)
            except OSError:  # nothing more, or the link was taken down
                return
            copies = 2 if random.random() < treatment.duplication else 1
            for _ in range(copies):
                if len(self._waiting) >= _MOST_WAITING:
                    return
                wait_s = treatment.delay_s + random.uniform(-1, 1) * treatment.jitter_s
                self._count += 1
                due = time.monotonic() + max(0.0, wait_s)
                heapq.heappush(self._waiting, (due, self._count, self._other[side], frame))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, side, frame = heapq.heappop(self._waiting)
            with contextlib.suppress(OSError):  # a full queue or a link that is down loses it
                side.send(frame)


def _open(name: str) -> socket.socket:
    """Take every frame that comes in at an interface."""
    side = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    side.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)
    side.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    try:
        side.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCED, _BUFFER)
    except PermissionError:
        side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    side.setblocking(False)
    side.bind((name, _ALL_PROTOCOLS))
    return side
