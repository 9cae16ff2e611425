"""fieldlab's bus: one group, its handlers waiting in one subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.contenders.traffic import AT_ONCE, Body, Order, Receipts, play, send
from fieldlab.app.lab import opened
from fieldlab.app.messaging import open_bus
from fieldlab.bus.message_bus import MessageBus
from fieldlab.bus.subscription import Subscription
from fieldlab.settings import Settings


@asynccontextmanager
async def bus_of(order: Order) -> AsyncIterator[MessageBus]:
    """Open the bus of the lab, which is made if there is none."""
    with opened(Settings(home=order.meet, database=order.address), create=True) as lab:
        async with open_bus(lab, print) as bus:
            yield bus


async def publish(order: Order) -> None:
    """Send."""
    async with bus_of(order) as bus:

        async def one(body: Body) -> None:
            await bus.publish(order.name, body)

        await send(order, one)


async def consume(order: Order) -> None:
    """Receive and acknowledge."""
    receipts = Receipts(order)
    async with bus_of(order) as bus, asyncio.TaskGroup() as group:
        subscription = await bus.subscribe([order.name], group="bench")
        receipts.listening()
        for _ in range(AT_ONCE):
            group.create_task(handle(subscription, receipts))
        await receipts.wait()
        subscription.drain()
    receipts.write()


async def handle(subscription: Subscription, receipts: Receipts) -> None:
    """Handle messages until there are to be no more."""
    while (claim := await subscription.next()) is not None:
        with receipts.receipt(claim.envelope.body):
            await subscription.acknowledge(claim)


if __name__ == "__main__":
    play(publish, consume)
