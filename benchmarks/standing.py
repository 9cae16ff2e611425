"""fieldlab's bus with a million messages standing: what taking some of them costs."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from benchmarks.bus import ms, on_postgresql, on_sqlite
from benchmarks.contenders.traffic import PAYLOAD
from benchmarks.measuring import BenchmarkFailed, fresh
from benchmarks.racing import ratio
from benchmarks.reporting import Report
from benchmarks.servers import POSTGRESQL
from fieldlab.domain.messages import DeliveryPolicy, DeliveryState, Envelope
from fieldlab.ports.bus import Settlement
from fieldlab.store.database import Database
from fieldlab.store.messaging import SqlMessages

STANDING = (1_000, 1_000_000)
#: messages that one call takes
TAKEN = (1, 10)
#: calls of each round
CALLS = 40
#: messages that one call posts
BATCH = 10_000
GROUP, TOPIC = "bench", "bench.standing"
CONSUMER = "0" * 36


def measure(folder: Path, rounds: int) -> Report:
    """Let messages stand in both databases, and take some of them."""
    with servers.running((POSTGRESQL,), fresh(folder)) as urls:
        addresses = {"SQLite": on_sqlite(urls, fresh(folder))}
        if urls:
            addresses["PostgreSQL"] = on_postgresql(urls, folder)
        rows = [row for name, url in addresses.items() for row in _measure(name, url, rounds)]
    few, many = STANDING
    return Report(
        name="standing",
        title=f"Taking messages while {many:,} stand in the queue",
        head=("", "taken at a time", f"of {few:,}", f"of {many:,}", "times as long"),
        rows=rows,
    )


def _measure(name: str, url: str, rounds: int) -> list[list[str]]:
    database = Database(url)
    database.upgrade()
    messages = SqlMessages(database)
    messages.subscribe(GROUP, [TOPIC], lasts_s=None, backlog=False)
    queue = _Queue(messages)
    found = {}
    for standing in STANDING:
        queue.fill(standing)
        for taken in TAKEN:
            found[standing, taken] = queue.take(taken, CALLS * rounds)
    database.close()
    few, many = STANDING
    return [
        [
            f"fieldlab, {name}",
            f"{taken}",
            ms(found[few, taken]),
            ms(found[many, taken]),
            ratio(found[many, taken] / found[few, taken]),
        ]
        for taken in TAKEN
    ]


@dataclass(slots=True)
class _Queue:
    """The messages of one group."""

    messages: SqlMessages
    standing: int = 0

    def fill(self, standing: int) -> None:
        """Post until so many stand."""
        while self.standing < standing:
            posted = min(BATCH, standing - self.standing)
            body = {"payload": PAYLOAD}
            self.messages.post([Envelope(topic=TOPIC, body=body) for _ in range(posted)])
            self.standing += posted

    def take(self, taken: int, calls: int) -> float:
        """Claim and acknowledge so many at a time; give the median time of a claim, ms.

        As many new ones are posted meanwhile, as in a queue that stands.

        Raises
        ------
        BenchmarkFailed
            A call didn't get what it could have.
        """
        times = []
        for _ in range(calls):
            began = time.perf_counter()
            claims, _again = self.messages.claim(GROUP, CONSUMER, taken, DeliveryPolicy())
            times.append(time.perf_counter() - began)
            if len(claims) != taken:
                raise BenchmarkFailed(f"Of {self.standing:,} messages {len(claims)} were claimed")
            self.messages.settle(
                [Settlement(claim=each, target=DeliveryState.ACKNOWLEDGED) for each in claims]
            )
            self.standing -= taken
            self.fill(self.standing + taken)
        return statistics.median(times) * 1e3
