"""What people see of the bus, and what they do to deliveries by hand."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.errors import UnknownName
from fieldlab.domain.lifecycle import Role
from fieldlab.domain.messages import DELIVERY, DeliveryState, matches
from fieldlab.store.bulk import chunks
from fieldlab.store.bus_tables import deliveries, messages, subscriptions
from fieldlab.store.database import clock
from fieldlab.store.posting import wake
from fieldlab.store.tables import in_state
from fieldlab.store.transitions import DELIVERIES, Cause, advance

#: something may still be done about these
_UNSETTLED = (DeliveryState.WAITING, DeliveryState.CLAIMED, DeliveryState.DEAD)
#: messages that are looked through at a time for those whose topic matches
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A group of consumers, and how its messages fare."""

    name: str
    patterns: tuple[str, ...]
    #: state → deliveries
    counts: dict[str, int]
    #: when the message that waits longest came due
    oldest_waiting: datetime | None

    @property
    def is_unsettled(self) -> bool:
        """Whether anything is left to do, by a consumer or by hand."""
        return any(self.counts[state] for state in _UNSETTLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """One message for one group."""

    number: int
    message_id: str
    topic: str
    group: str
    state: str
    claims: int
    due_at: datetime
    settled_at: datetime | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A message with its deliveries."""

    id: str
    topic: str
    sender: str
    created_at: datetime
    expires_at: datetime | None
    reply_to: str
    in_reply_to: str
    failed: bool
    #: JSON text; another program may have written something else
    body: str
    deliveries: list[DeliveryView] = field(default_factory=list)

    @property
    def plain_body(self) -> Any:
        """The body as data, or as the text that it is."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body


_MESSAGE = (
    *(column for column in messages.c if column.name not in ("body", "groups")),
    sa.cast(messages.c.body, sa.Text).label("body"),
)
_DELIVERY = sa.select(
    deliveries.c.id.label("number"),
    deliveries.c.message_id,
    messages.c.topic,
    deliveries.c.group_name.label("group"),
    *(deliveries.c[name] for name in ("state", "claims", "due_at", "settled_at")),
    sa.func.coalesce(deliveries.c.error, "").label("error"),
).join_from(deliveries, messages)


def groups(connection: sa.Connection) -> list[GroupView]:
    """List the groups that listen or have deliveries, by name."""
    listening: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(subscriptions).order_by(subscriptions.c.pattern)):
        listening.setdefault(row.group_name, []).append(row.pattern)
    counts: dict[str, dict[str, int]] = {}
    for group, state, number in connection.execute(
        sa.select(deliveries.c.group_name, deliveries.c.state, sa.func.count()).group_by(
            deliveries.c.group_name, deliveries.c.state
        )
    ):
        counts.setdefault(group, {})[state] = number
    waiting = (
        sa.select(
            deliveries.c.group_name,
            sa.func.min(deliveries.c.due_at, type_=deliveries.c.due_at.type).label("since"),
        )
        .where(in_state(deliveries, DeliveryState.WAITING))
        .group_by(deliveries.c.group_name)
    )
    oldest = {row.group_name: row.since for row in connection.execute(waiting)}
    return [
        GroupView(
            name=name,
            patterns=tuple(listening.get(name, ())),
            counts={state: counts.get(name, {}).get(state, 0) for state in DeliveryState},
            oldest_waiting=oldest.get(name),
        )
        for name in sorted(listening.keys() | counts.keys())
    ]


def unheard(connection: sa.Connection) -> int:
    """Count the messages that wait for a group to listen."""
    now = clock(connection)
    query = sa.select(sa.func.count()).where(
        messages.c.groups == sa.literal_column("0"),
        messages.c.expires_at.is_(None) | (messages.c.expires_at > now),
    )
    return connection.scalar(query) or 0


def newest_messages(
    connection: sa.Connection, pattern: str, *, limit: int, after: str = ""
) -> list[MessageView]:
    """List the newest messages whose topics match, the oldest of them first.

    Parameters
    ----------
    after
        Only those whose ids come after this one.
    """
    found: list[MessageView] = []
    before: str | None = None
    while len(found) < limit:
        query = sa.select(*_MESSAGE).where(messages.c.id > after)
        if before is not None:
            query = query.where(messages.c.id < before)
        rows = connection.execute(query.order_by(messages.c.id.desc()).limit(PAGE)).all()
        if not rows:
            break
        before = rows[-1].id
        found += [MessageView(**row._mapping) for row in rows if matches(pattern, row.topic)]
    found = found[:limit][::-1]
    _add_deliveries(connection, found)
    return found


