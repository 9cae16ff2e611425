"""Who plays in the chaos: a program that publishes, and an actor that counts.

As a program: ``cast.py NUMBER`` publishes that many messages, going on where an earlier one ended.
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import sqlalchemy as sa

from fieldlab import Actor, Context, DeliveryPolicy, Envelope
from fieldlab.app import Lab
from fieldlab.app.messaging import open_bus

TOPIC = "work.item"
BATCH = 25


class Counting(Actor):
    """Writes a row for each message, in the commit that acknowledges it."""

    topics = ("work.*",)
    concurrency = 32
    policy = DeliveryPolicy(attempts=10_000, lease_s=1.0, delay_s=0.05)

    async def handle(self, envelope: Envelope, context: Context) -> None:
        def count(connection: sa.Connection) -> None:
            statement = sa.text("INSERT INTO counted (message_id) VALUES (:id)")
            connection.execute(statement, {"id": envelope.id})

        context.effect(count)
        context.publish("counted", envelope.body)


async def publish(number: int) -> None:
    """Send messages whose ids say which they are, a batch at a time."""
    lab = Lab()
    with lab.database.read() as connection:
        query = sa.text("SELECT count(*) FROM messages WHERE topic = :topic")
        sent = connection.scalar(query, {"topic": TOPIC}) or 0
    async with open_bus(lab) as bus:
        for start in range(sent, number, BATCH):
            batch = [
                Envelope(id=str(uuid.UUID(int=each)), topic=TOPIC, body=each)
                for each in range(start, min(start + BATCH, number))
            ]
            await asyncio.gather(*map(bus.send, batch))
    lab.close()


if __name__ == "__main__":
    asyncio.run(publish(int(sys.argv[1])))
