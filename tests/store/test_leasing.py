"""Taking work: ranges that never overlap, what was left behind first, retries when they are due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from fieldlab.domain.errors import Conflict, StoreError, StoreUnavailable
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.store import Lease, Sifted
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore
from tests.store import books
from tests.store.staging import HandEngine, created, definition, running


def spans(leases: list[Lease] | tuple[Lease, ...]) -> list[tuple[int, int]]:
    return [(lease.start, lease.stop) for lease in leases]


def test_engines_get_disjoint_ranges_and_disjoint_ids(store: SqlStore) -> None:
    campaign = running(store, positions=100)
    engines = [HandEngine(store, campaign) for _ in range(3)]
    leases = [lease for _ in range(4) for each in engines for lease in each.acquire(7).leases]
    positions = [at for lease in leases for at in range(lease.start, lease.stop)]
    assert positions == list(range(84))
    ids = [lease.first_id + at for lease in leases for at in range(lease.stop - lease.start)]
    assert len(set(ids)) == 84
    assert store.campaign(campaign.id).cursor == 84


def test_ids_are_not_shared_between_campaigns(store: SqlStore) -> None:
    first = HandEngine(store, running(store, definition("one"))).acquire()
    second = HandEngine(store, running(store, definition("two"))).acquire()
    [one], [two] = first.leases, second.leases
    assert two.first_id >= one.first_id + 10


def test_no_range_goes_beyond_the_end(store: SqlStore) -> None:
    campaign = running(store, positions=10)
    engine = HandEngine(store, campaign)
    assert spans(list(engine.acquire(8).leases)) == [(0, 8)]
    assert spans(list(engine.acquire(8).leases)) == [(8, 10)]
    assert not engine.acquire(8).leases


def test_a_space_without_end_goes_on(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, positions=None))
    for _ in range(3):
        assert engine.acquire(50).leases
    assert store.campaign(engine.campaign.id).cursor == 150


def test_positions_can_be_counted_beyond_32_bits(store: SqlStore) -> None:
    campaign = running(store, positions=10**12)
    engine = HandEngine(store, campaign)
    engine.acquire(1)
    work = store.acquire(campaign.id, engine.id, 10**11, 0)
    assert spans(list(work.leases)) == [(1, 10**11 + 1)]
    assert store.campaign(campaign.id).cursor == 10**11 + 1


def test_exclusions_are_made_up_for_until_as_many_trials_as_wanted_ran(store: SqlStore) -> None:
    campaign = running(store, positions=None, wanted=6)
    engine = HandEngine(store, campaign)
    assert spans(list(engine.acquire().leases)) == [(0, 6)]
    engine.exclude(1, 4)
    engine.end(0, 2, 3, 5)
    assert engine.record().excluded == 2
    assert not store.finish(campaign.id)
    assert spans(list(engine.acquire().leases)) == [(6, 8)]
    engine.exclude(6)
    engine.end(7)
    engine.record()
    assert spans(list(engine.acquire().leases)) == [(8, 9)]
    engine.end(8)
    engine.record()
    assert not engine.acquire().leases
    assert store.finish(campaign.id)
    assert store.campaign(campaign.id).succeeded == 6


def sifted(start: int, stop: int, excluded: int, *positions: int, skipped: int = 0) -> Sifted:
    return Sifted(start=start, stop=stop, positions=positions, excluded=excluded, skipped=skipped)


def test_a_range_that_was_looked_through_counts_its_exclusions_once(store: SqlStore) -> None:
    campaign = running(store, positions=None, wanted=3)
    first = HandEngine(store, campaign)
    [lease] = store.acquire(campaign.id, first.id, 1, 0, sifted(0, 50, 48, 7, 49)).leases
    assert (lease.start, lease.stop) == (0, 50)
    assert store.campaign(campaign.id).excluded == 48
    assert spans(list(store.acquire(campaign.id, first.id, 9, 0).leases)) == [(50, 51)]
    store.recover(campaign.id, [first.id])
    heir = HandEngine(store, campaign)
    heir.acquire()
    heir.exclude(*(at for at in range(50) if at not in (7, 49)))
    heir.end(7, 49, 50)
    ended = heir.record()
    assert (ended.excluded, ended.succeeded, ended.cursor) == (48, 3, 51)
    assert store.finish(campaign.id)


def test_a_range_without_a_trial_is_passed_over_at_once(store: SqlStore) -> None:
    campaign = running(store, positions=30)
    engine = HandEngine(store, campaign)
    assert not store.acquire(campaign.id, engine.id, 2, 0, sifted(0, 20, 5, skipped=15)).leases
    passed = store.campaign(campaign.id)
    assert (passed.cursor, passed.excluded, passed.skipped, passed.done) == (20, 5, 15, 15)
    store.acquire(campaign.id, engine.id, 2, 0, sifted(20, 30, 10))
    assert store.finish(campaign.id)


def test_what_another_engine_took_meanwhile_is_not_leased_again(store: SqlStore) -> None:
    campaign = running(store, positions=30)
    one, two = HandEngine(store, campaign), HandEngine(store, campaign)
    one.acquire(5)
    assert not store.acquire(campaign.id, two.id, 5, 0, sifted(0, 20, 0, 1, 2)).leases
    assert not store.acquire(campaign.id, two.id, 5, 0, sifted(0, 20, 20)).leases
    assert (store.campaign(campaign.id).cursor, store.campaign(campaign.id).excluded) == (5, 0)


def test_no_more_trials_are_leased_than_are_wanted(store: SqlStore) -> None:
    campaign = running(store, positions=None, wanted=3)
    engine = HandEngine(store, campaign)
    many = sifted(0, 10, 6, 1, 2, 3, 4)
    assert not store.acquire(campaign.id, engine.id, 9, 0, many).leases
    assert store.campaign(campaign.id).excluded == 0
    assert store.acquire(campaign.id, engine.id, 9, 0, sifted(0, 9, 6, 1, 2, 3)).leases


def test_a_bounded_space_may_end_before_enough_were_wanted(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, positions=4, wanted=100))
    assert spans(list(engine.acquire().leases)) == [(0, 4)]
    engine.exclude(0)
    engine.end(1, 2, 3)
    engine.record()
    assert store.finish(engine.campaign.id)
    assert store.campaign(engine.campaign.id).total == 3


def test_what_an_engine_left_behind_comes_first(store: SqlStore) -> None:
    campaign = running(store, positions=20)
    dead = HandEngine(store, campaign)
    dead.acquire(6)
    dead.end(0, 3)
    dead.record()
    dead.begin(5)
    store.recover(campaign.id, [dead.id])
    work = HandEngine(store, campaign).acquire(positions=8)
    assert [(each.start, each.stop, each.recorded) for each in work.leases] == [
        (0, 6, frozenset({0, 3, 5})),
        (6, 8, frozenset()),
    ]
    assert [each.position for each in work.retries] == [5]


def test_a_left_range_keeps_its_ids(store: SqlStore) -> None:
    campaign = running(store)
    dead, heir = HandEngine(store, campaign), HandEngine(store, campaign)
    [before] = dead.acquire(6).leases
    store.recover(campaign.id, [dead.id])
    [after] = heir.acquire(1).leases
    assert (after.start, after.stop, after.first_id) == (0, 6, before.first_id)


def test_only_so_many_left_ranges_are_taken_as_are_asked_for(store: SqlStore) -> None:
    campaign = running(store, positions=30)
    dead = HandEngine(store, campaign)
    for _ in range(3):
        dead.acquire(5)
    store.recover(campaign.id, [dead.id])
    heirs = [HandEngine(store, campaign) for _ in range(3)]
    assert [spans(list(each.acquire(5).leases)) for each in heirs] == [
        [(0, 5)],
        [(5, 10)],
        [(10, 15)],
    ]


@pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.CANCELLED])
def test_a_stopped_campaign_gives_nothing(store: SqlStore, state: CampaignState) -> None:
    campaign = running(store, definition(attempts=2))
    engine = HandEngine(store, campaign)
    engine.acquire(2)
    engine.fail(0, 1)
    engine.record()
    store.change_state(campaign.id, state, by="ada", why="")
    work = engine.acquire()
    assert (work.state, work.leases, work.retries) == (state, (), ())


def test_a_campaign_that_was_never_started_gives_nothing(store: SqlStore) -> None:
    assert not HandEngine(store, created(store)).acquire().leases


def test_retries_are_given_once_and_only_when_due(store: SqlStore) -> None:
    soon = running(store, definition("soon", attempts=2))
    late = running(store, definition("late", attempts=2, delay_s=60))
    for campaign in (soon, late):
        engine = HandEngine(store, campaign)
        engine.acquire()
        engine.fail(3, 4)
        engine.record()
    one, two = HandEngine(store, soon), HandEngine(store, soon)
    assert [each.position for each in one.acquire(0, retries=1).retries] == [3]
    assert [each.position for each in two.acquire(0, retries=9).retries] == [4]
    assert not one.acquire(0).retries
    assert not HandEngine(store, late).acquire(0).retries
    books.check(store, soon.id)


def test_an_engine_says_that_it_lives(store: SqlStore) -> None:
    campaign = running(store)
    engine = HandEngine(store, campaign)
    [sign] = store.live_engines(campaign.id)
    assert (sign.engine.id, sign.engine.host, sign.engine.slots) == (engine.id, "bench", 2)
    assert sign.engine.process_started == 1.5
    assert 0 <= sign.silent_s < 60
    assert store.heartbeat(campaign.id, engine.id) is CampaignState.RUNNING
    store.change_state(campaign.id, CampaignState.PAUSED, by="ada", why="")
    assert store.heartbeat(campaign.id, engine.id) is CampaignState.PAUSED


def test_engines_of_other_campaigns_are_not_listed(store: SqlStore) -> None:
    one, two = running(store, definition("one")), running(store, definition("two"))
    engine = HandEngine(store, one)
    assert not store.live_engines(two.id)
    store.retire(one.id, engine.id)
    assert not store.live_engines(one.id)


def test_an_engine_that_was_taken_for_dead_learns_it(store: SqlStore) -> None:
    campaign = running(store)
    engine = HandEngine(store, campaign)
    store.recover(campaign.id, [engine.id])
    with pytest.raises(Conflict, match="took this one for dead"):
        store.heartbeat(campaign.id, engine.id)


def test_enlisting_twice_is_enlisting_once(store: SqlStore) -> None:
    """The first call may have been committed although its answer was lost."""
    campaign = running(store)
    engine = HandEngine(store, campaign)
    [sign] = store.live_engines(campaign.id)
    store.enlist(campaign.id, sign.engine)
    assert [each.engine for each in store.live_engines(campaign.id)] == [sign.engine]
    assert store.heartbeat(campaign.id, engine.id) is CampaignState.RUNNING


class CutOff(Database):
    """A database whose connection breaks after a commit, before its answer arrives."""

    cuts = 0

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        with super().begin() as connection:
            yield connection
        if self.cuts:
            self.cuts -= 1
            raise StoreUnavailable("The connection broke")


def test_work_whose_answer_was_lost_is_given_again(database_url: str) -> None:
    database = CutOff(database_url)
    store = SqlStore(database)
    campaign = running(store, definition(attempts=2), positions=6)
    engine = HandEngine(store, campaign)
    engine.acquire(2)
    engine.fail(0)
    engine.record()
    database.cuts = 2
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            engine.acquire(3)
    work = engine.acquire(3)
    assert spans(list(work.leases)) == [(2, 5)]
    assert [(each.position, each.number) for each in work.retries] == [(0, 2)]
    engine.acquire()
    engine.end(*list(engine.held))
    assert engine.record().succeeded == 6
    assert store.finish(campaign.id)
    books.check(store, campaign.id)
    database.close()


def test_work_that_was_never_granted_is_given_once(database: Database, store: SqlStore) -> None:
    campaign = running(store, positions=6)
    engine = HandEngine(store, campaign)
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE leases RENAME TO elsewhere"))
    with pytest.raises(StoreError):
        engine.acquire(3)
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO leases"))
    assert spans(list(engine.acquire(3).leases)) == [(0, 3)]
    assert spans(list(engine.acquire(3).leases)) == [(3, 6)]


def test_an_engine_that_was_taken_for_dead_gets_nothing_more(store: SqlStore) -> None:
    """Nobody would free what it got, for it is written out already."""
    campaign = running(store)
    asleep = HandEngine(store, campaign)
    asleep.acquire(4)
    store.recover(campaign.id, [asleep.id])
    with pytest.raises(Conflict, match="took this one for dead"):
        asleep.acquire(4)
    with pytest.raises(Conflict, match="took this one for dead"):
        asleep.begin(0)
    heir = HandEngine(store, campaign)
    heir.acquire()
    heir.end(*range(10))
    heir.record()
    assert store.finish(campaign.id)
