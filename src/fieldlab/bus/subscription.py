"""One group's messages, as this process takes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from fieldlab.domain.errors import FieldlabError
from fieldlab.domain.ids import uuid7
from fieldlab.domain.messages import DeliveryPolicy, DeliveryState, Envelope
from fieldlab.domain.waiting import wait_at_most
from fieldlab.ports.bus import Calls, Claim, Effect, MessageStore, Settlement

#: messages that are claimed at a time, however many handlers wait
MOST_CLAIMED = 100
#: it doesn't look more often than this, s: what is due may be in another consumer's open claim
SHORTEST_LOOK_S = 0.005
#: without any news it looks again after so long, s: a net below the listener's
LOOK_S = 60.0


class Subscription:
    """Takes a group's messages, keeps their leases, and settles them.

    Any number of handlers may wait in :meth:`next` at once.
    """

    def __init__(
        self,
        messages: MessageStore,
        calls: Calls,
        group: str,
        policy: DeliveryPolicy,
        *,
        lasts_s: float | None,
        subscribe_again: Callable[[], Awaitable[None]],
        on_close: Callable[[Subscription], None],
    ) -> None:
        self.group = group
        self.policy = policy
        self.consumer_id = uuid7()
        self._messages = messages
        self._calls = calls
        self._lasts_s = lasts_s
        self._subscribe_again = subscribe_again
        self._on_close = on_close
        self._waiting: deque[asyncio.Future[Claim | None]] = deque()
        self._draining = False
        self._held: dict[int, Claim] = {}
        self._settling: list[tuple[Settlement, asyncio.Future[bool]]] = []
        self._settler: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self._duties = [asyncio.create_task(self._claim()), asyncio.create_task(self._keep())]

    @property
    def in_work(self) -> int:
        """Messages that are claimed and not settled."""
        return len(self._held)

    def look(self) -> None:
        """Look for messages now: something may have come."""
        self._news.set()

    async def next(self) -> Claim | None:
        """Wait for a message; None when no more are to be taken.

        Raises
        ------
        FieldlabError
            The store can't be used.
        """
        if self._draining:
            return None
        future: asyncio.Future[Claim | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # it came in the very moment
                claim = future.result()
                if claim is not None:
                    await asyncio.shield(self._give_back(claim))
            raise

    def drain(self) -> None:
        """Take no more messages: whoever waits for one gets None. Claims stay to be settled."""
        self._draining = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)

    async def acknowledge(
        self, claim: Claim, *, posts: Sequence[Envelope] = (), effects: Sequence[Effect] = ()
    ) -> bool:
        """Say that a message was handled, with what is to happen in the same commit.

        Returns
        -------
        bool
            False when the claim was lost: then nothing of it has happened.
        """
        return await self._settle(
            Settlement(
                claim=claim,
                target=DeliveryState.ACKNOWLEDGED,
                posts=tuple(posts),
                effects=tuple(effects),
            )
        )

    async def release(self, claim: Claim, *, error: str = "", delay_s: float = 0.0) -> bool:
        """Let a message be taken again, after a while."""
        return await self._settle(
            Settlement(claim=claim, target=DeliveryState.WAITING, error=error, delay_s=delay_s)
        )

    async def bury(self, claim: Claim, error: str, *, posts: Sequence[Envelope] = ()) -> bool:
        """Give a message up: it is kept as a dead letter."""
        return await self._settle(
            Settlement(claim=claim, target=DeliveryState.DEAD, error=error, posts=tuple(posts))
        )

    async def close(self) -> None:
        """Stop taking messages, and give back those that nobody settled."""
        for duty in self._duties:
            duty.cancel()
        await asyncio.wait(self._duties)
        self.drain()
        with contextlib.suppress(FieldlabError):  # their leases end by themselves
            await asyncio.gather(*map(self._give_back, list(self._held.values())))
            if self._lasts_s is not None:
                await self._calls.call(lambda: self._messages.unsubscribe(self.group))
        self._on_close(self)

    async def _give_back(self, claim: Claim) -> None:
        await self.release(claim, error="its consumer stopped before it was handled")

    # --- claiming -----------------------------------------------------------------------------

    async def _claim(self) -> None:
        """Claim as many messages as are waited for, whenever there is news."""
        while True:
            await self._wanted.wait()
            self._news.clear()
            wanted = sum(not each.done() for each in self._waiting)
            if not wanted:
                self._waiting.clear()
                self._wanted.clear()
                continue
            limit = min(wanted, MOST_CLAIMED)
            try:
                claims, again_in_s = await self._calls.call(
                    partial(self._messages.claim, self.group, self.consumer_id, limit, self.policy)
                )
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                self._refuse(error)
                continue
            for claim in claims:
                await self._hand_out(claim)
            if not claims:
                pause_s = LOOK_S if again_in_s is None else min(again_in_s, LOOK_S)
                await wait_at_most(max(pause_s, SHORTEST_LOOK_S), self._news)

    async def _hand_out(self, claim: Claim) -> None:
        self._held[claim.delivery_id] = claim
        while self._waiting:
            handler = self._waiting.popleft()
            if not handler.done():
                handler.set_result(claim)
                return
        await self._give_back(claim)  # whoever waited for it has gone meanwhile

    def _refuse(self, error: Exception) -> None:
        """Tell everybody who waits that the store can't be used."""
        waiting, self._waiting = self._waiting, deque()
        self._wanted.clear()
        for each in waiting:
            if not each.done():
                each.set_exception(error)

    async def _keep(self) -> None:
        """Say that this consumer lives, often enough for its leases and its group to last."""
        lease_s = self.policy.lease_s
        while True:
            await asyncio.sleep(min(lease_s, self._lasts_s or lease_s) / 3)
            held = list(self._held.values())
            if held or self._lasts_s is not None:
                # a store that is away longer than a lease: others take the messages over
                with contextlib.suppress(FieldlabError):
                    is_there = await self._calls.call(
                        partial(
                            self._messages.keep,
                            self.group,
                            held,
                            lease_s=lease_s,
                            lasts_s=self._lasts_s,
                        )
                    )
                    if not is_there:  # it was silent for too long, and its group was ended
                        await self._subscribe_again()

    # --- settling -----------------------------------------------------------------------------

    async def _settle(self, settlement: Settlement) -> bool:
        settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._settling.append((settlement, settled))
        if self._settler is None or self._settler.done():
            self._settler = asyncio.create_task(self._settle_all())
        try:
            return await settled
        finally:
            self._held.pop(settlement.claim.delivery_id, None)

    async def _settle_all(self) -> None:
        """Settle what has gathered while the call before was under way."""
        while self._settling:
            batch, self._settling = self._settling, []
            done = await self._settled([settlement for settlement, _ in batch])
            for (_, future), each in zip(batch, done, strict=True):
                if future.done():
                    continue
                if isinstance(each, Exception):
                    future.set_exception(each)
                else:
                    future.set_result(each)

    async def _settled(self, settlements: Sequence[Settlement]) -> Sequence[bool | Exception]:
        """Settle together; one by one if that fails: nobody suffers for another's effect."""
        try:
            return await self._calls.call(partial(self._messages.settle, settlements))
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            if len(settlements) == 1 or getattr(error, "transient", False):
                return [error] * len(settlements)
        return [outcome for each in settlements for outcome in await self._settled([each])]
