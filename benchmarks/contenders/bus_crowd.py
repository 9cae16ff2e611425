"""Many consumers on fieldlab's bus, over several processes: each has a subscription of its own.

Ten consumers share a group, and every process has some of them; each group has a topic of its own.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from benchmarks.contenders.bus_fieldlab import bus_of, handle
from benchmarks.contenders.traffic import Body, Order, Receipts, send

#: consumers of a group
SHARING = 10
PROCESSES = 4


async def publish(order: Order, consumers: int) -> None:
    """Send to the groups in turn."""
    groups = consumers // SHARING
    async with bus_of(order) as bus:

        async def one(body: Body) -> None:
            await bus.publish(topic(order, body["number"] % groups), body)

        await send(order, one)


async def consume(order: Order, consumers: int, process: int) -> None:
    """Be one of the processes, until told to stop."""
    receipts = Receipts(order)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with bus_of(order) as bus, asyncio.TaskGroup() as group:
        subscriptions = [
            await bus.subscribe([topic(order, each // SHARING)], group=f"group{each // SHARING}")
            for each in range(process, consumers, PROCESSES)
        ]
        for each in subscriptions:
            group.create_task(handle(each, receipts))
        receipts.listening()
        await stop.wait()
        for each in subscriptions:
            each.drain()
    receipts.write()


def topic(order: Order, group: int) -> str:
    """Name the topic of a group."""
    return f"{order.name}.{group}"


def main() -> None:
    """Play the part that the command line names."""
    *words, consumers, process = sys.argv[1:]
    role, order = Order.read(words)
    if role == "publish":
        asyncio.run(publish(order, int(consumers)))
    else:
        asyncio.run(consume(order, int(consumers), int(process)))


if __name__ == "__main__":
    main()
