"""No interleaving of consumers, deaths and second thoughts loses a message or doubles an effect."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import hypothesis.strategies as st
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from fieldlab.bus.memory import MemoryMessages
from fieldlab.domain.ids import uuid7
from fieldlab.domain.messages import DeliveryPolicy, DeliveryState, Envelope
from fieldlab.ports.bus import Claim, MessageStore, Settlement
from fieldlab.store.bus_tables import deliveries
from fieldlab.store.bus_views import bury, retry
from fieldlab.store.database import Database
from fieldlab.store.messaging import SqlMessages
from tests.bus.places import DatabasePlace, Place

POLICY = DeliveryPolicy(attempts=3, lease_s=1_000)
_numbers = itertools.count()


@dataclass(slots=True)
class Fate:
    """What must be so of one delivery."""

    state: DeliveryState = DeliveryState.WAITING
    #: the claim that may settle it
    held: Claim | None = None
    #: tries since it was sent, or since it was let be tried anew
    tries: int = 0
    effects: int = 0


@dataclass(slots=True)
class Hands:
    """What people, and clocks, do to a store behind its back."""

    store: MessageStore

    def lapse(self, claim: Claim) -> None:
        """Let a lease end."""
        if isinstance(self.store, MemoryMessages):
            self.store.deliveries[claim.delivery_id].leased_until = 0.0
            return
        assert isinstance(self.store, SqlMessages)
        with self.store.database.begin() as connection:
            connection.execute(
                sa.update(deliveries)
                .where(deliveries.c.id == claim.delivery_id)
                .values(leased_until=0.0)
            )


class Consumers(RuleBasedStateMachine):
    """Two consumers of one group, one of another, on a model that is told what must be so."""

    place: Place

    claims: Bundle[tuple[str, str, Claim]] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.place.store()
        self.hands = Hands(self.store)
        number = next(_numbers)
        self.topic = f"t{number}"
        self.groups = (f"a{number}", f"b{number}")
        self.fates: dict[tuple[str, str], Fate] = {}

    @initialize()
    def listen(self) -> None:
        for group in self.groups:
            self.store.subscribe(group, [self.topic], lasts_s=None, backlog=False)

    @rule(number=st.integers(1, 3))
    def post(self, number: int) -> None:
        envelopes = [Envelope(topic=self.topic, body=each) for each in range(number)]
        self.store.post(envelopes)
        for envelope, group in itertools.product(envelopes, self.groups):
            self.fates[envelope.id, group] = Fate()

    @rule(
        target=claims, group=st.sampled_from((0, 0, 1)), limit=st.integers(1, 3), who=st.booleans()
    )
    def claim(self, group: int, limit: int, who: bool) -> MultipleResults[tuple[str, str, Claim]]:
        name = self.groups[group]
        consumer = f"consumer-{who}"
        self._lapsed_come_back(name)
        waiting = [
            fate
            for (_, of), fate in self.fates.items()
            if of == name and fate.state is DeliveryState.WAITING
        ]
        found = self.store.claim(name, consumer, limit, POLICY).claims
        assert len(found) == min(limit, len(waiting))
        for each in found:
            fate = self.fates[each.envelope.id, name]
            assert fate.state is DeliveryState.WAITING
            fate.tries += 1
            assert each.number == fate.tries
            fate.state, fate.held = DeliveryState.CLAIMED, each
        return multiple(*((each.envelope.id, name, each) for each in found))

    lapsed: frozenset[tuple[str, str]] = frozenset()

    def _lapsed_come_back(self, group: str) -> None:
        for key in [key for key in self.lapsed if key[1] == group]:
            fate = self.fates[key]
            fate.held = None
            dead = fate.tries >= POLICY.attempts
            fate.state = DeliveryState.DEAD if dead else DeliveryState.WAITING
            self.lapsed -= {key}

    @rule(claimed=claims)
    def lapse(self, claimed: tuple[str, str, Claim]) -> None:
        message, group, claim = claimed
        if self.fates[message, group].held == claim:
            self.hands.lapse(claim)
            self.lapsed |= {(message, group)}

    @rule(
        claimed=claims,
        to=st.sampled_from((DeliveryState.ACKNOWLEDGED, DeliveryState.WAITING, DeliveryState.DEAD)),
        twice=st.booleans(),
    )
    def settle(self, claimed: tuple[str, str, Claim], to: DeliveryState, twice: bool) -> None:
        message, group, claim = claimed
        fate = self.fates[message, group]
        happened: list[object] = []
        settlement = Settlement(claim=claim, target=to, effects=[happened.append])
        is_held = fate.held == claim
        [done] = self.store.settle([settlement])
        assert len(happened) == is_held
        if not is_held:
            # a call whose answer was lost may be made again; any other claim is lost
            assert not done or fate.state is to
            return
        assert done
        fate.state, fate.held = to, None
        fate.effects += to is DeliveryState.ACKNOWLEDGED
        self.lapsed -= {(message, group)}
        if twice:
            self.store.settle([settlement])
            assert len(happened) == 1

    @rule(claimed=consumes(claims))
    def try_anew(self, claimed: tuple[str, str, Claim]) -> None:
        message, group, claim = claimed
        fate = self.fates[message, group]
        if not isinstance(self.store, SqlMessages) or fate.state is not DeliveryState.DEAD:
            return
        with self.store.database.begin() as connection:
            retry(connection, [claim.delivery_id], by="ada")
        fate.state, fate.tries = DeliveryState.WAITING, 0

    @rule(claimed=claims)
    def put_away(self, claimed: tuple[str, str, Claim]) -> None:
        message, group, claim = claimed
        fate = self.fates[message, group]
        if not isinstance(self.store, SqlMessages) or fate.state is not DeliveryState.WAITING:
            return
        with self.store.database.begin() as connection:
            bury(connection, [claim.delivery_id], by="ada", why="in the way")
        fate.state = DeliveryState.DEAD

    @invariant()
    def no_effect_happened_twice(self) -> None:
        assert all(fate.effects <= 1 for fate in self.fates.values())

    def teardown(self) -> None:
        """Whatever happened: the rest can be worked off, and then every message was settled."""
        for group in self.groups:
            self._lapsed_come_back(group)
            for fate in self.fates.values():
                if fate.held is not None and fate.held.group == group:
                    assert self.store.settle(
                        [Settlement(claim=fate.held, target=DeliveryState.WAITING)]
                    ) == [True]
                    fate.state, fate.held = DeliveryState.WAITING, None
            while found := self.store.claim(group, uuid7(), 100, POLICY).claims:
                settled = [
                    Settlement(claim=each, target=DeliveryState.ACKNOWLEDGED) for each in found
                ]
                assert all(self.store.settle(settled))
                for each in found:
                    fate = self.fates[each.envelope.id, group]
                    assert fate.state is DeliveryState.WAITING
                    fate.state = DeliveryState.ACKNOWLEDGED
        settled_states = {DeliveryState.ACKNOWLEDGED, DeliveryState.DEAD}
        assert {fate.state for fate in self.fates.values()} <= settled_states


def test_no_interleaving_loses_or_doubles_a_message(place: Place) -> None:
    class OnPlace(Consumers):
        pass

    OnPlace.place = place
    examples = 15 if isinstance(place, DatabasePlace) else 60
    run_state_machine_as_test(
        OnPlace, settings=settings(max_examples=examples, stateful_step_count=25)
    )


def test_a_store_that_is_closed_gives_its_connections_back(database_url: str) -> None:
    database = Database(database_url)
    news = SqlMessages(database).listen()
    assert news.wait(5.0)
    news.close()
    assert not news.wait(0.0)
    database.close()