def _add_deliveries(connection: sa.Connection, found: Sequence[MessageView]) -> None:
    by_id = {each.id: each for each in found}
    for some in chunks(list(by_id)):
        query = _DELIVERY.where(deliveries.c.message_id.in_(some)).order_by(deliveries.c.id)
        for row in connection.execute(query).mappings():
            by_id[row["message_id"]].deliveries.append(DeliveryView(**row))


def find_message(connection: sa.Connection, which: str) -> MessageView:
    """Find a message by its id, or by the number of one of its deliveries.

    Raises
    ------
    UnknownName
        There is none.
    """
    wanted: Any = which
    if which.isdecimal():
        wanted = (
            sa.select(deliveries.c.message_id)
            .where(deliveries.c.id == int(which[:18]))
            .scalar_subquery()
        )
    query = sa.select(*_MESSAGE).where(messages.c.id == wanted)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownName(
            f"There is no message '{which}'",
            remedy="`fieldlab bus tail` lists the newest with their ids",
        )
    found = MessageView(**row._mapping)
    _add_deliveries(connection, [found])
    return found


def dead_letters(connection: sa.Connection, group: str = "") -> list[DeliveryView]:
    """List the dead letters, the oldest first; of one group, or of all."""
    query = _DELIVERY.where(in_state(deliveries, DeliveryState.DEAD)).order_by(deliveries.c.id)
    if group:
        query = query.where(deliveries.c.group_name == group)
    return [DeliveryView(**row) for row in connection.execute(query).mappings()]


def bury(
    connection: sa.Connection, numbers: Collection[int], *, by: str, why: str
) -> list[DeliveryView]:
    """Put waiting deliveries away as dead letters.

    Raises
    ------
    UnknownName
        There is no such delivery; nothing changed.
    IllegalTransition
        One isn't waiting; nothing changed.
    """
    now = clock(connection)
    why = why or "put away by hand"
    return _by_hand(connection, numbers, DeliveryState.DEAD, by, why, settled_at=now, error=why)


def retry(connection: sa.Connection, numbers: Collection[int], *, by: str) -> list[DeliveryView]:
    """Let deliveries be tried again, now, with all their tries.

    Raises
    ------
    UnknownName
        There is no such delivery; nothing changed.
    IllegalTransition
        One waits or is in work; nothing changed.
    """
    return _by_hand(
        connection,
        numbers,
        DeliveryState.WAITING,
        by,
        "to be tried again",
        due_at=clock(connection),
        settled_at=None,
        expires_at=None,
    )


def _by_hand(
    connection: sa.Connection,
    numbers: Collection[int],
    target: DeliveryState,
    by: str,
    why: str,
    **values: Any,
) -> list[DeliveryView]:
    changed = []
    cause = Cause(actor=by, role=Role.OPERATOR, reason=why)
    for number in dict.fromkeys(numbers):
        query = _DELIVERY.where(deliveries.c.id == number)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise UnknownName(
                f"There is no delivery {number}",
                remedy="`fieldlab bus dead` and `fieldlab bus show ID` list them with numbers",
            )
        DELIVERY.check(f"Delivery {number}", row["state"], target, Role.OPERATOR)
        # what it has been through counts no more, whenever it is tried again
        values["forgiven"] = row["claims"]
        advance(connection, DELIVERIES, number, row["state"], target, cause, **values)
        changed.append(DeliveryView(**row))
    wake(connection, {each.group for each in changed})
    return changed


def prune(connection: sa.Connection, older_than_s: float) -> int:
    """Delete messages of which nothing is left to do and that were sent so long ago, s.

    Dead letters, and messages that nobody listened for yet, stay.

    Returns
    -------
    int
        Messages deleted.
    """
    before = clock(connection) - older_than_s
    unsettled = sa.exists().where(
        deliveries.c.message_id == messages.c.id,
        deliveries.c.state.in_(_UNSETTLED),
    )
    old = sa.select(messages.c.id).where(
        messages.c.created_at < before,
        (messages.c.groups > 0) | (messages.c.expires_at <= clock(connection)),
        ~unsettled,
    )
    ids = connection.scalars(old).all()
    for some in chunks(ids):
        connection.execute(sa.delete(deliveries).where(deliveries.c.message_id.in_(some)))
        connection.execute(sa.delete(messages).where(messages.c.id.in_(some)))
    return len(ids)
