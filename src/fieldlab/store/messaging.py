"""The messages of the bus on SQLite and PostgreSQL: subscribing, claiming, settling."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from fieldlab.domain.messages import DeliveryPolicy, DeliveryState, Envelope, groups_for
from fieldlab.ports.bus import Claim, Claimed, News, Settlement
from fieldlab.store.bulk import chunks, insert_rows
from fieldlab.store.bus_tables import deliveries, messages, subscriptions
from fieldlab.store.database import Database, clock
from fieldlab.store.news import news_of
from fieldlab.store.posting import deliver, lock_subscriptions, post
from fieldlab.store.tables import in_state
from fieldlab.store.transitions import DELIVERIES, Cause, advance_all
from fieldlab.store.waiting import due_groups, lock_due, next_due

#: claims of dead consumers that are taken back at a time
MOST_LAPSED = 500

#: errors that are the database's fault, not that of what an effect asked of it
_OF_THE_DATABASE = (exc.OperationalError, exc.InterfaceError, exc.InternalError)

_WORKED_ON = ("id", "consumer_id", "claims")


class SqlMessages:
    """Implements :class:`fieldlab.ports.bus.MessageStore` on a lab's database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def post(self, envelopes: Sequence[Envelope]) -> None:
        with self.database.begin() as connection:
            post(connection, envelopes)

    def subscribe(
        self, group: str, patterns: Sequence[str], *, lasts_s: float | None, backlog: bool
    ) -> None:
        with self.database.begin() as connection:
            lock_subscriptions(connection, shared=False)
            now = clock(connection)
            _end_lapsed_groups(connection, now)
            ends = None if lasts_s is None else now + lasts_s
            own = subscriptions.c.group_name == group
            had = set(connection.scalars(sa.select(subscriptions.c.pattern).where(own)))
            gone = had - set(patterns)
            connection.execute(
                sa.delete(subscriptions).where(own, subscriptions.c.pattern.in_(gone))
            )
            connection.execute(sa.update(subscriptions).where(own).values(expires_at=ends))
            fresh = [(group, each, now, ends) for each in patterns if each not in had]
            columns = ("group_name", "pattern", "created_at", "expires_at")
            insert_rows(connection, subscriptions, columns, fresh)
            if backlog and not had:
                _deliver_unheard(connection, group, patterns, now)

    def unsubscribe(self, group: str) -> None:
        with self.database.begin() as connection:
            lock_subscriptions(connection, shared=False)
            _end_groups(connection, [group], clock(connection), "its group has ended")

    def claim(self, group: str, consumer_id: str, limit: int, policy: DeliveryPolicy) -> Claimed:
        if self.database.is_sqlite:  # looking takes no lock: whoever writes isn't held up
            with self.database.read() as connection:
                again_in_s = next_due(connection, group, time.time())
            if again_in_s is None or again_in_s > 0:
                return Claimed((), again_in_s)
        with self.database.begin() as connection:
            now = clock(connection)
            _take_back_lapsed(connection, group, policy, now)
            claims = _claim_due(connection, group, consumer_id, limit, policy, now)
            if claims:
                return Claimed(claims)
            return Claimed((), next_due(connection, group, now))

    def due(self, within_s: float) -> set[str]:
        with self.database.read() as connection:
            return due_groups(connection, clock(connection) + within_s)

    def keep(
        self, group: str, claims: Sequence[Claim], *, lease_s: float, lasts_s: float | None
    ) -> None:
        with self.database.begin() as connection:
            now = clock(connection)
            for some in chunks([each.delivery_id for each in claims]):
                connection.execute(
                    sa.update(deliveries)
                    .where(
                        deliveries.c.id.in_(some),
                        in_state(deliveries, DeliveryState.CLAIMED),
                        deliveries.c.consumer_id == claims[0].consumer_id,
                    )
                    .values(leased_until=now + lease_s)
                )
            if lasts_s is not None:
                connection.execute(
                    sa.update(subscriptions)
                    .where(subscriptions.c.group_name == group)
                    .values(expires_at=now + lasts_s)
                )
            _end_lapsed_groups(connection, now)

    def settle(self, settlements: Sequence[Settlement]) -> list[bool | Exception]:
        with self.database.begin() as connection:
            return _Settling(connection, clock(connection)).settle(settlements)

    def listen(self) -> News:
        return news_of(self.database)


