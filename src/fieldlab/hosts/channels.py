"""What passes over one channel of a connection: a program's outputs, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import IO, Any

from fieldlab.domain.errors import MissingExtra
from fieldlab.ports.host import MOST_IN_MEMORY, Sink

try:  # all that speaks ssh imports this module before asyncssh itself
    import asyncssh  # noqa: F401
except ImportError as error:
    raise MissingExtra("ssh", "Reaching hosts by ssh") from error

#: stands for a signal that sshd has no name for, such as SIGBUS
UNNAMED_SIGNAL = 127
#: what sshd and the network can still hold when a program has ended, bytes
_UNDER_WAY = 8 << 20
#: an output that others hold open is given up after so long without a byte, s
_QUIET_S = 1.0
#: a kept beginning of stderr, for what the scripts say
_HEAD = 4096


class Tap:
    """Keeps one output up to a limit, and counts what it doesn't keep."""

    def __init__(self, file: Path | None, most_bytes: int) -> None:
        self._file: IO[bytes] | None = None if file is None else file.open("wb", buffering=0)
        self._room = most_bytes if file is not None else min(most_bytes, MOST_IN_MEMORY)
        self._parts: list[bytes] = []
        self.lost_bytes = 0

    def write(self, data: bytes) -> None:
        """Take what came; raises OSError where the disk doesn't."""
        if len(data) > self._room:
            self.lost_bytes += len(data) - self._room
            data = data[: self._room]
        if not data:
            return
        self._room -= len(data)
        if self._file is None:
            self._parts.append(data)
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    @property
    def kept(self) -> bytes:
        """What was kept in memory."""
        return b"".join(self._parts)

    def close(self) -> bytes:
        """Close the file, and give what was kept in memory."""
        self._room = 0
        if self._file is not None:
            self._file.close()
        return self.kept


class Conversation:
    """One program on a machine, as asyncssh tells of it.

    Outputs are written where they arrive, before the machine is allowed to send more: a flood
    fills neither memory nor, beyond the limit, the disk.

    Parameters
    ----------
    barrier
        Whether the script says when all is ready, and when it starts.
    first
        Told the script together with the request for it, rather than after a round trip.
    """

    def __init__(
        self, sink: Sink | None = None, *, barrier: bool = False, first: bytes = b""
    ) -> None:
        sink = sink or Sink()
        self.stdout = Tap(sink.stdout, sink.most_bytes)
        try:
            self.stderr = Tap(sink.stderr, sink.most_bytes)
        except OSError:
            self.stdout.close()
            raise
        self.head = b""
        #: lines that come before the output: that all is ready, and when it started
        self._lines_ahead = 2 if barrier else 0
        self._ahead = b""
        self.ready = asyncio.Event()
        self.started = 0.0
        #: exit code, or the negative number of a signal; None: the channel closed without one
        self.code: int | None = None
        #: why outputs can't be kept here
        self.fault: OSError | None = None
        self.lost: Exception | None = None
        self._exited = asyncio.Event()
        self._closed = asyncio.Event()
        self._heard = time.monotonic()
        #: Unix time at which its first output came, s; 0 for none
        self.first_heard = 0.0
        #: Unix time at which it was told what to do, s
        self.asked = 0.0
        self._first = first
        #: when it was told the first lines (monotonic, s); it may have done something since
        self.told = 0.0
        self._news = asyncio.Event()
        self._since_exit = 0
        self.channel: Any = None

    # what asyncssh calls

    def connection_made(self, channel: Any) -> None:
        self.channel = channel
        if self._first:  # once the request is on its way, which it is when this returns
            asyncio.get_running_loop().call_soon(self._speak)

    def _speak(self) -> None:
        if self._first:
            self.told = time.monotonic()
            self.tell(self._first)

    def session_started(self) -> None:
        pass

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._heard = time.monotonic()
        self.first_heard = self.first_heard or time.time()
        self._news.set()
        if self._exited.is_set():
            self._since_exit += len(data)
        if self._lines_ahead and datatype is None:
            data = self._read_ahead(data)
        if datatype is not None and len(self.head) < _HEAD:
            self.head += data[: _HEAD - len(self.head)]
        if self.fault is None:
            try:
                (self.stdout if datatype is None else self.stderr).write(data)
            except OSError as error:
                self.fault = error
                self._exited.set()

    def eof_received(self) -> bool:
        return True  # we may still have something to say

    def exit_status_received(self, status: int) -> None:
        self._end(status)

    def exit_signal_received(self, name: str, dumped: bool, message: str, language: str) -> None:
        number = getattr(signal, f"SIG{name}", None)
        self._end(-int(number) if number is not None else -UNNAMED_SIGNAL)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = error
        for event in (self._exited, self._closed, self._news, self.ready):
            event.set()

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    # what those call who wait

    @property
    def closed(self) -> bool:
        """Whether the channel is gone, and with it all of the process group."""
        return self._closed.is_set()

    def tell(self, lines: bytes) -> None:
        """Write to the program's script; nothing where the channel is gone."""
        with contextlib.suppress(OSError):  # the channel is closing
            self.channel.write(lines)

    def withdraw(self) -> bool:
        """Say nothing more by itself; whether it was said, so that something may have begun."""
        self._first = b""
        return self.told > 0

    def stop(self) -> None:
        """End the program's input, and with it what still runs of its group."""
        with contextlib.suppress(OSError):
            self.channel.write_eof()

    async def until_exited(self) -> None:
        """Wait until the program has ended, its output can't be kept or the channel is gone."""
        await self._exited.wait()

    async def until_said(self, last: bytes) -> bytes:
        """Wait until its output ends so, or for good, and give the output."""
        while not self.stdout.kept.endswith(last) and not self.closed:
            self._news.clear()
            await self._news.wait()
        return self.stdout.kept

    async def until_gone(self) -> None:
        """Wait until the channel is closed, however long that takes."""
        await self._closed.wait()

    async def until_closed(self) -> bool:
        """Wait until the outputs of an ended program are complete, and its group is gone.

        Returns
        -------
        bool
            Whether the channel closed; otherwise a process outside of the group holds it open.
        """
        self._heard = time.monotonic()
        self.stop()
        while not self._closed.is_set() and self._since_exit < _UNDER_WAY:
            left_s = self._heard + _QUIET_S - time.monotonic()
            if left_s <= 0:
                break
            try:
                async with asyncio.timeout(left_s):
                    await self._closed.wait()
            except TimeoutError:
                continue
        return self._closed.is_set()

    def close(self) -> None:
        """Keep nothing more."""
        self.stdout.close()
        self.stderr.close()

    def drop(self) -> None:
        """Close the channel, whatever is still to come."""
        if self.channel is not None and not self.closed:
            self.channel.abort()

    def _end(self, code: int) -> None:
        self.code = code
        self._exited.set()

    def _read_ahead(self, data: bytes) -> bytes:
        """Take the script's own lines off the front of the output."""
        self._ahead += data
        while self._lines_ahead and b"\n" in self._ahead:
            line, self._ahead = self._ahead.split(b"\n", 1)
            self._lines_ahead -= 1
            if self._lines_ahead:
                self.ready.set()
            else:
                self.started = _seconds(line)
        rest, self._ahead = (b"", self._ahead) if self._lines_ahead else (self._ahead, b"")
        return rest


def _seconds(line: bytes) -> float:
    try:
        return float(line)
    except ValueError:  # a `date` that can't say nanoseconds
        whole = line.split(b".")[0]
        return float(whole) if whole.isdigit() else 0.0
