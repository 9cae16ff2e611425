"""Provenances and origins in the database, on either."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from fieldlab.domain.ids import uuid7
from fieldlab.domain.provenance import Code, Environment, Origin, Provenance
from fieldlab.ports.store import Campaign, Engine
from fieldlab.store import extracts, queries, tables
from fieldlab.store.provenances import origins_in, origins_of
from fieldlab.store.sql_store import SqlStore
from tests.store.staging import HandEngine, read, running
from tests.store.test_extracts import rows_of

CODE = Code(
    repository="https://git.example.org/a.git",
    commit="c" * 40,
    branch="main",
    dirty=True,
    patch="diff --git a/ä b/ä\n",
)
ENVIRONMENT = Environment(
    interpreter="CPython 3.11.2",
    platform="Linux",
    packages={"numpy": "2.0"},
    lock_file="uv.lock",
    lock_sha256="0" * 64,
)
PROVENANCE = Provenance(code=CODE, environment=ENVIRONMENT)


def enlist(store: SqlStore, campaign: Campaign, provenance: Provenance | None) -> Engine:
    engine = Engine(
        id=uuid7(),
        host="bench",
        pid=12,
        process_started=1.5,
        slots=2,
        user="ada",
        command_line=("fieldlab", "run", "a b.yaml"),
        directory="/srv/ä",
        provenance=provenance,
    )
    store.enlist(campaign.id, engine)
    return engine


def origin(provenance: Provenance | None) -> Origin:
    return Origin(
        host="bench",
        pid=12,
        user="ada",
        command_line=("fieldlab", "run", "a b.yaml"),
        directory="/srv/ä",
        provenance=provenance,
    )


def test_an_engine_s_origin_comes_back_as_it_was(store: SqlStore) -> None:
    campaign = running(store)
    young = Code(repository="/srv/a", commit="", dirty=None)
    given = [
        PROVENANCE,
        replace(PROVENANCE, code=None),
        replace(PROVENANCE, code=young),
        replace(PROVENANCE, environment=replace(ENVIRONMENT, lock_file="", lock_sha256="")),
        None,
    ]
    ids = [enlist(store, campaign, each).id for each in given]
    with store.database.read() as connection:
        assert origins_in(connection, campaign) == [origin(each) for each in given]
        assert origins_of(connection, ids[1:2]) == {ids[1]: origin(given[1])}
        assert origins_of(connection, []) == {}


def test_equal_provenances_share_a_row(store: SqlStore) -> None:
    campaign = running(store)
    engine = enlist(store, campaign, PROVENANCE)
    store.enlist(campaign.id, engine)  # as after a commit whose answer was lost
    enlist(store, campaign, replace(PROVENANCE))
    enlist(store, campaign, replace(PROVENANCE, code=replace(CODE, dirty=False, patch=None)))
    rows = read(store, sa.select(tables.provenances).order_by(tables.provenances.c.id))
    assert [row["digest"] for row in rows] == list(dict.fromkeys(row["digest"] for row in rows))
    assert [row["dirty"] for row in rows] == [True, False]
    assert rows[0]["digest"] == PROVENANCE.digest
    links = read(store, sa.select(tables.engines.c.provenance_id))
    assert sorted(row["provenance_id"] for row in links) == [rows[0]["id"]] * 2 + [rows[1]["id"]]


def test_the_first_run_says_of_an_experiment_what_nobody_has_said(store: SqlStore) -> None:
    campaign = running(store)
    with store.database.begin() as connection:
        connection.execute(sa.update(tables.experiments).values(code_link="by hand"))
    enlist(store, campaign, replace(PROVENANCE, code=None))
    enlist(store, campaign, PROVENANCE)
    enlist(store, campaign, replace(PROVENANCE, code=replace(CODE, commit="d" * 40)))
    (row,) = read(store, sa.select(tables.experiments))
    assert (row["code_link"], row["commit"]) == ("by hand", "c" * 40)
    assert row["environment"] == "CPython 3.11.2; Linux; uv.lock 0000000000"


def test_attempts_and_results_say_from_which_commit_they_are(store: SqlStore) -> None:
    campaign = running(store)
    engine = HandEngine(store, campaign, id=enlist(store, campaign, PROVENANCE).id)
    engine.acquire(3)
    engine.end(0, results=[{"y": 0.5}, {"y": 1.5}])
    engine.fail(1)
    engine.record()
    plain = HandEngine(store, campaign)
    plain.acquire(1)
    plain.end(3)
    plain.record()
    with store.database.read() as connection:
        attempts = rows_of(extracts.attempt_rows(connection, campaign, everywhere=True))
        results = extracts.result_rows(connection, campaign, everywhere=True, own_columns=True)
        newest = queries.newest_attempts(connection, campaign, limit=9)
        trial_id = rows_of(results)[0]["trial_id"]
        assert results.count() == 3
        commits = [(row["commit"], row["dirty"]) for row in rows_of(results)]
        assert extracts.attempt_results(connection, campaign, trial_id, 1) == [
            {"y": 0.5},
            {"y": 1.5},
        ]
        assert extracts.attempt_results(connection, campaign, trial_id, 2) == []
    whence = [(row["host"], row["user"], row["commit"], row["dirty"]) for row in attempts]
    assert whence == [("bench", "ada", "c" * 40, True)] * 2 + [("bench", None, None, None)]
    assert commits == [("c" * 40, True), ("c" * 40, True), (None, None)]
    assert [each.commit for each in newest] == [None, "c" * 40, "c" * 40]


def test_a_result_of_that_name_is_not_hidden(store: SqlStore) -> None:
    campaign = running(store)
    engine = HandEngine(store, campaign, id=enlist(store, campaign, PROVENANCE).id)
    engine.acquire(1)
    engine.end(0, results=[{"Commit": "mine"}])
    engine.record()
    with store.database.read() as connection:
        rows = extracts.result_rows(connection, campaign, everywhere=True, own_columns=True)
        names = [name for name, _ in rows.columns]
        assert rows_of(rows)[0]["Commit"] == "mine"
    assert "commit" not in names
    assert names[-1] == "dirty"
