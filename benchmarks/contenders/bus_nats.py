"""NATS JetStream: a work-queue stream in files, acknowledged publishes, manual acknowledgements."""

from __future__ import annotations

import json
from typing import Any

import nats  # type: ignore[import-not-found,unused-ignore]
from nats.js import api  # type: ignore[import-not-found,unused-ignore]

from benchmarks.contenders.traffic import Body, Order, Receipts, play, send


async def publish(order: Order) -> None:
    """Send, waiting for the stream's acknowledgement of each message."""
    connection = await nats.connect(order.address)
    stream = connection.jetstream()

    async def one(body: Body) -> None:
        await stream.publish(order.name, json.dumps(body).encode())

    await send(order, one)
    await connection.close()


async def consume(order: Order) -> None:
    """Receive and acknowledge."""
    receipts = Receipts(order)

    async def handle(message: Any) -> None:
        with receipts.receipt(json.loads(message.data)):
            await message.ack()

    connection = await nats.connect(order.address)
    stream = connection.jetstream()
    await stream.add_stream(
        name=order.name,
        subjects=[order.name],
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.WORK_QUEUE,
    )
    await stream.subscribe(order.name, durable="bench", cb=handle, manual_ack=True)
    receipts.listening()
    await receipts.wait()
    await connection.drain()
    receipts.write()


if __name__ == "__main__":
    play(publish, consume)
