"""Who holds which host, and how hosts stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.lifecycle import Role
from fieldlab.domain.messages import Envelope
from fieldlab.domain.notifying import DISK_TOPIC, disk_low
from fieldlab.domain.sites import Health, HostSpec, HostState
from fieldlab.ports.ledger import Hold, HostStanding
from fieldlab.ports.store import Engine, EngineSign
from fieldlab.store import tables
from fieldlab.store.campaigns import read_campaign
from fieldlab.store.database import Database, clock
from fieldlab.store.host_tables import hosts
from fieldlab.store.leasing import require_alive
from fieldlab.store.posting import post
from fieldlab.store.transitions import (
    CAMPAIGNS,
    HOSTS,
    Cause,
    advance_all,
    create_missing,
    remark,
)

#: people are told of a host with less free space, bytes
LOW_BYTES = 100 << 20
_FREE: dict[str, Any] = {"engine_id": None, "hold": None, "held_at": None, "held_for": None}
_UNRESERVED: dict[str, Any] = {"reserving_engine_id": None, "reserving_hold": None}


class SqlHostLedger:
    """Implements :class:`fieldlab.ports.ledger.HostLedger` on a lab's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enroll(self, site: str, specs: Sequence[HostSpec]) -> None:
        with self._database.begin() as connection:
            known = {
                row.identity: (row.site, row.name)
                for row in connection.execute(
                    sa.select(hosts.c.identity, hosts.c.site, hosts.c.name)
                )
            }
            for spec in specs:
                named = {"site": site, "name": spec.name}
                if spec.identity not in known:
                    cause = Cause(actor="", reason=f"named by the site {site}")
                    values = {"identity": spec.identity, "created_at": cause.at, **named}
                    create_missing(connection, HOSTS, cause, "identity", **values)
                elif known[spec.identity] != (site, spec.name):
                    connection.execute(
                        sa.update(hosts).where(hosts.c.identity == spec.identity).values(named)
                    )

    def standing(self, identities: Collection[str] | None = None) -> list[HostStanding]:
        with self._database.read() as connection:
            return read_standing(connection, identities)

    def hold(self, hold: Hold) -> bool:
        with self._database.begin() as connection:
            require_alive(connection, hold.engine_id)
            asked = hosts.c.identity.in_(hold.identities)
            query = sa.select(hosts).where(asked).order_by(hosts.c.id).with_for_update()
            rows = connection.execute(query).all()
            if len(rows) < len(hold.identities):
                return False
            if all(row.hold == hold.token for row in rows):
                return True  # the answer to an earlier call was lost
            reserved = any(row.reserving_hold not in (None, hold.token) for row in rows)
            fit = hold.any_state or all(row.state == HostState.READY for row in rows)
            free = hold.any_state or not reserved
            if fit and free and all(row.hold is None for row in rows):
                taken = {
                    "engine_id": hold.engine_id,
                    "hold": hold.token,
                    "held_at": clock(connection),
                    "held_for": hold.purpose,
                }
                connection.execute(
                    sa.update(hosts)
                    .where(asked)
                    .values(taken if hold.any_state else {**taken, **_UNRESERVED})
                )
                return True
            if hold.reserve and not reserved:
                wish = {"reserving_engine_id": hold.engine_id, "reserving_hold": hold.token}
                connection.execute(sa.update(hosts).where(asked).values(wish))
            return False

    def release(self, token: str) -> None:
        with self._database.begin() as connection:
            _let_go(connection, hosts.c.hold == token, hosts.c.reserving_hold == token)

    def change(
        self, identity: str, expected: HostState, target: HostState, *, by: str, why: str
    ) -> bool:
        with self._database.begin() as connection:
            query = sa.select(hosts.c.id, hosts.c.engine_id).where(hosts.c.identity == identity)
            host = connection.execute(query.with_for_update()).one_or_none()
            if host is None or host.engine_id not in (None, by):
                return False
            cause = Cause(actor=by, role=Role.ENGINE, reason=why)
            rows = [(host.id, "" if target is HostState.READY else why)]
            return bool(
                advance_all(connection, HOSTS, expected, target, cause, ("id", "note"), rows)
            )

    def note_power_cycle(self, identity: str) -> None:
        with self._database.begin() as connection:
            connection.execute(
                sa.update(hosts)
                .where(hosts.c.identity == identity)
                .values(power_cycled_at=clock(connection))
            )

    def observe(self, identity: str, health: Health) -> None:
        this = hosts.c.identity == identity
        with self._database.begin() as connection:
            before = connection.execute(sa.select(hosts).where(this)).one_or_none()
            if before is None:
                return
            known = {"health": asdict(health), "checked_at": clock(connection)}
            connection.execute(sa.update(hosts).where(this).values(known))
            was_low = before.health is not None and _is_low(Health(**before.health))
            if _is_low(health) and not was_low:
                body = disk_low(f"host {before.name}", health.free_bytes or 0)
                post(connection, [Envelope(topic=DISK_TOPIC, body=body)])

    def count_failure(self, identity: str, *, failed: bool) -> int:
        count = hosts.c.failures + 1 if failed else 0
        where = hosts.c.identity == identity
        with self._database.begin() as connection:
            counted = connection.execute(
                sa.update(hosts).where(where).values(failures=count).returning(hosts.c.failures)
            ).scalar_one_or_none()
            return counted or 0

    def remark(self, campaign_id: int, text: str, *, by: str) -> None:
        with self._database.begin() as connection:
            state = read_campaign(connection, campaign_id).state
            remark(connection, CAMPAIGNS, campaign_id, state, Cause(actor=by, reason=text))

    def holders(self) -> list[tuple[int, EngineSign]]:
        engines = tables.engines
        held = sa.or_(
            engines.c.id.in_(sa.select(hosts.c.engine_id)),
            engines.c.id.in_(sa.select(hosts.c.reserving_engine_id)),
        )
        with self._database.read() as connection:
            now = clock(connection)
            rows = connection.execute(
                sa.select(engines).where(held, engines.c.ended_at.is_(None))
            ).all()
        return [(row.campaign_id, engine_sign(row, now)) for row in rows]


