"""The bus: publish, subscribe, request and reply, whatever keeps the messages.

Each subscription claims only what its idle handlers wait for, so that other processes get the rest.
What many handlers or senders want at one moment is one call of the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from fieldlab.bus.listening import Listener
from fieldlab.bus.subscription import Subscription
from fieldlab.domain.errors import RequestFailed, RequestTimeout
from fieldlab.domain.ids import uuid7
from fieldlab.domain.messages import (
    DeliveryPolicy,
    Envelope,
    body_copy,
    check_group,
    check_pattern,
    check_topic,
)
from fieldlab.ports.bus import Calls, MessageStore

#: a group of one consumer ends when that hasn't been heard of for so long, s
PRIVATE_LASTS_S = 60.0


class MessageBus:
    """Sends and receives messages; use it as an asynchronous context.

    Parameters
    ----------
    messages
        Where they are kept.
    calls
        How that is called; it bears with a store that is away for a moment.
    sender
        Who sends, for people.
    """

    def __init__(self, messages: MessageStore, calls: Calls, *, sender: str = "") -> None:
        self._messages = messages
        self._calls = calls
        self.sender = sender
        self._id = uuid7()
        self._subscriptions: set[Subscription] = set()
        self._outbox: list[tuple[Envelope, asyncio.Future[None]]] = []
        self._posting: asyncio.Task[None] | None = None
        self._answers: dict[str, asyncio.Future[Envelope]] = {}
        self._inbox: asyncio.Task[Subscription] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._listener = Listener(messages, calls, self._subscriptions)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all subscriptions, send what is still to be sent, and stop listening."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        for each in list(self._subscriptions):
            await each.close()
        if self._posting is not None:
            await asyncio.wait([self._posting])
        for answer in self._answers.values():
            answer.cancel()
        await self._listener.close()

    # --- sending ------------------------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        body: Any = None,
        *,
        expires_in_s: float | None = None,
        reply_to: str = "",
    ) -> Envelope:
        """Send a message; when this returns, it is kept as safely as the store keeps things.

        Raises
        ------
        BadInput
            The topic is malformed, or the body isn't what JSON can say, or is larger than 16 MiB.
        """
        envelope = self.envelope(topic, body, expires_in_s=expires_in_s, reply_to=reply_to)
        await self.send(envelope)
        return envelope

    def envelope(
        self,
        topic: str,
        body: Any = None,
        *,
        expires_in_s: float | None = None,
        reply_to: str = "",
    ) -> Envelope:
        """Make a message, checked, without sending it."""
        body = body_copy(body)
        now = time.time()
        return Envelope(
            topic=check_topic(topic),
            body=body,
            sender=self.sender,
            sent_at=now,
            expires_at=None if expires_in_s is None else now + expires_in_s,
            reply_to=reply_to and check_topic(reply_to),
        )

    async def send(self, envelope: Envelope) -> None:
        """Send a message that was made before; sent twice, it is kept once."""
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox.append((envelope, sent))
        if self._posting is None or self._posting.done():
            self._posting = asyncio.create_task(self._post_all())
        await sent

    async def _post_all(self) -> None:
        """Post what has gathered while the call before was under way."""
        while self._outbox:
            batch, self._outbox = self._outbox, []
            envelopes = [envelope for envelope, _ in batch]
            try:
                await self._calls.call(partial(self._messages.post, envelopes))
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                for _, sent in batch:
                    if not sent.done():
                        sent.set_exception(error)
            else:
                for _, sent in batch:
                    if not sent.done():
                        sent.set_result(None)

    # --- request and reply --------------------------------------------------------------------

    async def request(self, topic: str, body: Any = None, *, timeout_s: float) -> Any:
        """Send a message and wait for its answer.

        Returns
        -------
        object
            The body of the answer.

        Raises
        ------
        RequestTimeout
            No answer came in time. The request expires if nobody has begun with it.
        RequestFailed
            Who took it gave up; the message says why.
        """
        inbox = await self._open_inbox()
        envelope = self.envelope(topic, body, expires_in_s=timeout_s, reply_to=inbox)
        answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._answers[envelope.id] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(envelope)
                found = await answer
        except TimeoutError:
            raise RequestTimeout(
                f"Nobody answered the request to '{topic}' within {timeout_s:g} s",
                remedy="See with `fieldlab actors` whether one runs that listens to it, and with"
                f" `fieldlab bus show {envelope.id}` how far it came",
            ) from None
        finally:
            del self._answers[envelope.id]
        if found.failed:
            raise RequestFailed(f"The request to '{topic}' failed: {found.body}")
        return found.body

    async def _open_inbox(self) -> str:
        """Listen to the topic of this bus's own answers; give its name."""
        topic = f"reply.{self._id}"
        if self._inbox is None or (self._inbox.done() and not _went_well(self._inbox)):
            self._inbox = asyncio.create_task(self.subscribe([topic]))
        inbox = await asyncio.shield(self._inbox)  # others may wait for it, too
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_answers(inbox))
        return topic

    async def _read_answers(self, inbox: Subscription) -> None:
        while (claim := await inbox.next()) is not None:
            waiting = self._answers.get(claim.envelope.in_reply_to)
            if waiting is not None and not waiting.done():
                waiting.set_result(claim.envelope)
            await inbox.acknowledge(claim)

    # --- receiving ----------------------------------------------------------------------------

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str = "",
        policy: DeliveryPolicy | None = None,
        backlog: bool = True,
    ) -> Subscription:
        """Listen to patterns of topics.

        Parameters
        ----------
        group
            Consumers of one group share its messages, wherever they run, and the group stays when
            they go. Empty: a group of this consumer's own, which ends with it.
        backlog
            A new group gets the messages that match and that no group has got so far.

        Raises
        ------
        BadInput
            A pattern or the group's name is malformed.
        """
        patterns = [check_pattern(each) for each in topics]
        name = check_group(group) if group else uuid7()
        lasts_s = None if group else PRIVATE_LASTS_S
        call = partial(self._messages.subscribe, name, patterns, lasts_s=lasts_s)

        async def subscribe() -> None:
            await self._calls.call(partial(call, backlog=backlog and bool(group)))

        await subscribe()
        self._listener.start()
        made = Subscription(
            self._messages,
            self._calls,
            name,
            policy or DeliveryPolicy(),
            lasts_s=lasts_s,
            subscribe_again=subscribe,
            on_close=self._subscriptions.discard,
        )
        self._subscriptions.add(made)
        return made

    async def unsettled(self, groups: Sequence[str]) -> int:
        """Count the messages of groups that wait or are in work, at one moment."""
        return await self._calls.call(partial(self._messages.unsettled, groups))


def _went_well(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None
