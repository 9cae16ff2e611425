"""procrastinate: a job in PostgreSQL for each message, a worker that is notified of new ones.

A job has succeeded a moment after its task has returned; its receipt says the latter.
"""

from __future__ import annotations

import asyncio
from typing import Any

import procrastinate  # type: ignore[import-not-found,unused-ignore]

from benchmarks.contenders.traffic import AT_ONCE, Body, Order, Receipts, play, send


async def publish(order: Order) -> None:
    """Send."""
    app = app_of(order)
    async with app.open_async():
        job = app.configure_task("handle")

        async def one(body: Body) -> None:
            await job.defer_async(body=body)

        await send(order, one)


async def consume(order: Order) -> None:
    """Receive, and let the worker write that each has succeeded."""
    receipts = Receipts(order)
    app = app_of(order)

    @app.task(name="handle")  # type: ignore[untyped-decorator,unused-ignore]
    async def handle(body: Body) -> None:
        with receipts.receipt(body):
            pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(
            app.run_worker_async(concurrency=AT_ONCE, install_signal_handlers=False)
        )
        receipts.listening()
        await receipts.wait()
        worker.cancel()  # it writes what it has to, then it ends
        await asyncio.wait([worker])
        if await app.job_manager.list_jobs_async(status="doing"):
            raise RuntimeError("Some jobs haven't succeeded")
    receipts.write()


def app_of(order: Order) -> Any:
    """Make an app on the database."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=order.address))


if __name__ == "__main__":
    play(publish, consume)
