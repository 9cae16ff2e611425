"""Messages from one process to another: fieldlab's bus beside brokers and other queues."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import rivals, servers
from benchmarks.contenders.traffic import Order
from benchmarks.measuring import ROOT, BenchmarkFailed, Program, fresh
from benchmarks.racing import ratio
from benchmarks.reporting import Promise, Report
from benchmarks.servers import NATS, POSTGRESQL, RABBITMQ

#: how delivery is timed: so many messages a second, for so many seconds
MODEST_RATE = 50
MODEST_S = 6
ON_SQLITE, ON_POSTGRESQL = "fieldlab, SQLite", "fieldlab, PostgreSQL"
#: within which fieldlab promises to deliver 95 of 100 of them, ms
MOST_MS = {ON_SQLITE: 20.0, ON_POSTGRESQL: 10.0}

_HEAD = (
    "",
    "kept on disk of each message",
    "delivered within: half",
    "95 of 100",
    "99 of 100",
    "messages",
    "messages/s",
    "fieldlab's rate (SQLite) is … times that",
)
_numbers = itertools.count(1)

#: the servers' URLs by their names
Urls = Mapping[str, str]


def on_sqlite(_urls: Urls, meet: Path) -> str:
    """Give the URL of a lab in a file."""
    return f"sqlite:///{meet / 'lab.db'}"


def on_postgresql(urls: Urls, _meet: Path) -> str:
    """Make a database, and give its URL."""
    return servers.create_database(urls[POSTGRESQL.name], f"bench{next(_numbers)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something that carries messages."""

    name: str
    keeps: str
    #: messages of a run at full speed
    messages: int
    #: its module in :mod:`benchmarks.contenders`
    module: str
    #: give the address that its processes are told
    address: Callable[[Urls, Path], str]
    python: str = rivals.PYTHON
    #: the server that it needs, and the package of its client
    server: str = ""
    package: str = ""

    def missing(self, urls: Urls) -> bool:
        """Tell whether something that it needs isn't installed."""
        client = self.package and rivals.version(self.package) is None
        return bool(client or (self.server and self.server not in urls))

    def start(self, role: str, order: Order, *words: str) -> Program:
        """Start one of its processes."""
        place = fresh(order.meet)
        module = f"benchmarks.contenders.{self.module}"
        argv = [self.python, "-m", module, *order.argv(role), *words]
        return Program.start(argv, place, {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a consumer got: for each message when it was sent, came and was acknowledged, ns."""

    times: Sequence[tuple[int, int, int]]
    #: messages that came once more
    again: int

    @classmethod
    def read(cls, *paths: Path) -> Exchange:
        """Read what consumers wrote."""
        found = [json.loads(path.read_text()) for path in paths]
        times = [tuple(each) for one in found for each in one["times"]]
        return cls(times=times, again=sum(one["again"] for one in found))

    def check(self, name: str, messages: int) -> None:
        """Let it pass if every message came, and came once.

        Raises
        ------
        BenchmarkFailed
            A message was lost, or came again.
        """
        if len(self.times) != messages or self.again:
            raise BenchmarkFailed(
                f"{name} delivered {len(self.times)} of {messages} messages, {self.again} of them"
                " again"
            )

    @property
    def delays_ms(self) -> list[float]:
        """How long each message was under way."""
        return [(came - sent) / 1e6 for sent, came, _ in self.times]

    @property
    def rate(self) -> float:
        """Messages a second, from when the first is sent until the last is acknowledged."""
        first = min(sent for sent, _, _ in self.times)
        last = max(settled for _, _, settled in self.times)
        return len(self.times) / ((last - first) / 1e9)


@dataclass(slots=True)
class Found:
    """What a contender reached, over all rounds."""

    delays_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median of messages a second."""
        return statistics.median(self.rates)


def measure(folder: Path, rounds: int) -> Report:
    """Let all contenders carry messages, in turns."""
    contenders = _contenders()
    with servers.running((POSTGRESQL, RABBITMQ, NATS), fresh(folder)) as urls:
        found = {each.name: Found() for each in contenders if not each.missing(urls)}
        for _ in range(rounds):
            for each in contenders:
                if each.name in found:
                    _race(each, found[each.name], urls, folder)
    return _report(contenders, found)


def _race(contender: Contender, found: Found, urls: Urls, folder: Path) -> None:
    modest = exchange(contender, MODEST_RATE * MODEST_S, MODEST_RATE, urls, folder)
    found.delays_ms += modest.delays_ms
    found.rates.append(exchange(contender, contender.messages, 0, urls, folder).rate)


def exchange(
    contender: Contender, messages: int, rate: float, urls: Urls, folder: Path
) -> Exchange:
    """Run a consumer and, once it listens, a sender, until all messages are acknowledged.

    Raises
    ------
    BenchmarkFailed
        A process failed, or a message didn't arrive, or one arrived twice.
    """
    meet = fresh(folder)
    address = contender.address(urls, meet)
    name = f"bench{next(_numbers)}"
    order = Order(name=name, address=address, messages=messages, rate=rate, meet=meet)
    consumer = contender.start("consume", order)
    wait_for(meet / "ready", consumer)
    contender.start("publish", order).finish()
    consumer.finish()
    kept = Exchange.read(meet / "received.json")
    kept.check(contender.name, messages)
    return kept


def wait_for(path: Path, program: Program) -> None:
    """Wait until a program has made a file.

    Raises
    ------
    BenchmarkFailed
        It has ended before.
    """
    while not path.exists():
        if not program.runs:
            program.finish()
            raise BenchmarkFailed(f"{' '.join(program.argv)} ended early")
        time.sleep(0.01)


def quantile(values: Sequence[float], percent: int) -> float:
    """Give the value that so many of 100 don't exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def ms(value: float) -> str:
    """Write a time to two figures, or whole milliseconds."""
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"


def _contenders() -> list[Contender]:
    return [*ours("bus_fieldlab"), *_brokers(), *_queues()]


def ours(module: str) -> list[Contender]:
    """Describe fieldlab's bus on both databases."""
    keeps = "message, delivery, its state and times; safe; for good"
    return [
        Contender(
            name=ON_SQLITE,
            keeps=keeps,
            messages=10_000,
            module=module,
            address=on_sqlite,
            python=sys.executable,
        ),
        Contender(
            name=ON_POSTGRESQL,
            keeps=keeps,
            messages=10_000,
            module=module,
            address=on_postgresql,
            python=sys.executable,
            server=POSTGRESQL.name,
        ),
    ]


def _brokers() -> list[Contender]:
    return [
        Contender(
            name="RabbitMQ",
            keeps="message; safe; until acknowledged",
            messages=20_000,
            module="bus_rabbitmq",
            address=lambda urls, _: urls[RABBITMQ.name],
            server=RABBITMQ.name,
            package="aio-pika",
        ),
        Contender(
            name="NATS JetStream",
            keeps="message; fsync every 2 minutes; until acknowledged",
            messages=20_000,
            module="bus_nats",
            address=lambda urls, _: urls[NATS.name],
            server=NATS.name,
            package="nats-py",
        ),
    ]


def _queues() -> list[Contender]:
    row = "message, whether it was taken; safe; for good"
    return [
        Contender(
            name="procrastinate, PostgreSQL",
            keeps="job, its events; safe; for good",
            messages=2_000,
            module="bus_procrastinate",
            address=on_postgresql,
            server=POSTGRESQL.name,
            package="procrastinate",
        ),
        Contender(
            name="polling SQLite, at most 1 s",
            keeps=row,
            messages=5_000,
            module="bus_polling",
            address=lambda _, __: "0",
            python=sys.executable,
        ),
        Contender(
            name="polling SQLite, after a minute of silence (5 s; later 60 s)",
            keeps=row,
            messages=5_000,
            module="bus_polling",
            address=lambda _, __: "60",
            python=sys.executable,
        ),
    ]


def _report(contenders: Sequence[Contender], found: Mapping[str, Found]) -> Report:
    ours = found[ON_SQLITE]
    return Report(
        name="bus",
        title="Messages from one process to another",
        head=_HEAD,
        rows=[
            [each.name, each.keeps, *_cells(each, found.get(each.name), ours)]
            for each in contenders
        ],
        promises=[
            Promise(
                what=f"95 of 100 messages delivered, {name}",
                limit=f"within {limit_ms:g} ms",
                measured=ms(p95_ms),
                kept=p95_ms <= limit_ms,
            )
            for name, limit_ms in MOST_MS.items()
            if name in found
            for p95_ms in [quantile(found[name].delays_ms, 95)]
        ],
        rates={name: each.rate for name, each in found.items()},
        unit="messages",
    )


def _cells(contender: Contender, found: Found | None, ours: Found) -> list[str]:
    if found is None:
        return ["not installed", "", "", "", "", ""]
    return [
        *(ms(quantile(found.delays_ms, percent)) for percent in (50, 95, 99)),
        f"{contender.messages:,}",
        f"{found.rate:,.0f}",
        ratio(ours.rate / found.rate) if found is not ours else "",
    ]
