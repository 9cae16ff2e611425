"""Settling claims: acknowledged, back to wait, or given up, with what belongs to the step."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import exc

from fieldlab.domain.errors import StoreError
from fieldlab.domain.messages import DeliveryState
from fieldlab.ports.bus import EffectFailed, Settlement
from fieldlab.store.bus_tables import deliveries
from fieldlab.store.claiming import CLAIM_KEY
from fieldlab.store.posting import post, wake
from fieldlab.store.transitions import DELIVERIES, Cause, advance_all

#: errors that are the database's fault, not that of what an effect asked of it
_OF_THE_DATABASE = (exc.OperationalError, exc.InterfaceError, exc.InternalError)


@dataclass(slots=True)
class Settling:
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
            if target is DeliveryState.WAITING:  # other consumers are to know when it is due
                wake(self.connection, {settlements[place].claim.group for place in places})
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
                    self._require_open()
                post(self.connection, settlement.posts)
        except StoreError:  # the transaction is spoilt: its other settlements must be made again
            raise
        except _OF_THE_DATABASE as error:
            if _is_mistake(error):
                return error
            raise
        except Exception as error:  # noqa: BLE001 - an effect may raise anything
            return error
        except BaseException as error:  # noqa: BLE001 - as above
            return EffectFailed(error)
        return True

    def _require_open(self) -> None:
        if self.connection.closed or not self.connection.in_nested_transaction():
            raise StoreError(
                "An effect ended the transaction that it was called in",
                remedy="Leave commit, rollback and close to fieldlab",
            )

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
            (*CLAIM_KEY, "due_at", "settled_at", "error"),
            rows,
            match=CLAIM_KEY[1:],
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


def _is_mistake(error: exc.DBAPIError) -> bool:
    """Whether SQLite complains of the statement: it uses one class of errors for nearly all."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_ERROR
