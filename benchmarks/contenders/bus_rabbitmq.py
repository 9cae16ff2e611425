"""RabbitMQ: a durable queue, persistent messages, publisher confirms, manual acknowledgements."""

from __future__ import annotations

import json
from typing import Any

import aio_pika  # type: ignore[import-not-found,unused-ignore]

from benchmarks.contenders.traffic import AT_ONCE, Body, Order, Receipts, play, send


async def publish(order: Order) -> None:
    """Send; a channel of aio-pika waits for the broker's confirmation of each message."""
    async with await aio_pika.connect(order.address) as connection:
        exchange = (await connection.channel()).default_exchange

        async def one(body: Body) -> None:
            message = aio_pika.Message(
                json.dumps(body).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
            )
            await exchange.publish(message, order.name)

        await send(order, one)


async def consume(order: Order) -> None:
    """Receive and acknowledge."""
    receipts = Receipts(order)

    async def handle(message: Any) -> None:
        with receipts.receipt(json.loads(message.body)):
            await message.ack()

    async with await aio_pika.connect(order.address) as connection:
        channel = await connection.channel()
        await channel.set_qos(AT_ONCE)
        queue = await channel.declare_queue(order.name, durable=True)
        await queue.consume(handle)
        receipts.listening()
        await receipts.wait()
    receipts.write()


if __name__ == "__main__":
    play(publish, consume)
