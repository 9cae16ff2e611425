"""fieldlab's bus with many consumers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from benchmarks import servers
from benchmarks.bus import (
    MODEST_RATE,
    MODEST_S,
    Contender,
    Exchange,
    Found,
    Urls,
    ms,
    ours,
    quantile,
    wait_for,
)
from benchmarks.contenders.bus_crowd import PROCESSES, SHARING
from benchmarks.contenders.traffic import PATIENCE_S, WARM_UP, Order
from benchmarks.measuring import BenchmarkFailed, Program, fresh
from benchmarks.reporting import Report
from benchmarks.servers import POSTGRESQL
from fieldlab.app.lab import Lab
from fieldlab.settings import Settings

CONSUMERS = (10, 100, 1_000)
#: messages of a run at full speed
MESSAGES = 2_000
#: how often acknowledged messages are counted, s
LOOK_S = 0.2

_HEAD = ("", "consumers", "delivered within: half", "95 of 100", "99 of 100", "messages/s")


def measure(folder: Path, rounds: int) -> Report:
    """Send to 10, 100 and 1,000 consumers, on both databases."""
    with servers.running((POSTGRESQL,), fresh(folder)) as urls:
        contenders = [each for each in ours("bus_crowd") if not each.missing(urls)]
        found = {(each, crowd): Found() for each in contenders for crowd in CONSUMERS}
        for _ in range(rounds):
            for (each, crowd), kept in found.items():
                modest = _exchange(each, crowd, MODEST_RATE * MODEST_S, MODEST_RATE, urls, folder)
                kept.delays_ms += modest.delays_ms
                kept.rates.append(_exchange(each, crowd, MESSAGES, 0, urls, folder).rate)
    return Report(
        name="consumers",
        title=f"Many consumers, {SHARING} to a group, in {PROCESSES} processes",
        head=_HEAD,
        rows=[_row(each, crowd, kept) for (each, crowd), kept in found.items()],
    )


def _row(contender: Contender, crowd: int, found: Found) -> list[str]:
    delays = [ms(quantile(found.delays_ms, percent)) for percent in (50, 95, 99)]
    return [contender.name, f"{crowd:,}", *delays, f"{found.rate:,.0f}"]


def _exchange(
    contender: Contender, crowd: int, messages: int, rate: float, urls: Urls, folder: Path
) -> Exchange:
    """Run the consumers and a sender until all messages are acknowledged."""
    meet = fresh(folder)
    address = contender.address(urls, meet)
    lab = Lab(Settings(home=meet, database=address), create=True)
    order = Order(name="crowd", address=address, messages=messages, rate=rate, meet=meet)
    orders = [replace(order, meet=fresh(meet)) for _ in range(PROCESSES)]
    programs = [
        contender.start("consume", each, f"{crowd}", f"{process}")
        for process, each in enumerate(orders)
    ]
    for each, program in zip(orders, programs, strict=True):
        wait_for(each.meet / "ready", program)
    contender.start("publish", order, f"{crowd}", "0").finish()
    _wait_for_all(lab, messages + WARM_UP, programs)
    lab.close()
    for program in programs:
        program.process.terminate()
    for program in programs:
        program.finish()
    kept = Exchange.read(*(each.meet / "received.json" for each in orders))
    kept.check(contender.name, messages)
    return kept


def _wait_for_all(lab: Lab, messages: int, programs: Sequence[Program]) -> None:
    """Wait until the lab has so many messages as acknowledged.

    Raises
    ------
    BenchmarkFailed
        They don't become so many.
    """
    until = time.monotonic() + PATIENCE_S
    done = 0
    while done < messages:
        time.sleep(LOOK_S)
        if time.monotonic() > until or not all(each.runs for each in programs):
            raise BenchmarkFailed(f"Consumers acknowledged {done} of {messages} messages")
        with lab.database.read() as connection:
            query = "SELECT COUNT(*) FROM deliveries WHERE state = 'acknowledged'"
            done = int(connection.scalar(sa.text(query)) or 0)
