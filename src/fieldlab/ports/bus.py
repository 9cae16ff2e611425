"""Where messages lie, and who takes them: what the bus asks of a database, or of memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from fieldlab.domain.messages import DeliveryPolicy, DeliveryState, Envelope

T = TypeVar("T")

#: Something that is to happen in the very commit that acknowledges a message, and not without it.
#: It is called with the open transaction of the database (an SQLAlchemy connection); in memory,
#: with None. It must not wait for anything, and may be called again if the commit failed.
Effect = Callable[[Any], object]


class EffectFailed(Exception):
    """An effect raised what isn't an Exception, such as SystemExit."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"it raised {type(error).__name__}")
        self.__cause__ = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A message that a consumer works on, under a lease."""

    delivery_id: int
    group: str
    consumer_id: str
    #: of the try, counted from 1
    number: int
    #: tells this claim of the delivery from all others
    token: int
    envelope: Envelope


class Claimed(NamedTuple):
    """What a consumer got, and when to look again if nothing wakes it before."""

    claims: Sequence[Claim]
    #: s from now; None when nothing that is there will become due by itself
    again_in_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of a claim: ACKNOWLEDGED, back to WAITING, or DEAD."""

    claim: Claim
    target: DeliveryState
    #: what went wrong; empty when nothing did
    error: str = ""
    #: for WAITING: until the next try, s
    delay_s: float = 0.0
    #: messages that are sent in the same commit
    posts: Sequence[Envelope] = ()
    effects: Sequence[Effect] = ()


class News(Protocol):
    """Notices that something may have been posted. One thread at a time may wait for it."""

    def wait(self, timeout_s: float) -> bool:
        """Wait, at most so long, until something may have been posted since the last call.

        Returns
        -------
        bool
            False when the time is over and nothing was.
        """
        ...

    def close(self) -> None:
        """Stop listening; whoever waits is woken."""
        ...


class MessageStore(Protocol):
    """Keeps messages and their deliveries.

    - Every method is one transaction: after an error nothing of it has happened.
    - A method that raised a transient error may be called again with the same arguments, even when
      the commit itself was cut off: it is then done once.
    - Leases and due times are told by one clock, the store's.
    """

    def post(self, envelopes: Sequence[Envelope]) -> None:
        """Keep messages, with a delivery for each group that listens to their topics.

        A message that nobody listens to stays, for the first group that will.
        """
        ...

    def subscribe(
        self, group: str, patterns: Sequence[str], *, lasts_s: float | None, backlog: bool
    ) -> None:
        """Let a group listen to these patterns, and no longer to others that it had.

        Parameters
        ----------
        lasts_s
            The group ends when it isn't heard of for so long (see :meth:`keep`), s; None: it stays,
            and gathers messages while none of its consumers is there.
        backlog
            A new group gets the messages that match and that no group has got so far.
        """
        ...

    def unsubscribe(self, group: str) -> None:
        """End a group: what waits for it expires."""
        ...

    def claim(self, group: str, consumer_id: str, limit: int, policy: DeliveryPolicy) -> Claimed:
        """Take messages that are due, the longest due first, for as long as the policy's lease.

        Those whose consumers were lost are due again, or dead letters if they had all their tries.
        Those that have expired are put away.
        """
        ...

    def due(self, within_s: float) -> Collection[str]:
        """Name the groups of which a message waits, or a lease ends, now or that soon."""
        ...

    def keep(
        self, group: str, claims: Sequence[Claim], *, lease_s: float, lasts_s: float | None
    ) -> bool:
        """Say that a consumer lives: its claims and its group last so much longer.

        Returns
        -------
        bool
            False when a group that doesn't stay had been ended, because nobody heard of it.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool | Exception]:
        """Say what becomes of claims, all in one transaction.

        Returns
        -------
        sequence of bool or Exception
            False where the claim was lost, because its lease had ended; what an effect raised,
            where one did. Of such a settlement nothing has happened, neither its effects nor its
            posts; the others' have.
        """
        ...

    def unsettled(self, groups: Sequence[str]) -> int:
        """Count the messages of groups that wait or are in work, at one moment."""
        ...

    def listen(self) -> News:
        """Begin to listen for what is posted."""
        ...


class Calls(Protocol):
    """Makes the calls of a synchronous store from asynchronous code, in their order."""

    def call(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Make a call outside of the event loop; again while the store is away for a moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorSign:
    """An actor that runs somewhere, and how it fares."""

    id: str
    name: str
    group: str
    topics: Sequence[str]
    host: str
    pid: int
    #: as of :class:`fieldlab.ports.store.Engine`
    process_started: float
    #: messages in work now; since it started: handled, tries that failed, starts after the first
    in_work: int = 0
    handled: int = 0
    failed: int = 0
    restarts: int = 0
    last_error: str = ""
    #: Unix time, s
    last_error_at: float | None = None
    #: as of :class:`fieldlab.ports.store.Engine`
    machine: str = ""


class ActorRegistry(Protocol):
    """Knows which actors run, and where. Every method is one transaction."""

    def sign(self, actors: Sequence[ActorSign]) -> None:
        """Say that actors live and how they fare; those that are new are written in."""
        ...

    def retire(self, actor_ids: Sequence[str]) -> None:
        """Write actors out: they have ended."""
        ...
