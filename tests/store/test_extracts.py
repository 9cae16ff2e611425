"""Reading many rows at a time, on either database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldlab.domain.trials import FailureClass
from fieldlab.ports.store import Campaign
from fieldlab.store import extracts, queries
from fieldlab.store.extracts import Extract
from fieldlab.store.sql_store import SqlStore
from tests.store.staging import HandEngine, definition, running


@pytest.fixture
def campaign(store: SqlStore) -> Campaign:
    """Have a campaign in which 3 trials succeeded, 1 waits to be tried again, and 1 runs."""
    made = running(store, definition(attempts=2, delay_s=3600.0))
    engine = HandEngine(store, made)
    engine.acquire(7)
    engine.begin(6)
    engine.end(2, 0, 1, results=[{"y": 0.5}, {"y": 1.5, "word": "a"}])
    engine.fail(3, failure=FailureClass.VERDICT, status="bad")
    engine.record()
    return made


def rows_of(extract: Extract, limit: int | None = None) -> list[dict[str, Any]]:
    names = [name for name, _ in extract.columns]
    return [dict(zip(names, row, strict=True)) for block in extract.blocks(limit) for row in block]


def test_results_come_with_their_types_in_the_order_of_their_trials(
    store: SqlStore, campaign: Campaign
) -> None:
    with store.database.read() as connection:
        plain = extracts.result_rows(connection, campaign, everywhere=True, own_columns=False)
        assert plain.columns == [("x", "integer"), ("y", "real"), ("word", "text")]
        assert plain.count() == 6
        assert [(row["x"], row["y"], row["word"]) for row in rows_of(plain)] == [
            (x, y, word) for x in (0, 1, 2) for y, word in ((0.5, None), (1.5, "a"))
        ]
        assert rows_of(plain, 3) == rows_of(plain)[:3]
        full = extracts.result_rows(connection, campaign, everywhere=False, own_columns=True)
        assert full.columns[3:] == [
            ("trial_id", "integer"),
            ("row", "integer"),
            ("campaign_id", "integer"),
            ("attempt", "integer"),
            ("repeat", "integer"),
            ("recorded_at", "moment"),
            ("commit", "text"),
            ("dirty", "boolean"),
        ]
        assert full.count() == 6


def test_a_campaign_is_read_alone_or_with_the_others_of_its_experiment(
    store: SqlStore, campaign: Campaign
) -> None:
    second = running(store, definition(points=12), positions=12)
    engine = HandEngine(store, second, shift=100)
    engine.acquire(2)
    engine.end(0, 1)
    engine.record()
    with store.database.read() as connection:
        for read, alone, together in (
            (extracts.attempt_rows, 2, 7),
            (extracts.trial_rows, 2, 7),
        ):
            assert read(connection, second, everywhere=False).count() == alone
            both = rows_of(read(connection, second, everywhere=True))
            assert len(both) == together
            assert [row["campaign"] for row in both] == ["probe.1"] * 5 + ["probe.2"] * 2
        mine = extracts.result_rows(connection, second, everywhere=False, own_columns=False)
        assert [row["x"] for row in rows_of(mine)] == [100, 101]
        limited = extracts.attempt_rows(connection, second, everywhere=True)
        assert len(rows_of(limited, 6)) == 6


def test_attempts_come_in_the_order_of_their_ends(store: SqlStore, campaign: Campaign) -> None:
    with store.database.read() as connection:
        rows = rows_of(extracts.attempt_rows(connection, campaign, everywhere=False))
    ended = [row for row in rows if row["sequence"] is not None]
    assert [row["sequence"] for row in ended] == [1, 2, 3, 4]
    assert [row["state"] for row in rows if row["sequence"] is None] == ["running"]


def test_the_newest_attempts_are_those_that_run_then_those_that_ended_last(
    store: SqlStore, campaign: Campaign
) -> None:
    with store.database.read() as connection:
        newest = queries.newest_attempts(connection, campaign, limit=3)
        failed = queries.newest_attempts(connection, campaign, limit=9, failed=True)
        assert queries.newest_attempts(connection, campaign, limit=1) == newest[:1]
    assert [json.loads(each.parameters)["x"] for each in newest] == [6, 3, 1]
    assert newest[0].ended_at is None
    assert [each.status for each in failed] == ["bad"]


def test_what_waits_is_found(store: SqlStore, campaign: Campaign) -> None:
    with store.database.read() as connection:
        waiting = extracts.waiting_trials(connection, campaign)
        assert extracts.failure_kinds(connection, campaign, limit=5) == []
        assert queries.failed_trials(connection, campaign) == []
    assert (waiting.count, waiting.later) == (1, 1)
    assert waiting.next_due_at is not None


def test_failed_trials_are_sorted_by_how_they_ended(store: SqlStore) -> None:
    campaign = running(store, definition())
    engine = HandEngine(store, campaign)
    engine.acquire(7)
    engine.fail(0, status="ValueError: 9 is too large: much")
    engine.fail(1, 2, status="exit code 3")
    engine.fail(3, status="ValueError: 8 is too large")
    engine.fail(4, status="ValueError")
    engine.end(5, 6)
    engine.record()
    with store.database.read() as connection:
        kinds = extracts.failure_kinds(connection, campaign, limit=5)
        failed = queries.failed_trials(connection, campaign)
    found = [(each.title, each.count, json.loads(each.example.parameters)["x"]) for each in kinds]
    assert found == [("ValueError", 3, 4), ("exit code 3", 2, 2)]
    assert sorted(failed) == [(f'{{"x":{x}}}', 1) for x in range(5)]
