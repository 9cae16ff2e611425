"""The job of every bus: a process sends numbered messages, another receives and acknowledges each.

Times are of the one monotonic clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: messages before those that count: connections are made, code is loaded
WARM_UP = 20
#: publishes that a sender has under way, and messages that a consumer works on, at a time
AT_ONCE = 100
#: a consumer that hasn't got all by then reports what it has, s
PATIENCE_S = 120.0
#: what a message carries besides its number and its time
PAYLOAD = "2015.1.00657.S uid://X1/X1/Xb2 PipelineCalibration EU"

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process of a contender is told on its command line."""

    #: of the queue, topic or stream
    name: str
    #: URL of the server, or path of the database
    address: str
    messages: int
    #: messages a second; 0: as fast as it can
    rate: float
    #: folder where the two processes meet
    meet: Path

    def argv(self, role: str) -> list[str]:
        """Write it as words of a command line."""
        return [role, self.name, self.address, f"{self.messages}", f"{self.rate}", f"{self.meet}"]

    @classmethod
    def read(cls, words: Sequence[str]) -> tuple[str, Order]:
        """Read the role and the order from a command line."""
        role, name, address, messages, rate, meet = words
        order = cls(
            name=name, address=address, messages=int(messages), rate=float(rate), meet=Path(meet)
        )
        return role, order


def play(
    publish: Callable[[Order], Awaitable[None]], consume: Callable[[Order], Awaitable[None]]
) -> None:
    """Play the part that the command line names."""
    role, order = Order.read(sys.argv[1:])

    async def run() -> None:
        await {"publish": publish, "consume": consume}[role](order)

    asyncio.run(run())


async def send(order: Order, publish: Callable[[Body], Awaitable[object]]) -> None:
    """Send all messages: at an even rate, whatever the answers do, or as fast as it can."""
    for number in range(-WARM_UP, 0):
        await publish(_body(number))
    numbers = iter(range(order.messages))

    async def sender() -> None:
        for number in numbers:
            await publish(_body(number))

    async with asyncio.TaskGroup() as group:
        if not order.rate:
            for _ in range(AT_ONCE):
                group.create_task(sender())
            return
        begun = time.monotonic()
        for number in numbers:
            await asyncio.sleep(max(begun + number / order.rate - time.monotonic(), 0))
            group.create_task(_once(publish, number))


async def _once(publish: Callable[[Body], Awaitable[object]], number: int) -> None:
    await publish(_body(number))


def _body(number: int) -> Body:
    return {"number": number, "sent": time.monotonic_ns(), "payload": PAYLOAD}


class Receipts:
    """What a consumer got: when each message was sent, when it came, when it was acknowledged."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._times: dict[int, tuple[int, int, int]] = {}
        self._again = 0
        self._complete = asyncio.Event()

    def listening(self) -> None:
        """Let the sender begin."""
        (self._order.meet / "ready").touch()

    @contextmanager
    def receipt(self, body: Body) -> Iterator[None]:
        """Note that a message came, and at the end of the block that it was acknowledged."""
        came = time.monotonic_ns()
        yield
        number = body["number"]
        if number in self._times:
            self._again += 1
        self._times[number] = (body["sent"], came, time.monotonic_ns())
        if len(self._times) == self._order.messages + WARM_UP:
            self._complete.set()

    async def wait(self) -> None:
        """Wait for all messages, or until they are given up."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._complete.wait()
        except TimeoutError:
            print("Some messages have not come")

    def write(self) -> None:
        """Write what came, once the consumer has left properly."""
        times = [times for number, times in sorted(self._times.items()) if number >= 0]
        found = {"times": times, "again": self._again}
        (self._order.meet / "received.json").write_text(json.dumps(found))
