"""Messages in the memory of one process: for tests, and for actors that needn't outlive it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fieldlab.domain.messages import (
    DELIVERY,
    DeliveryPolicy,
    DeliveryState,
    Envelope,
    encode_body,
    groups_for,
)
from fieldlab.ports.bus import ActorSign, Claim, Claimed, EffectFailed, News, Settlement

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Delivery:
    """One message for one group."""

    id: int
    envelope: Envelope
    group: str
    due_at: float
    state: DeliveryState = DeliveryState.WAITING
    claims: int = 0
    consumer_id: str = ""
    leased_until: float = 0.0
    error: str = ""

    def advance(self, target: DeliveryState, error: str = "") -> None:
        DELIVERY.check(f"Delivery {self.id}", self.state, target)
        self.state, self.error = target, error


@dataclass(slots=True)
class _Group:
    patterns: tuple[str, ...]
    #: monotonic time, s; None: it stays
    ends_at: float | None


class MemoryMessages:
    """Implements :class:`fieldlab.ports.bus.MessageStore` in memory."""

    def __init__(self) -> None:
        #: what isn't acknowledged, by number
        self.deliveries: dict[int, Delivery] = {}
        self._unheard: dict[str, Envelope] = {}
        self._groups: dict[str, _Group] = {}
        self._numbers = itertools.count(1)
        self.news = threading.Condition()
        self.changes = 0

    def post(self, envelopes: Sequence[Envelope]) -> None:
        with self.news:
            self._post(envelopes)

    def _post(self, envelopes: Sequence[Envelope]) -> None:
        # as a database would: nothing that isn't JSON, and no list that two consumers share
        texts = [encode_body(each.body) for each in envelopes]
        self._end_lapsed()
        listening = [
            (name, pattern) for name, group in self._groups.items() for pattern in group.patterns
        ]
        for each, text in zip(envelopes, texts, strict=True):
            groups = groups_for(each.topic, listening)
            for group in groups:
                self._deliver(each, group, text)
            if not groups:
                self._unheard[each.id] = each

    def _deliver(self, envelope: Envelope, group: str, text: str) -> None:
        copy = replace(envelope, body=json.loads(text))
        number = next(self._numbers)
        self.deliveries[number] = Delivery(number, copy, group, due_at=time.time())
        self._changed()

    def _changed(self) -> None:
        self.changes += 1
        self.news.notify_all()

    def subscribe(
        self, group: str, patterns: Sequence[str], *, lasts_s: float | None, backlog: bool
    ) -> None:
        with self.news:
            self._end_lapsed()
            is_new = group not in self._groups
            ends_at = None if lasts_s is None else time.monotonic() + lasts_s
            self._groups[group] = _Group(tuple(patterns), ends_at)
            if backlog and is_new:
                listening = [(group, pattern) for pattern in patterns]
                for each in list(self._unheard.values()):
                    if groups_for(each.topic, listening) and not _is_late(each):
                        del self._unheard[each.id]
                        self._deliver(each, group, encode_body(each.body))

    def unsubscribe(self, group: str) -> None:
        with self.news:
            self._end(group, "its group has ended")

    def _end(self, group: str, why: str) -> None:
        self._groups.pop(group, None)
        for state in (DeliveryState.WAITING, DeliveryState.CLAIMED):
            for each in self._of(group, state):
                each.advance(DeliveryState.EXPIRED, why)

    def _end_lapsed(self) -> None:
        now = time.monotonic()
        for name, group in list(self._groups.items()):
            if group.ends_at is not None and group.ends_at <= now:
                self._end(name, "its consumer is gone")

    def _of(self, group: str, state: DeliveryState) -> list[Delivery]:
        return [
            each for each in self.deliveries.values() if each.group == group and each.state is state
        ]

    def claim(self, group: str, consumer_id: str, limit: int, policy: DeliveryPolicy) -> Claimed:
        with self.news:
            now = time.time()
            for each in self._of(group, DeliveryState.CLAIMED):
                if each.leased_until < now:
                    dead = each.claims >= policy.attempts
                    each.due_at = now
                    each.advance(
                        DeliveryState.DEAD if dead else DeliveryState.WAITING,
                        "its consumer died, or wasn't heard of for the time of its lease",
                    )
            waiting = self._of(group, DeliveryState.WAITING)
            for each in waiting:
                if _is_late(each.envelope):
                    each.advance(DeliveryState.EXPIRED, "nobody took it in time")
            due = sorted(
                (each for each in self._of(group, DeliveryState.WAITING) if each.due_at <= now),
                key=lambda each: (each.due_at, each.id),
            )
            claims = [self._begin(each, consumer_id, policy, now) for each in due[:limit]]
            return Claimed(claims) if claims else Claimed((), self._next_due(group, now))

    def _begin(
        self, delivery: Delivery, consumer_id: str, policy: DeliveryPolicy, now: float
    ) -> Claim:
        delivery.advance(DeliveryState.CLAIMED, delivery.error)
        delivery.claims += 1
        delivery.consumer_id = consumer_id
        delivery.leased_until = now + policy.lease_s
        return Claim(
            delivery_id=delivery.id,
            group=delivery.group,
            consumer_id=consumer_id,
            number=delivery.claims,
            token=delivery.claims,
            envelope=delivery.envelope,
        )

    def _next_due(self, group: str, now: float) -> float | None:
        moments = [each.due_at for each in self._of(group, DeliveryState.WAITING)]
        moments += [each.leased_until for each in self._of(group, DeliveryState.CLAIMED)]
        return max(min(moments) - now, 0.0) if moments else None

    def due(self, within_s: float) -> set[str]:
        with self.news:
            until = time.time() + within_s
            return {
                each.group
                for each in self.deliveries.values()
                if (each.state is DeliveryState.WAITING and each.due_at <= until)
                or (each.state is DeliveryState.CLAIMED and each.leased_until <= until)
            }

    def keep(
        self, group: str, claims: Sequence[Claim], *, lease_s: float, lasts_s: float | None
    ) -> bool:
        with self.news:
            for claim in claims:
                if self._holds(claim):
                    self.deliveries[claim.delivery_id].leased_until = time.time() + lease_s
            is_there = group in self._groups
            if lasts_s is not None and is_there:
                self._groups[group].ends_at = time.monotonic() + lasts_s
            self._end_lapsed()
            return is_there or lasts_s is None

    def _holds(self, claim: Claim) -> bool:
        delivery = self.deliveries.get(claim.delivery_id)
        return delivery is not None and (delivery.state, delivery.consumer_id, delivery.claims) == (
            DeliveryState.CLAIMED,
            claim.consumer_id,
            claim.token,
        )

    def settle(self, settlements: Sequence[Settlement]) -> list[bool | Exception]:
        with self.news:
            done = [self._settle(each) for each in settlements]
            self._changed()
            return done

    def _settle(self, settlement: Settlement) -> bool | Exception:
        if not self._holds(settlement.claim):
            return False
        try:
            for effect in settlement.effects:
                effect(None)
        except Exception as error:  # noqa: BLE001 - an effect may raise anything
            return error
        except BaseException as error:  # noqa: BLE001 - as above
            return EffectFailed(error)
        delivery = self.deliveries[settlement.claim.delivery_id]
        delivery.due_at = time.time() + settlement.delay_s
        delivery.advance(settlement.target, settlement.error)
        if settlement.target is DeliveryState.ACKNOWLEDGED:
            del self.deliveries[delivery.id]
        self._post(settlement.posts)
        return True

    def unsettled(self, groups: Sequence[str]) -> int:
        open_states = (DeliveryState.WAITING, DeliveryState.CLAIMED)
        with self.news:
            return sum(len(self._of(group, state)) for group in groups for state in open_states)

    def listen(self) -> News:
        return MemoryNews(self)


class MemoryNews:
    """Implements :class:`fieldlab.ports.bus.News`."""

    def __init__(self, messages: MemoryMessages) -> None:
        self._messages = messages
        self._seen = -1
        self._closed = False

    def wait(self, timeout_s: float) -> bool:
        messages = self._messages
        with messages.news:
            messages.news.wait_for(
                lambda: self._closed or messages.changes != self._seen, timeout_s
            )
            seen, self._seen = self._seen, messages.changes
            return seen != self._seen and not self._closed

    def close(self) -> None:
        with self._messages.news:
            self._closed = True
            self._messages.news.notify_all()


class MemoryActors:
    """Implements :class:`fieldlab.ports.bus.ActorRegistry` in memory."""

    def __init__(self) -> None:
        self.signs: dict[str, ActorSign] = {}
        self.ended: set[str] = set()

    def sign(self, actors: Sequence[ActorSign]) -> None:
        self.signs |= {each.id: each for each in actors}

    def retire(self, actor_ids: Sequence[str]) -> None:
        self.ended |= set(actor_ids)


class DirectCalls:
    """Implements :class:`fieldlab.ports.bus.Calls` for what answers at once."""

    async def call(self, call: Callable[[], T], /) -> T:
        return call()


def _is_late(envelope: Envelope) -> bool:
    return envelope.expires_at is not None and envelope.expires_at <= time.time()
