"""How one actor handles messages: its handlers, their time limits, and what becomes of failures."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fieldlab.bus.message_bus import MessageBus
from fieldlab.bus.subscription import Subscription
from fieldlab.domain.errors import BadInput
from fieldlab.domain.messages import Envelope, body_copy
from fieldlab.domain.threads import in_daemon_thread
from fieldlab.ports.actor import Actor
from fieldlab.ports.bus import Claim, Effect

#: messages that handling one may send; more is taken for a flood
MOST_POSTS = 10_000
#: characters of a traceback that a dead letter keeps
TAIL = 8_000


@dataclass(slots=True)
class Tally:
    """What an actor has done since it was started."""

    handled: int = 0
    failed: int = 0
    last_error: str = ""
    #: Unix time, s
    last_error_at: float | None = None

    def fault(self, error: str) -> None:
        """Count a failure."""
        self.failed += 1
        self.last_error = error[:500]
        self.last_error_at = time.time()


@dataclass(slots=True, kw_only=True)
class MessageContext:
    """Implements :class:`fieldlab.ports.actor.Context`: gathers what the handler wants done."""

    bus: MessageBus
    claim: Claim
    sender: str
    posts: list[Envelope] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    @property
    def attempt(self) -> int:
        return self.claim.number

    def publish(self, topic: str, body: Any = None, *, expires_in_s: float | None = None) -> None:
        if len(self.posts) >= MOST_POSTS:
            raise BadInput(
                f"Handling one message sends more than {MOST_POSTS:,} others",
                remedy="Send fewer, larger ones, or let each of them send the next",
            )
        self.posts.append(self.bus.envelope(topic, body, expires_in_s=expires_in_s))

    def reply(self, body: Any) -> None:
        if self.claim.envelope.reply_to:
            answer = self.claim.envelope.reply(body_copy(body), sender=self.sender)
            self.posts.append(answer)

    def effect(self, effect: Effect) -> None:
        self.effects.append(effect)

    async def request(self, topic: str, body: Any = None, *, timeout_s: float) -> Any:
        return await self.bus.request(topic, body, timeout_s=timeout_s)


@dataclass(slots=True, kw_only=True)
class PlainContext(MessageContext):
    """For a plain method, which runs in a thread and can't await."""

    loop: asyncio.AbstractEventLoop

    def request(self, topic: str, body: Any = None, *, timeout_s: float) -> Any:
        asked = self.bus.request(topic, body, timeout_s=timeout_s)
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result()


class ActorRun:
    """Runs the handlers of one actor on one subscription."""

    def __init__(
        self,
        actor: Actor,
        name: str,
        bus: MessageBus,
        subscription: Subscription,
        tally: Tally,
        tell: Callable[[str], None],
    ) -> None:
        self._actor = actor
        self._name = name
        self._bus = bus
        self._subscription = subscription
        self._tally = tally
        self._tell = tell
        self._is_plain = not inspect.iscoroutinefunction(actor.handle)

    @property
    def in_work(self) -> int:
        """Messages that are being handled."""
        return self._subscription.in_work

    async def run(self) -> None:
        """Handle messages until :meth:`drain`.

        Raises
        ------
        FieldlabError
            The bus can't be used.
        """
        handlers = [
            asyncio.create_task(self._handle_always())
            for _ in range(max(self._actor.concurrency, 1))
        ]
        try:
            left = set(handlers)
            while left:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    if each.cancelled():
                        raise RuntimeError(f"a handler of {self._name} was ended from outside")
                    each.result()
        finally:
            for each in handlers:
                each.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)

    def drain(self) -> None:
        """Let the handlers finish, and take no other message."""
        self._subscription.drain()

    async def _handle_always(self) -> None:
        while (claim := await self._subscription.next()) is not None:
            await self._take(claim)

    async def _take(self, claim: Claim) -> None:
        context = self._context(claim)
        try:
            await self._call(claim.envelope, context)
            done = await self._subscription.acknowledge(
                claim, posts=context.posts, effects=context.effects
            )
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # it is told to stop; otherwise the handler itself raised that
            await self._fail(claim, error)
            return
        except BaseException as error:  # noqa: BLE001 - sys.exit() too is only its message's end
            await self._fail(claim, error)
            return
        if done:
            self._tally.handled += 1
        else:
            self._fault(claim, "its lease had ended before it was handled; somebody else has it")

    def _context(self, claim: Claim) -> MessageContext:
        if self._is_plain:
            loop = asyncio.get_running_loop()
            return PlainContext(bus=self._bus, claim=claim, sender=self._name, loop=loop)
        return MessageContext(bus=self._bus, claim=claim, sender=self._name)

    async def _call(self, envelope: Envelope, context: MessageContext) -> None:
        limit_s = self._actor.policy.timeout_s
        limit = asyncio.timeout(limit_s or None)
        try:
            async with limit:
                if self._is_plain:
                    plain: Callable[..., object] = self._actor.handle
                    await in_daemon_thread(partial(plain, envelope, context))
                else:
                    await self._actor.handle(envelope, context)
        except TimeoutError as error:
            if limit.expired():
                raise HandlerTimeout(f"its time limit of {limit_s:g} s was over") from error
            raise

    async def _fail(self, claim: Claim, error: BaseException) -> None:
        """Let a message be tried again, or give it up and tell whoever waits for an answer."""
        policy = self._actor.policy
        what = _one_line(error)
        self._fault(claim, what)
        text = _traceback(error)
        if claim.number < policy.attempts and not isinstance(error, BadInput):
            delay_s = policy.delay_after(claim.number)
            await self._subscription.release(claim, error=text, delay_s=delay_s)
            return
        envelope = claim.envelope
        answer = envelope.reply(what, sender=self._name, failed=True)
        await self._subscription.bury(claim, text, posts=[answer] if envelope.reply_to else ())

    def _fault(self, claim: Claim, what: str) -> None:
        self._tally.fault(what)
        self._tell(f"{self._name}: message {claim.envelope.id} ({claim.envelope.topic}): {what}")


class HandlerTimeout(Exception):
    """A handler took longer than its time limit."""


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))[-TAIL:]
    except Exception:  # noqa: BLE001 - a user's exception may not even be able to say what it is
        return type(error).__name__


def _one_line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())[:400]
    except Exception:  # noqa: BLE001 - as above
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
