"""Who holds which host: one at a time, all or none, and never somebody who is gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fieldlab.domain.errors import Conflict, IllegalTransition
from fieldlab.domain.ids import uuid7
from fieldlab.domain.sites import Health, HostSpec, HostState
from fieldlab.ports.ledger import Hold, HostStanding
from fieldlab.store.database import Database
from fieldlab.store.holding import SqlHostLedger
from fieldlab.store.sql_store import SqlStore
from tests.store.staging import HandEngine, running, topics

SPECS = tuple(HostSpec(name=f"h{n}", address=f"10.0.0.{n}") for n in range(1, 5))
IDENTITIES = tuple(each.identity for each in SPECS)


@pytest.fixture
def ledger(database: Database) -> SqlHostLedger:
    made = SqlHostLedger(database)
    made.enroll("bench", SPECS)
    return made


def enlisted(store: SqlStore, count: int = 1) -> list[str]:
    campaign = running(store)
    return [HandEngine(store, campaign).id for _ in range(count)]


def hold(engine_id: str, *places: int, reserve: bool = False, token: str = "") -> Hold:
    return Hold(
        token=token or uuid7(),
        engine_id=engine_id,
        identities=tuple(IDENTITIES[each] for each in places),
        purpose="probe.1 0f1e",
        reserve=reserve,
    )


def held(ledger: SqlHostLedger) -> dict[str, str]:
    return {each.name: each.engine_id for each in ledger.standing() if each.engine_id}


def test_hosts_are_enrolled_once_and_renamed(ledger: SqlHostLedger) -> None:
    ledger.enroll("lab", [HostSpec(name="left", address="10.0.0.1")])
    ledger.enroll("lab", [HostSpec(name="left", address="10.0.0.1")])
    named = [(each.site, each.name, each.state) for each in ledger.standing()]
    assert named == [
        ("bench", "h2", HostState.READY),
        ("bench", "h3", HostState.READY),
        ("bench", "h4", HostState.READY),
        ("lab", "left", HostState.READY),
    ]


def test_all_or_none_are_held_until_they_are_released(
    store: SqlStore, ledger: SqlHostLedger
) -> None:
    one, other = enlisted(store, 2)
    first = hold(one, 0, 1)
    assert ledger.hold(first)
    assert ledger.hold(first), "the answer to the first call may have been lost"
    assert not ledger.hold(hold(one, 1, 2)), "another attempt of the same engine"
    assert not ledger.hold(hold(other, 1, 2))
    assert held(ledger) == {"h1": one, "h2": one}
    assert {each.held_for for each in ledger.standing()} == {"probe.1 0f1e", ""}
    ledger.release(first.token)
    assert ledger.hold(hold(other, 1, 2))
    assert held(ledger) == {"h2": other, "h3": other}
    (standing,) = ledger.standing([IDENTITIES[1]])
    assert (standing.last_engine_id, standing.engine_id) == (one, other)


def test_who_reserves_hosts_gets_them_next(store: SqlStore, ledger: SqlHostLedger) -> None:
    one, other, third = enlisted(store, 3)
    small = hold(one, 0)
    assert ledger.hold(small)
    large = hold(other, 0, 1, 2, reserve=True)
    assert not ledger.hold(large)
    assert not ledger.hold(hold(third, 1)), "it is free, and kept for the one who waits for all"
    assert ledger.hold(hold(third, 3)), "nobody waits for this one"
    rival = hold(third, 1, 2, reserve=True)
    assert not ledger.hold(rival), "two who wait don't block each other"
    ledger.release(small.token)
    assert not ledger.hold(rival)
    assert ledger.hold(large)
    ledger.release(large.token)
    assert ledger.hold(rival)


def test_who_gives_up_waiting_reserves_nothing(store: SqlStore, ledger: SqlHostLedger) -> None:
    one, other = enlisted(store, 2)
    assert ledger.hold(hold(one, 0))
    wish = hold(other, 0, 1, reserve=True)
    assert not ledger.hold(wish)
    ledger.release(wish.token)
    assert ledger.hold(hold(one, 1))


@pytest.mark.parametrize("ending", ["retired", "died"])
def test_what_an_engine_held_and_reserved_is_free_when_it_is_gone(
    store: SqlStore, ledger: SqlHostLedger, ending: str
) -> None:
    campaign = running(store)
    one, other = enlisted(store, 2)
    assert ledger.hold(hold(one, 0, 1))
    assert ledger.hold(hold(other, 2))
    assert not ledger.hold(hold(one, 2, 3, reserve=True))
    assert {sign.engine.id for _, sign in ledger.holders()} == {one, other}
    if ending == "retired":
        store.retire(campaign.id, one)
    else:
        store.recover(campaign.id, [one])
    assert held(ledger) == {"h3": other}
    assert [(id_, sign.engine.id) for id_, sign in ledger.holders()] == [(campaign.id, other)]
    assert ledger.hold(hold(other, 3))
    with pytest.raises(Conflict, match="took this one for dead"):
        ledger.hold(hold(one, 0))


def test_a_host_that_is_not_ready_is_not_given_out(store: SqlStore, ledger: SqlHostLedger) -> None:
    (one,) = enlisted(store)
    ready, quarantined = HostState.READY, HostState.QUARANTINED
    assert ledger.change(IDENTITIES[0], ready, quarantined, by=one, why="no answer to ssh")
    assert not ledger.change(IDENTITIES[0], ready, quarantined, by=one, why="no answer to ssh")
    assert not ledger.hold(hold(one, 0))
    (standing,) = ledger.standing([IDENTITIES[0]])
    assert (standing.state, standing.note) == (quarantined, "no answer to ssh")
    with pytest.raises(IllegalTransition, match="'quarantined' to 'quarantined'"):
        ledger.change(IDENTITIES[0], quarantined, quarantined, by=one, why="")
    assert ledger.change(IDENTITIES[0], quarantined, ready, by=one, why="it answers")
    assert ledger.standing([IDENTITIES[0]])[0].note == ""
    assert ledger.hold(hold(one, 0))


def test_failures_in_a_row_are_counted(ledger: SqlHostLedger) -> None:
    counts = [ledger.count_failure(IDENTITIES[0], failed=each) for each in (True, True, False)]
    assert counts == [1, 2, 0]
    assert ledger.count_failure("10.9.9.9:22", failed=True) == 0


def test_what_was_found_is_kept(ledger: SqlHostLedger) -> None:
    health = Health(ping_ms=0.25, boot_id="5e1f", free_bytes=10**12, versions={"rsync": "3.2.7"})
    ledger.observe(IDENTITIES[0], health)
    standing: HostStanding = ledger.standing([IDENTITIES[0]])[0]
    assert standing.health == health
    assert standing.checked_at is not None


def test_engines_that_grab_at_the_same_time_never_share(
    store: SqlStore, ledger: SqlHostLedger
) -> None:
    engines = enlisted(store, 4)
    owners: dict[str, str] = {}
    guard = threading.Lock()

    def grab(number: int) -> int:
        won = 0
        for turn in range(8):
            wish = hold(engines[number], *{(number + turn) % 4, (number + turn + 1) % 4})
            if not ledger.hold(wish):
                continue
            won += 1
            with guard:
                for each in wish.identities:
                    assert each not in owners, "two hold one host"
                    owners[each] = wish.token
            with guard:
                for each in wish.identities:
                    del owners[each]
            ledger.release(wish.token)
        return won

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(grab, range(4))) > 0
    assert held(ledger) == {}


def test_two_who_enroll_the_same_hosts_at_once_write_them_once(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(SqlHostLedger(database).enroll, "bench", SPECS) for _ in range(8)]:
            done.result()
    assert [each.name for each in SqlHostLedger(database).standing()] == ["h1", "h2", "h3", "h4"]


def test_a_disk_that_gets_nearly_full_is_told_once(store: SqlStore, ledger: SqlHostLedger) -> None:
    for free in (10**9, 10**6, 10**5, 10**9, 10**6):
        ledger.observe(IDENTITIES[0], Health(free_bytes=free))
    assert topics(store) == ["disk.low", "disk.low"]
