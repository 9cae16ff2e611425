"""A table of messages, and a listener that looks, and sleeps the longer the longer nothing came.

So did the message queue of ALMA's workflow mock-up on CouchDB; here in SQLite, with an index, and
with a claim that only one listener gets. The address says for how many seconds the listener has
waited when the first message is sent.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing

from benchmarks.contenders.bare_results import connect
from benchmarks.contenders.traffic import PATIENCE_S, WARM_UP, Body, Order, Receipts, play, send

#: a listener that has waited for less than the first sleeps for the second, s
SLEEPS_S = ((60.0, 1.0), (300.0, 5.0), (3_600.0, 30.0), (float("inf"), 60.0))


async def publish(order: Order) -> None:
    """Send, a commit for each."""
    with closing(connect_queue(order)) as connection:

        async def one(body: Body) -> None:
            connection.execute(
                "INSERT INTO messages (selector, body) VALUES (?, ?)",
                (order.name, json.dumps(body)),
            )

        await send(order, one)


async def consume(order: Order) -> None:
    """Take messages one by one, marking each as consumed."""
    receipts = Receipts(order)
    silent_s = float(order.address)
    with closing(connect_queue(order)) as connection:
        connection.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, selector TEXT, body TEXT,"
            " consumed INTEGER DEFAULT 0)"
        )
        connection.execute("CREATE INDEX unread ON messages (selector, id) WHERE consumed = 0")
        receipts.listening()
        await asyncio.to_thread(listen, order, receipts, silent_s)
    receipts.write()


def connect_queue(order: Order) -> sqlite3.Connection:
    """Open the queue."""
    return connect(order.meet / "messages.db")


def listen(order: Order, receipts: Receipts, silent_s: float) -> None:
    """Look for messages, and sleep while there are none."""
    began = time.monotonic()
    waits_since = began - silent_s
    left = order.messages + WARM_UP
    with closing(connect_queue(order)) as connection:
        while left and time.monotonic() < began + PATIENCE_S:
            found = connection.execute(
                "SELECT id, body FROM messages WHERE selector = ? AND consumed = 0"
                " ORDER BY id LIMIT 1",
                (order.name,),
            ).fetchone()
            if found is None:
                time.sleep(pause_s(time.monotonic() - waits_since))
                continue
            with receipts.receipt(json.loads(found[1])):
                taken = connection.execute(
                    "UPDATE messages SET consumed = 1 WHERE id = ? AND consumed = 0", found[:1]
                )
            waits_since = time.monotonic()
            left -= taken.rowcount


def pause_s(waited_s: float) -> float:
    """Say how long to sleep after having waited for so long, s."""
    return next(sleep_s for limit_s, sleep_s in SLEEPS_S if waited_s < limit_s)


if __name__ == "__main__":
    play(publish, consume)