def _deliver_unheard(
    connection: sa.Connection, group: str, patterns: Sequence[str], now: float
) -> None:
    """Give a new group the messages that no group has got, the oldest first."""
    query = (
        sa.select(messages.c.id, messages.c.topic, messages.c.expires_at)
        .where(
            messages.c.groups == sa.literal_column("0"),
            messages.c.expires_at.is_(None) | (messages.c.expires_at > now),
        )
        .order_by(messages.c.id)
    )
    listening = [(group, pattern) for pattern in patterns]
    heard = [row for row in connection.execute(query) if groups_for(row.topic, listening)]
    deliver(
        connection,
        [
            (Envelope(id=row.id, topic=row.topic, expires_at=_seconds(row.expires_at)), [group])
            for row in heard
        ],
    )
    for some in chunks([row.id for row in heard]):
        connection.execute(sa.update(messages).where(messages.c.id.in_(some)).values(groups=1))


def _end_lapsed_groups(connection: sa.Connection, now: float) -> None:
    """End the groups whose one consumer hasn't been heard of."""
    lapsed = connection.scalars(
        sa.select(subscriptions.c.group_name).where(subscriptions.c.expires_at <= now).distinct()
    ).all()
    if lapsed:
        _end_groups(connection, lapsed, now, "its consumer is gone")


def _end_groups(connection: sa.Connection, groups: Sequence[str], now: float, why: str) -> None:
    for group in groups:
        connection.execute(sa.delete(subscriptions).where(subscriptions.c.group_name == group))
        waiting = connection.scalars(
            sa.select(deliveries.c.id).where(
                deliveries.c.group_name == group, in_state(deliveries, DeliveryState.WAITING)
            )
        ).all()
        _expire(connection, waiting, now, why)


def _expire(connection: sa.Connection, ids: Sequence[int], now: float, why: str) -> None:
    cause = Cause(actor="bus", at=now)
    steps = [(each, now, why) for each in ids]
    columns = ("id", "settled_at", "error")
    advance_all(
        connection,
        DELIVERIES,
        DeliveryState.WAITING,
        DeliveryState.EXPIRED,
        cause,
        columns,
        steps,
    )


def _take_back_lapsed(
    connection: sa.Connection, group: str, policy: DeliveryPolicy, now: float
) -> None:
    """Make messages due again whose consumers died; those that had all their tries are dead."""
    rows = connection.execute(
        sa.select(*(deliveries.c[name] for name in (*_WORKED_ON, "forgiven")))
        .where(
            deliveries.c.group_name == group,
            in_state(deliveries, DeliveryState.CLAIMED),
            deliveries.c.leased_until < now,
        )
        .order_by(deliveries.c.leased_until)
        .limit(MOST_LAPSED)
        .with_for_update(skip_locked=True)
    ).all()
    error = "its consumer died, or wasn't heard of for the time of its lease"
    for row in rows:
        dead = row.claims - row.forgiven >= policy.attempts
        advance_all(
            connection,
            DELIVERIES,
            DeliveryState.CLAIMED,
            DeliveryState.DEAD if dead else DeliveryState.WAITING,
            Cause(actor="bus", at=now),
            (*_WORKED_ON, "due_at", "settled_at", "error"),
            [(*row[:3], now, now if dead else None, error)],
            match=_WORKED_ON[1:],
        )


def _claim_due(
    connection: sa.Connection,
    group: str,
    consumer_id: str,
    limit: int,
    policy: DeliveryPolicy,
    now: float,
) -> list[Claim]:
    late, good, bad = _sorted(lock_due(connection, group, limit, now), now)
    _expire(connection, [row.delivery_id for row in late], now, "nobody took it in time")
    rows = [row for row, _ in good]
    won = _begin(connection, [*rows, *bad], consumer_id, now + policy.lease_s, now)
    _bury_unreadable(connection, bad, consumer_id, now)
    return [
        Claim(
            delivery_id=row.delivery_id,
            group=group,
            consumer_id=consumer_id,
            number=row.claims + 1 - row.forgiven,
            token=row.claims + 1,
            envelope=_envelope(row, body),
        )
        for row, body in good
        if row.delivery_id in won
    ]


def _sorted(rows: Sequence[Any], now: float) -> tuple[list[Any], list[tuple[Any, Any]], list[Any]]:
    """Tell those that have expired, those with their bodies, and those whose body isn't JSON.

    Some other program may have written the last.
    """
    late, good, bad = [], [], []
    for row in rows:
        if row.late_at and row.late_at.timestamp() <= now:
            late.append(row)
            continue
        try:
            good.append((row, json.loads(row.body)))
        except (ValueError, RecursionError):
            bad.append(row)
    return late, good, bad


