"""Actors: services that consume messages. A user's actor is a subclass of :class:`Actor`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from fieldlab.domain.messages import DeliveryPolicy, Envelope
from fieldlab.ports.bus import Effect


class Context(Protocol):
    """What an actor may do while it handles a message.

    What is published, answered or done as an effect happens in the one commit that acknowledges
    the message: all of it, once, or nothing.
    """

    @property
    def attempt(self) -> int:
        """Number of the try, counted from 1."""
        ...

    def publish(self, topic: str, body: Any = None, *, expires_in_s: float | None = None) -> None:
        """Send a message when this one has been handled.

        Raises
        ------
        BadInput
            The topic is malformed, the body isn't JSON, or these are too many for one message.
        """
        ...

    def reply(self, body: Any) -> None:
        """Answer the message; nothing happens if nobody asked for an answer."""
        ...

    def effect(self, effect: Effect) -> None:
        """Do something in the transaction that acknowledges the message."""
        ...

    async def request(self, topic: str, body: Any = None, *, timeout_s: float) -> Any:
        """Ask another actor at once and wait for its answer: ``await context.request(…)``.

        In a plain method, which runs in a thread, it waits without ``await``.

        Raises
        ------
        RequestTimeout, RequestFailed
            No answer came in time, or the other gave up.
        """
        ...


class Actor(ABC):
    """Handles the messages of some topics, and keeps nothing from one to the next.

    A handler that raises is tried again after a while, as the policy says, then the message is a
    dead letter; after ``BadInput`` it is one at once, because another try would meet the same. A
    message may come a second time when a process died: what a handler does outside its context
    should bear that (the envelope's ``id`` is the same).

    Attributes
    ----------
    topics
        Patterns of topics: ``*`` is one word, ``#`` at the end any number of words.
    name
        What people call it; the class's name with dashes if empty.
    group
        Actors of one group share its messages; the group of the name if empty.
    broadcast
        Each process that runs it gets every message, as long as it runs.
    concurrency
        Messages handled at the same time in one process.
    policy
        Tries, time limits and leases.
    """

    topics: ClassVar[Sequence[str]] = ()
    name: ClassVar[str] = ""
    group: ClassVar[str] = ""
    broadcast: ClassVar[bool] = False
    concurrency: ClassVar[int] = 1
    policy: ClassVar[DeliveryPolicy] = DeliveryPolicy()

    @abstractmethod
    async def handle(self, envelope: Envelope, context: Context) -> None:
        """Handle a message. A plain method (without ``async``) runs in a thread."""
        ...


def actor_name(actor: Actor) -> str:
    """Name an actor: as it says, or ``PipelineDriver`` as ``pipeline-driver``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(actor).__name__)
    return actor.name or words.strip("_").lower()
