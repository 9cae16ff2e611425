"""Results as data frames of real types."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from fieldlab.app import Lab
from fieldlab.domain.errors import BadInput, MissingExtra, UnknownName
from fieldlab.notebook.frames import KINDS, results_frame
from fieldlab.store import arrow
from tests.store.staging import HandEngine, definition, running

ROWS: list[dict[str, Any]] = [
    {"good": True, "sure": True, "steps": 7, "of": 9, "ratio": 0.5, "label": "a"},
    {"good": None, "sure": False, "steps": None, "of": 9, "ratio": None, "label": None},
]


@pytest.fixture
def measured(lab: Lab) -> Lab:
    """Have two campaigns of an experiment: three trials of two rows each, and one more."""
    first = HandEngine(lab.store, running(lab.store, definition()))
    first.acquire()
    first.end(2, 0, 1, results=ROWS)
    first.record()
    second = running(lab.store, definition(points=12), positions=12)
    later = HandEngine(lab.store, second, shift=100)
    later.acquire()
    later.end(0, results=ROWS)
    later.record()
    return lab


def test_every_column_has_its_real_type(measured: Lab) -> None:
    frame = results_frame(measured, "probe")
    text = str(pd.Series(["a"]).dtype)
    assert {str(name): str(type_) for name, type_ in frame.dtypes.items()} == {
        "x": "int64",
        "good": "boolean",
        "sure": "bool",
        "steps": "Int64",
        "of": "int64",
        "ratio": "float64",
        "label": text,
        **dict.fromkeys(("trial_id", "row", "campaign_id", "attempt", "repeat"), "int64"),
        "recorded_at": "datetime64[us, UTC]",
    }
    assert frame["steps"].tolist() == [7, pd.NA] * 4
    assert frame["label"].isna().tolist() == [False, True] * 4


def test_rows_stand_in_the_order_of_their_trials(measured: Lab) -> None:
    frame = results_frame(measured, "probe")
    assert frame["x"].tolist() == [0, 0, 1, 1, 2, 2, 100, 100]
    assert frame["row"].tolist() == [0, 1] * 4
    assert frame.index.equals(pd.RangeIndex(8))


def test_an_experiment_s_name_gives_all_its_campaigns_a_campaign_s_its_own(measured: Lab) -> None:
    assert len(results_frame(measured, "probe")) == 8
    assert len(results_frame(measured, "probe.1")) == 6
    assert results_frame(measured, "probe.2")["x"].unique().tolist() == [100]


def test_the_columns_that_fieldlab_adds_can_be_left_out(measured: Lab) -> None:
    frame = results_frame(measured, "probe", own_columns=False)
    assert frame.columns.tolist() == ["x", "good", "sure", "steps", "of", "ratio", "label"]


@pytest.mark.parametrize("rows_at_a_time", [3, 4_000])
def test_a_frame_can_be_changed_in_place(
    measured: Lab, monkeypatch: pytest.MonkeyPatch, rows_at_a_time: int
) -> None:
    """Arrow's own memory couldn't."""
    monkeypatch.setattr(arrow, "BLOCK", rows_at_a_time)
    frame: Any = results_frame(measured, "probe")
    for name in frame.columns:
        frame.loc[0, name] = frame.loc[7, name]
    assert frame.loc[0, "x"] == 100
    frame["x"] *= 2
    assert frame["x"].tolist() == [200, 0, 2, 2, 4, 4, 200, 200]


def test_other_kinds_of_frames(measured: Lab) -> None:
    frame = results_frame(measured, "probe", "polars")
    assert isinstance(frame, pl.DataFrame)
    assert frame.schema["recorded_at"] == pl.Datetime("us", "UTC")
    assert frame["steps"].to_list() == [7, None] * 4
    table = results_frame(measured, "probe", "arrow")
    assert isinstance(table, pa.Table)
    assert table.num_rows == 8


def test_no_results_are_an_empty_frame(lab: Lab) -> None:
    running(lab.store)
    frame = results_frame(lab, "probe")
    assert len(frame) == 0
    assert "recorded_at" in frame


def test_what_cannot_be_read_is_explained(measured: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'probe'"):
        results_frame(measured, "prob")
    with pytest.raises(BadInput, match="Did you mean 'pandas'"):
        results_frame(measured, "probe", "panda")
    for module, extra in (("polars", "polars"), ("pandas", "notebook")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtra, match=f"'{extra}' extra"):
            results_frame(measured, "probe", module)
    assert set(KINDS) == {"pandas", "polars", "arrow"}
