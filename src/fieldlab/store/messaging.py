"""The messages of the bus on SQLite and PostgreSQL: subscribing, claiming, settling."""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa

from fieldlab.domain.messages import DeliveryPolicy, DeliveryState, Envelope
from fieldlab.ports.bus import Claim, Claimed, News, Settlement
from fieldlab.store.bulk import chunks, insert_rows
from fieldlab.store.bus_tables import deliveries, subscriptions
from fieldlab.store.claiming import claim_due, take_back_lapsed
from fieldlab.store.database import Database, clock
from fieldlab.store.listening import deliver_unheard, end_groups, end_lapsed_groups
from fieldlab.store.news import news_of
from fieldlab.store.posting import lock_subscriptions, post
from fieldlab.store.settling import Settling
from fieldlab.store.tables import in_state
from fieldlab.store.waiting import due_groups, next_due


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
            end_lapsed_groups(connection, now)
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
                deliver_unheard(connection, group, patterns, now)

    def unsubscribe(self, group: str) -> None:
        with self.database.begin() as connection:
            lock_subscriptions(connection, shared=False)
            end_groups(connection, [group], clock(connection), "its group has ended")

    def claim(self, group: str, consumer_id: str, limit: int, policy: DeliveryPolicy) -> Claimed:
        if self.database.is_sqlite:  # looking takes no lock: whoever writes isn't held up
            with self.database.read() as connection:
                again_in_s = next_due(connection, group, time.time())
            if again_in_s is None or again_in_s > 0:
                return Claimed((), again_in_s)
        with self.database.begin() as connection:
            now = clock(connection)
            take_back_lapsed(connection, group, policy, now)
            claims = claim_due(connection, group, consumer_id, limit, policy, now)
            if claims:
                return Claimed(claims)
            return Claimed((), next_due(connection, group, now))

    def due(self, within_s: float) -> set[str]:
        with self.database.read() as connection:
            return due_groups(connection, clock(connection) + within_s)

    def keep(
        self, group: str, claims: Sequence[Claim], *, lease_s: float, lasts_s: float | None
    ) -> bool:
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
            is_there = True
            if lasts_s is not None:
                kept = connection.execute(
                    sa.update(subscriptions)
                    .where(subscriptions.c.group_name == group)
                    .values(expires_at=now + lasts_s)
                )
                is_there = kept.rowcount > 0
            end_lapsed_groups(connection, now)
            return is_there

    def settle(self, settlements: Sequence[Settlement]) -> list[bool | Exception]:
        with self.database.begin() as connection:
            return Settling(connection, clock(connection)).settle(settlements)

    def unsettled(self, groups: Sequence[str]) -> int:
        query = sa.select(sa.func.count()).where(
            deliveries.c.group_name.in_(groups),
            in_state(deliveries, DeliveryState.WAITING)
            | in_state(deliveries, DeliveryState.CLAIMED),
        )
        with self.database.read() as connection:
            return connection.scalar(query) or 0

    def listen(self) -> News:
        return news_of(self.database)
