"""The bus of a lab, and its actors: in this process, or each in one of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldlab.app.interrupts import interrupts
from fieldlab.app.lab import Lab, whoami
from fieldlab.bus.message_bus import MessageBus
from fieldlab.domain.commands import Command
from fieldlab.domain.messages import Envelope, check_topic, encode_body
from fieldlab.engine.store_thread import StoreThread
from fieldlab.engine.supervisor import Manner, Supervisor
from fieldlab.engine.troupe import Part, Troupe
from fieldlab.execution.processes import die_with_parent, run_command
from fieldlab.ports.actor import Actor
from fieldlab.store.actors import SqlActors
from fieldlab.store.messaging import SqlMessages

_WAITING = "Waiting for the messages in work to be handled; once more stops them"

Tell = Callable[[str], None]


@asynccontextmanager
async def open_bus(lab: Lab, tell: Tell = lambda _: None) -> AsyncIterator[MessageBus]:
    """Open the bus of a lab; what it can't reach for a moment it tries again."""
    calls = StoreThread(tell)
    try:
        async with MessageBus(SqlMessages(lab.database), calls, sender=whoami()) as bus:
            yield bus
    finally:
        calls.close()


def publish(lab: Lab, topic: str, body: Any, *, expires_in_s: float | None = None) -> Envelope:
    """Send one message.

    Raises
    ------
    BadInput
        The topic is malformed, or the body can't be sent.
    """
    encode_body(body)
    made = Envelope(topic=check_topic(topic), body=body, sender=whoami())
    if expires_in_s is not None:
        made = replace(made, expires_at=made.sent_at + expires_in_s)
    SqlMessages(lab.database).post([made])
    return made


def request(lab: Lab, topic: str, body: Any, *, timeout_s: float) -> Any:
    """Send one message and wait for its answer; see :meth:`MessageBus.request`."""

    async def ask() -> Any:
        async with open_bus(lab) as bus:
            return await bus.request(topic, body, timeout_s=timeout_s)

    return asyncio.run(ask())


def run_actors(lab: Lab, actors: Sequence[Actor], tell: Tell, manner: Manner | None = None) -> bool:
    """Run actors in this process until it is told to stop.

    Returns
    -------
    bool
        Whether a signal ended it.
    """

    async def run() -> bool:
        calls = StoreThread(tell)
        try:
            async with open_bus(lab, tell) as bus:
                registry = SqlActors(lab.database)
                supervisor = Supervisor(bus, registry, calls, actors, tell, manner)
                with interrupts(supervisor, _WAITING, tell) as received:
                    await supervisor.run()
                return bool(received)
        finally:
            calls.close()

    return asyncio.run(run())


def run_troupe(lab: Lab, parts: Sequence[Part], tell: Tell) -> bool:
    """Run actors, each in a process of its own, until told to stop; what dies is started again."""
    troupe = Troupe(parts, lab.settings.home / "actors", run_command, tell)

    async def run() -> bool:
        with interrupts(troupe, _WAITING, tell) as received:
            await troupe.run()
        return bool(received)

    return asyncio.run(run())


def actor_command(target: str, parent: int, restarts: int) -> Command:
    """Give the command that runs one actor under a troupe."""
    argv = [sys.executable, "-P", "-m", "fieldlab", "actors", "run", target]
    argv += ["--under", str(parent), "--restarts", str(restarts)]
    return Command(argv=tuple(argv), directory=str(Path.cwd()))


def end_with(parent: int) -> None:
    """Let this process end gracefully when the troupe that started it dies."""
    import signal

    die_with_parent(parent, signal.SIGTERM)