def _begin(
    connection: sa.Connection,
    rows: Sequence[Any],
    consumer_id: str,
    leased_until: float,
    now: float,
) -> set[int]:
    won = advance_all(
        connection,
        DELIVERIES,
        DeliveryState.WAITING,
        DeliveryState.CLAIMED,
        Cause(actor=consumer_id, at=now),
        ("id", "claims", "consumer_id", "leased_until"),
        [(row.delivery_id, row.claims + 1, consumer_id, leased_until) for row in rows],
    )
    return {step[0] for step in won}


def _bury_unreadable(
    connection: sa.Connection, rows: Sequence[Any], consumer_id: str, now: float
) -> None:
    advance_all(
        connection,
        DELIVERIES,
        DeliveryState.CLAIMED,
        DeliveryState.DEAD,
        Cause(actor="bus", at=now),
        (*_WORKED_ON, "settled_at", "error"),
        [
            (row.delivery_id, consumer_id, row.claims + 1, now, "its body is not JSON")
            for row in rows
        ],
        match=_WORKED_ON[1:],
    )


def _envelope(row: Any, body: Any) -> Envelope:
    return Envelope(
        id=row.id,
        topic=row.topic,
        body=body,
        sender=row.sender,
        sent_at=row.created_at.timestamp(),
        expires_at=_seconds(row.expires_at),
        reply_to=row.reply_to,
        in_reply_to=row.in_reply_to,
        failed=row.failed,
    )


def _seconds(moment: Any) -> float | None:
    return None if moment is None else float(moment.timestamp())


@dataclass(slots=True)
class _Settling:
    """Settles claims in an open transaction."""

    connection: sa.Connection
    now: float

    def settle(self, settlements: Sequence[Settlement]) -> list[bool | Exception]:
        done: list[bool | Exception] = [False] * len(settlements)
        groups: dict[DeliveryState, list[int]] = {}
        for place, each in enumerate(settlements):
            if each.effects:
                done[place] = self._with_effects(each)
            else:
                groups.setdefault(each.target, []).append(place)
        for target, places in groups.items():
            won = self._advance(target, [settlements[place] for place in places])
            for place in places:
                each = settlements[place]
                done[place] = each.claim.delivery_id in won or self._was_settled(each)
            post(
                self.connection,
                [
                    envelope
                    for place in places
                    if settlements[place].claim.delivery_id in won
                    for envelope in settlements[place].posts
                ],
            )
        return done

    def _with_effects(self, settlement: Settlement) -> bool | Exception:
        """Settle one whose effects may fail: it is then as if it had not been tried."""
        try:
            with self.connection.begin_nested():
                if not self._advance(settlement.target, [settlement]):
                    return self._was_settled(settlement)
                for effect in settlement.effects:
                    effect(self.connection)
                post(self.connection, settlement.posts)
        except _OF_THE_DATABASE:
            raise
        except Exception as error:  # noqa: BLE001 - an effect may raise anything
            return error
        return True

    def _advance(self, target: DeliveryState, settlements: Sequence[Settlement]) -> set[int]:
        settled = None if target is DeliveryState.WAITING else self.now
        rows = [
            (
                each.claim.delivery_id,
                each.claim.consumer_id,
                each.claim.token,
                self.now + each.delay_s,
                settled,
                each.error or None,
            )
            for each in settlements
        ]
        won = advance_all(
            self.connection,
            DELIVERIES,
            DeliveryState.CLAIMED,
            target,
            Cause(actor=settlements[0].claim.consumer_id, at=self.now),
            (*_WORKED_ON, "due_at", "settled_at", "error"),
            rows,
            match=_WORKED_ON[1:],
        )
        return {row[0] for row in won}

    def _was_settled(self, settlement: Settlement) -> bool:
        """Say whether an earlier call, whose answer was lost, has settled it."""
        claim = settlement.claim
        same = sa.exists().where(
            deliveries.c.id == claim.delivery_id,
            deliveries.c.consumer_id == claim.consumer_id,
            deliveries.c.claims == claim.token,
            deliveries.c.state == settlement.target,
        )
        return bool(self.connection.scalar(sa.select(same)))
