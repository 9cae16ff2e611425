"""Arrow columns hold what was recorded, on either database."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from fieldlab.domain.errors import MissingExtra, StoreError
from fieldlab.ports.store import Campaign
from fieldlab.store import arrow, extracts
from fieldlab.store.arrow import arrow_table
from fieldlab.store.sql_store import SqlStore
from tests.store.staging import HandEngine, definition, running

WORDS = ["", "a,b", 'say "so"', "two\nlines", "\\N", "NULL", "nan", "ünï\tcode", " ", None]


def recorded(store: SqlStore, *trials: Sequence[Mapping[str, Any]]) -> Campaign:
    """Have a campaign with these results, one trial after the other."""
    campaign = running(store, definition(points=len(trials) + 1), positions=len(trials) + 1)
    engine = HandEngine(store, campaign)
    engine.acquire()
    for position, rows in enumerate(trials):
        engine.end(position, results=rows)
        engine.record()
    return campaign


def table_of(store: SqlStore, campaign: Campaign, *, own_columns: bool = False) -> Any:
    with store.database.read() as connection:
        return arrow_table(
            extracts.result_rows(connection, campaign, everywhere=True, own_columns=own_columns)
        )


def test_columns_have_the_types_that_were_recorded(store: SqlStore) -> None:
    campaign = recorded(
        store, [{"good": True, "steps": 2**63 - 1, "ratio": 0.1 + 0.2, "label": "a"}]
    )
    table = table_of(store, campaign, own_columns=True)
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
        "x": "int64",
        "good": "bool",
        "steps": "int64",
        "ratio": "double",
        "label": "string",
        **dict.fromkeys(("trial_id", "row", "campaign_id", "attempt", "repeat"), "int64"),
        "recorded_at": "timestamp[us, tz=UTC]",
        "commit": "string",
        "dirty": "bool",
    }
    (row,) = table.to_pylist()
    assert (row["good"], row["steps"], row["ratio"]) == (True, 2**63 - 1, 0.1 + 0.2)
    with store.database.read() as connection:
        extract = extracts.result_rows(connection, campaign, everywhere=True, own_columns=True)
        first: list[Any] = list(next(iter(extract.blocks()))[0])
    assert row["recorded_at"] == first[-3]
    assert row["recorded_at"].tzinfo is not None


def test_every_value_comes_back(store: SqlStore) -> None:
    reals = [math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e16, 3.0, None, 2.5]
    flags = [True, False, None, True, True, None, False, False, True, None]
    rows = [
        {"word": word, "real": real, "flag": flag}
        for word, real, flag in zip(WORDS, reals, flags, strict=True)
    ]
    table = table_of(store, recorded(store, rows))
    assert table.column("word").to_pylist() == WORDS
    assert table.column("real").to_pylist() == reals
    assert table.column("flag").to_pylist() == flags


def test_a_column_of_integers_that_became_one_of_reals_is_one_of_reals(store: SqlStore) -> None:
    table = table_of(store, recorded(store, [{"y": 2**60 + 1}], [{"y": 0.5}], [{"y": 3}]))
    assert table.column("y").to_pylist() == [float(2**60 + 1), 0.5, 3.0]


def test_a_column_may_have_any_name_that_can_be_recorded(store: SqlStore) -> None:
    names = ["100 %", "%s", 'a "b"', ":x", "select", "ünï, code", "a;b"]
    row = {name: number for number, name in enumerate(names)}
    assert table_of(store, recorded(store, [row])).to_pylist() == [{"x": 0, **row}]


def test_what_is_only_missing_so_far_is_real(store: SqlStore) -> None:
    table = table_of(store, recorded(store, [{"y": None}, {"y": None}]))
    assert str(table.schema.field("y").type) == "double"
    assert table.column("y").null_count == 2


def test_no_rows_still_have_columns(store: SqlStore) -> None:
    campaign = running(store)
    table = table_of(store, campaign)
    assert table.num_rows == 0
    assert table.column_names[0] == "trial_id"


def test_blocks_are_read_to_the_last_row(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BLOCK", 7)
    campaign = recorded(store, *([{"n": n} for n in range(start, start + 10)] for start in (0, 10)))
    assert table_of(store, campaign).column("n").to_pylist() == list(range(20))
    assert gc.isenabled()


def test_several_campaigns_are_read_one_after_the_other(store: SqlStore) -> None:
    recorded(store, [{"y": 1}])
    second = running(store, definition(points=12), positions=12)
    with store.database.read() as connection:
        trials = arrow_table(extracts.trial_rows(connection, second, everywhere=True))
    assert trials.column("campaign").to_pylist() == ["probe.1"]
    assert trials.column("due_at").type == pa.timestamp("us", tz="UTC")


def test_without_pyarrow_it_says_what_to_install(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = recorded(store, [{"y": 1}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="notebook"):
        table_of(store, campaign)


def test_what_the_driver_says_is_explained(store: SqlStore) -> None:
    campaign = recorded(store, [{"y": 1}])
    with store.database.read() as connection:
        extract = extracts.result_rows(connection, campaign, everywhere=True, own_columns=True)
    (query,) = extract.queries
    broken = query.where(query.selected_columns["x"].op("no_such_operator")(1))

    def read() -> None:
        with store.database.read() as connection:
            arrow_table(replace(extract, connection=connection, queries=[broken]))

    with pytest.raises(StoreError, match="no_such_operator"):
        read()