def _is_low(health: Health) -> bool:
    return health.free_bytes is not None and health.free_bytes < LOW_BYTES


def engine_sign(row: sa.Row[Any], now: float) -> EngineSign:
    """Read an engine's row, and how long ago it gave a sign of life."""
    engine = Engine(
        id=row.id,
        host=row.host,
        pid=row.pid,
        process_started=row.process_started,
        slots=row.slots,
        machine=row.machine or "",
    )
    return EngineSign(engine=engine, silent_s=now - row.heartbeat_at.timestamp())


def free_hosts(connection: sa.Connection, engine_id: str) -> None:
    """Let go of all that an engine held and waited for."""
    _let_go(connection, hosts.c.engine_id == engine_id, hosts.c.reserving_engine_id == engine_id)


def _let_go(
    connection: sa.Connection, held: sa.ColumnElement[bool], reserved: sa.ColumnElement[bool]
) -> None:
    # locked in one order everywhere: two who let go and take at once would wait for each other
    in_order = sa.select(hosts.c.id).where(held | reserved).order_by(hosts.c.id)
    connection.execute(in_order.with_for_update()).all()
    last = {"last_engine_id": hosts.c.engine_id}
    connection.execute(sa.update(hosts).where(held).values(last | _FREE))
    connection.execute(sa.update(hosts).where(reserved).values(_UNRESERVED))


def read_standing(
    connection: sa.Connection, identities: Collection[str] | None = None
) -> list[HostStanding]:
    """Read how hosts stand, by site and name; all of them if none is named."""
    query = sa.select(hosts).order_by(hosts.c.site, hosts.c.name, hosts.c.id)
    if identities is not None:
        query = query.where(hosts.c.identity.in_(identities))
    return [
        HostStanding(
            id=row.id,
            identity=row.identity,
            site=row.site,
            name=row.name,
            state=HostState(row.state),
            note=row.note,
            failures=row.failures,
            engine_id=row.engine_id or "",
            held_for=row.held_for or "",
            held_at=row.held_at,
            last_engine_id=row.last_engine_id or "",
            power_cycled_at=row.power_cycled_at,
            checked_at=row.checked_at,
            health=Health(**row.health) if row.health else None,
        )
        for row in connection.execute(query)
    ]
