"""Campaigns, and failed trials, as data frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fieldlab.domain.errors import MissingExtra
from fieldlab.notebook.frames import pandas_frame
from fieldlab.notebook.progress import shown_state, total_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from fieldlab.app import Lab
    from fieldlab.ports.store import Campaign

#: put before a name that a parameter has, too
_OURS = "fieldlab_"
_COUNTS = ("succeeded", "failed", "cancelled", "skipped", "attempts")
_MOMENTS = ("created_at", "started_at", "ended_at")


def campaigns_frame(campaigns: Sequence[Campaign], engines: Mapping[int, int]) -> pd.DataFrame:
    """List campaigns, each with its state for people, its counts and its times.

    Parameters
    ----------
    engines
        How many are alive, by the ids of the campaigns that were running.

    Raises
    ------
    MissingExtra
        pandas or pyarrow isn't installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("notebook", "A pandas DataFrame") from error

    def column(name: str, type_: pa.DataType) -> pa.Array:
        return pa.array([getattr(each, name) for each in campaigns], type_)

    states = [shown_state(each, engines.get(each.id, 1)) for each in campaigns]
    texts, counts, moments = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
    columns = {
        "name": column("name", texts),
        "experiment": column("experiment", texts),
        "state": pa.array(states, texts),
        "done": column("done", counts),
        "total": pa.array([total_of(each) for each in campaigns], counts),
        **{name: column(name, counts) for name in _COUNTS},
        **{name: column(name, moments) for name in _MOMENTS},
        "note": column("note", texts),
    }
    return pandas_frame(pa.table(columns))


def failures_frame(lab: Lab, campaigns: Sequence[Campaign]) -> pd.DataFrame:
    """Read the failed trials of campaigns: parameters first, then how the last attempt ended.

    Raises
    ------
    MissingExtra
        pandas or pyarrow isn't installed.
    """
    from fieldlab.store.arrow import arrow_table
    from fieldlab.store.extracts import failure_rows

    with lab.database.read() as connection:
        table = arrow_table(failure_rows(connection, campaigns))
    return pandas_frame(_unpacked(table, {each.id: each.name for each in campaigns}))


def _unpacked(table: pa.Table, names: dict[int, str]) -> pa.Table:
    """Give each parameter a column, and campaigns their names."""
    import pyarrow as pa

    points = [json.loads(text) for text in table.column("parameters").to_pylist()]
    parameters = dict.fromkeys(name for point in points for name in point)
    columns = {name: _column([point.get(name) for point in points]) for name in parameters}
    campaign = [names[each] for each in table.column("campaign_id").to_pylist()]
    ours = {"campaign": pa.array(campaign, pa.string())} | {
        name: table.column(name)
        for name in table.column_names
        if name not in ("campaign_id", "parameters")
    }
    columns |= {(_OURS if name in columns else "") + name: ours[name] for name in ours}
    return pa.table(columns)


def _column(values: list[Any]) -> pa.Array:
    """Make a column of one type: of texts where experiments don't agree on it."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except pa.ArrowException:
        texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array(texts, pa.string())
